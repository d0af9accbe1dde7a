//! Captures of other tools that are divided into several files.
use super::*;

/// The nodes, packets and round trips of a replay.
fn seen(lines: &[Value]) -> (String, u64, usize) {
    let paths = of_type(lines, "path").into_iter();
    let answered = paths.filter(|path| path["rtt_ns"].is_u64()).count();
    (lines[0]["nodes"].to_string(), counts(lines).1, answered)
}

/// A reply to a ping.
fn reply(sequence: u16) -> Vec<u8> {
    let mut reply = frame(sequence);
    reply[34] = 0;
    let addresses = [reply[30..34].to_vec(), reply[26..30].to_vec()].concat();
    reply[26..34].copy_from_slice(&addresses);
    reply
}

#[test]
fn files_of_one_run_are_one_capture() {
    let files = Files::new();
    files
        .add("x.pcap", &pcap(1, &[(0, frame(1))]))
        .add("x.pcap1", &pcap(1, &[(700, reply(1)), (900, frame(2))]))
        .add("x.pcap2", &pcap(1, &[(1500, reply(2))]));
    let one = (r#"["x.pcap"]"#.to_owned(), 4, 2);
    let said = "x.pcap: 3 files by their names and times the parts of one capture (--each-file to take each for a node of its own)";
    for order in [
        ["x.pcap", "x.pcap1", "x.pcap2"],
        ["x.pcap2", "x.pcap", "x.pcap1"],
    ] {
        let lines = files.json(&order);
        assert_eq!(seen(&lines), one);
        assert_eq!(notices(&lines), [said]);
        let taps = of_type(&lines, "summary")[0]["taps"].as_array().unwrap();
        assert_eq!(taps.len(), 1, "{taps:?}");
    }
    let lines = files.json(&["--each-file", "x.pcap", "x.pcap1", "x.pcap2"]);
    let three = r#"["x.pcap","x.pcap1","x.pcap2"]"#;
    assert_eq!((seen(&lines).0.as_str(), seen(&lines).1), (three, 4));
    // What an export was made of is known, whole and in parts.
    let all = ["x.pcap", "x.pcap1", "x.pcap2"];
    let export = [&["export", "--format", "pcapng", "-w", "all"], &all[..]].concat();
    assert_eq!(files.run(&export).code, Some(0));
    let lines = files.json(&[&["all"], &all[..]].concat());
    assert_eq!(seen(&lines), one);
    let said = "all left out: made of x.pcap, x.pcap1, x.pcap2";
    assert_eq!(notices(&lines)[0], said);
    files
        .run(&["replay", "all", "x.pcap"])
        .refuses("and of others that are not given");
}

#[test]
fn interfaces_of_any_are_the_same_in_all_parts() {
    let files = Files::new();
    let part = |packets: &[(u32, u16, u32)]| {
        let packets = packets.iter();
        let packets = packets.map(|(at, number, index)| (*at, cooked(*number, *index, 0)));
        pcap(276, &packets.collect::<Vec<_>>())
    };
    files
        .add("x-120000.pcap", &part(&[(0, 1, 7), (10, 1, 5)]))
        .add(
            "x-120001.pcap",
            &part(&[(1_000_000, 2, 5), (1_000_010, 2, 7)]),
        );
    let lines = files.json(&["x-120000.pcap", "x-120001.pcap"]);
    assert_eq!(lines[0]["nodes"].to_string(), r#"["x-120000.pcap"]"#);
    let taps = of_type(&lines, "summary")[0]["taps"].as_array().unwrap();
    let taps: Vec<_> = taps
        .iter()
        .map(|tap| {
            (
                tap["interface"].as_str().unwrap(),
                tap["seen"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(taps, [("if7", 2), ("if5", 2)]);
}

#[test]
fn captures_that_only_look_alike_stay_apart() {
    let files = Files::new();
    files
        .add("x.pcap", &pcap(1, &pings(0..5)))
        .add("x.pcap1", &pcap(1, &pings(3..8)))
        .add("x.pcap2", &pcap(101, &[(9_000_000, ping(9))]))
        .add("y.pcap1", &pcap(1, &pings(8..9)));
    let nodes = |names: &[&str]| files.json(names)[0]["nodes"].as_array().unwrap().len();
    assert_eq!(nodes(&["x.pcap", "x.pcap1"]), 2);
    assert_eq!(nodes(&["x.pcap", "x.pcap2"]), 2);
    assert_eq!(nodes(&["x.pcap", "y.pcap1"]), 2);
}
