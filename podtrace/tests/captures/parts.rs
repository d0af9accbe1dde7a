//! Parts of one recording, and what a replay says of them together.
use std::{fs, path::Path};

use super::*;
use crate::{bytes::section_with, directories::edited};

/// A capture in pcapng at an interface with that name, of four letters.
fn named(name: &str, packets: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let options = [&[2, 0, 4, 0][..], name.as_bytes()].concat();
    let mut bytes = section_with(1, &options);
    for (micros, data) in packets {
        bytes.extend(packet(6, begin_us() + u64::from(*micros), data));
    }
    bytes
}

/// How often each outcome, number of hops and completeness comes.
fn ends(lines: &[Value]) -> Vec<String> {
    let paths = of_type(lines, "path").into_iter();
    let mut ends: Vec<_> = paths
        .map(|path| {
            let hops = path["hops"].as_array().unwrap().iter();
            let hops = hops.map(|hop| {
                format!(
                    "{}:{}:{}",
                    hop["time_ns"], hop["interface"], hop["direction"]
                )
            });
            let hops: Vec<_> = hops.collect();
            format!("{} {} {hops:?}", path["outcome"], path["incomplete"])
        })
        .collect();
    ends.sort_unstable();
    ends
}

#[test]
fn exports_of_parts_are_one_recording() {
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs");
    let files = Files::new();
    for number in [1, 2] {
        let name = format!("{number}.pcapng");
        let bytes = fs::read(recordings.join(format!("worker{number}.pcapng"))).unwrap();
        files.add(&name, &bytes);
    }
    let export = |name: &str, args: &[&str]| {
        let all = ["export", "--format", "pcapng", "-w", name];
        assert_eq!(files.run(&[&all[..], args].concat()).code, Some(0));
    };
    for inputs in [&["1.pcapng"][..], &["1.pcapng", "2.pcapng"]] {
        for (number, interface) in ["eth0", "cni0"].into_iter().enumerate() {
            let name = format!("part{number}-{}", inputs.len());
            export(&name, &[inputs, &["-i", interface]].concat());
        }
        let [one, other] = [0, 1].map(|part| format!("part{part}-{}", inputs.len()));
        let expected = files.json(&[inputs, &["-i", "eth0", "-i", "cni0"]].concat());
        for order in [[&one, &other], [&other, &one]] {
            let lines = files.json(&order.map(String::as_str));
            assert!(!ends(&expected).is_empty());
            assert_eq!(ends(&lines), ends(&expected));
            let unknown = notices(&lines).into_iter();
            assert_eq!(
                unknown.filter(|text| text.contains("unknown:")).count(),
                0,
                "{:?}",
                notices(&lines)
            );
            assert_eq!(lines[0]["nodes"].as_array().unwrap().len(), inputs.len());
        }
    }
}

#[test]
fn completeness_does_not_depend_on_the_number_of_files() {
    let files = Files::new();
    files
        .add("a", &pcap(1, &pings(0..5)))
        .add("b", &pcap(1, &pings(5..10)))
        .add("c", &pcap(1, &pings(3..12)));
    let incomplete = |names: &[&str]| {
        let lines = files.json(names);
        of_type(&lines, "summary")[0]["incomplete"].clone()
    };
    for names in [&["a"][..], &["a", "b"], &["b", "a"], &["a", "b", "c"]] {
        assert_eq!(incomplete(names), 0, "{names:?}");
    }
    // A capture that ends takes nothing from a recording beside it.
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs/worker1.pcapng");
    files.add("recording", &fs::read(recording).unwrap());
    let alone = incomplete(&["recording"]);
    assert_eq!(incomplete(&["recording", "a"]), alone);
    assert_eq!(incomplete(&["a", "recording"]), alone);
}

/// As mergecap makes it: a section for each file.
#[test]
fn merged_file_with_packets_of_its_own_is_no_copy() {
    let files = Files::new();
    let own = [
        ("named", named("eth1", &pings(5..7)), 7),
        (
            "unnamed",
            [section(1, 6), packet(6, 5, &frame(9))].concat(),
            6,
        ),
        (
            "undecoded",
            [section(9, 6), packet(6, 5, &frame(9))].concat(),
            5,
        ),
    ];
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs/worker1.pcapng");
    let recording = fs::read(recording).unwrap();
    let part = named("eth0", &pings(0..5));
    files.add("part", &part).add("recording", &recording);
    for (name, own, packets) in own {
        files.add(name, &[&part[..], &own].concat());
        for order in [["part", name], [name, "part"]] {
            let lines = files.json(&order);
            assert_eq!(counts(&lines), (packets, packets));
            let said = format!("part left out: {name} has the same packets at the same times");
            assert!(notices(&lines).contains(&&*said), "{lines:?}");
        }
        // A recording knows more than what others make of it.
        files.add(name, &[&edited(&recording)[..], &own].concat());
        let said = format!(
            "{name} and recording have the same packets at the same times, and {name} has more"
        );
        files.run(&["replay", "recording", name]).refuses(&said);
    }
}

/// As `editcap -s 60` makes it.
#[test]
fn copy_with_cut_packets_is_left_out() {
    let cut = |packets: Vec<(u32, Vec<u8>)>| {
        let cut = packets.into_iter().enumerate();
        cut.map(|(number, (micros, mut data))| {
            data.truncate(if number < 2 { data.len() } else { 45 });
            (micros, data)
        })
    };
    let files = Files::new();
    files
        .add("a", &named("eth0", &pings(0..5)))
        .add("cut", &named("eth0", &cut(pings(0..5)).collect::<Vec<_>>()));
    for order in [["a", "cut"], ["cut", "a"]] {
        let lines = files.json(&order);
        assert_eq!(counts(&lines), (5, 5));
        let said = "cut left out: a has the same packets at the same times";
        assert!(notices(&lines).contains(&said), "{lines:?}");
    }
}

#[test]
fn exports_of_other_captures_are_left_out() {
    let files = Files::new();
    let mixed = [
        named("eth0", &pings(0..5)),
        section(9, 6),
        packet(6, begin_us(), &frame(9)),
    ]
    .concat();
    files
        .add("a.pcap", &pcap(1, &pings(0..5)))
        .add("mixed", &mixed);
    for (name, strict) in [("a.pcap", 0), ("mixed", 4)] {
        for (export, from) in [("0.ng", name), ("z.ng", name), ("again.ng", "z.ng")] {
            let made = [
                "export", "--format", "pcapng", "--force", "-w", export, from,
            ];
            assert_eq!(files.run(&made).code, Some(0));
        }
        for export in ["0.ng", "z.ng", "again.ng"] {
            let lines = files.json(&[export, name]);
            assert_eq!(counts(&lines), (5, 5));
            assert_eq!(
                notices(&lines)[0],
                format!("{export} left out: made of {name}")
            );
            let replay = files.run(&["replay", "--strict", export, name]);
            assert_eq!(replay.code, Some(strict), "{replay:?}");
        }
    }
    // Another form of the original is one, too.
    files.add(
        "packed",
        &zstd::encode_all(&pcap(1, &pings(0..5))[..], 1).unwrap(),
    );
    let made = ["export", "--format", "pcapng", "-w", "of.ng", "packed"];
    assert_eq!(files.run(&made).code, Some(0));
    assert_eq!(counts(&files.json(&["of.ng", "a.pcap"])), (5, 5));
}

#[test]
fn captures_of_one_name_are_told_apart() {
    let files = Files::new();
    for (directory, sequences) in [("1", 0..5), ("2", 5..10)] {
        fs::create_dir(files.path(directory)).unwrap();
        files.add(&format!("{directory}/x.pcap"), &pcap(1, &pings(sequences)));
    }
    let lines = files.json(&["1", "2", "--clock-offset", "2/x.pcap=1s"]);
    assert_eq!(lines[0]["nodes"].to_string(), r#"["1/x.pcap","2/x.pcap"]"#);
    assert!(notices(&lines)[0].starts_with("clock of 2/x.pcap: 1.000000 s ahead of 1/x.pcap's"));
    let taps = of_type(&lines, "summary")[0]["taps"].as_array().unwrap();
    let nodes: Vec<_> = taps.iter().map(|tap| tap["node"].to_string()).collect();
    assert!(nodes.contains(&r#""1/x.pcap""#.into()) && nodes.contains(&r#""2/x.pcap""#.into()));
}

/// What a recorder that was killed did not record is not known, so it may lack packets.
#[test]
fn recording_without_its_end_is_not_whole() {
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs/worker1.pcapng");
    let whole = fs::read(recording).unwrap();
    let length = whole[whole.len() - 4..].try_into().unwrap();
    let last = usize::try_from(u32::from_le_bytes(length)).unwrap();
    let files = Files::new();
    files.add("whole", &whole);
    files.add("killed", &whole[..whole.len() - last]);
    for (name, code) in [("whole", 0), ("killed", 4)] {
        let output = files.run(&["replay", "--strict", name]);
        assert_eq!(output.code, Some(code), "{}", output.stdout);
        let is_said = output
            .stdout
            .contains("killed ends without a closing block");
        assert_eq!(is_said, code != 0, "{}", output.stdout);
    }
}

/// An export of several nodes has corrected times: it says by how much, as the replay of its
/// sources does.
#[test]
fn export_of_several_nodes_keeps_its_clocks() {
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs");
    let files = Files::new();
    for number in [1, 2] {
        let name = format!("{number}.pcapng");
        let bytes = fs::read(recordings.join(format!("worker{number}.pcapng"))).unwrap();
        files.add(&name, &bytes);
    }
    let export = |from: &[&str], to: &str| {
        let args = [&["export", "--format", "pcapng", "-w", to], from].concat();
        assert_eq!(files.run(&args).code, Some(0));
    };
    export(&["1.pcapng", "2.pcapng"], "both");
    export(&["both"], "again");
    let clocks = |lines: &[Value]| -> Vec<Value> {
        let paths = of_type(lines, "path").into_iter();
        paths.map(|path| path["clocks"].clone()).collect()
    };
    let expected = files.json(&["1.pcapng", "2.pcapng"]);
    let noted = clocks(&expected);
    assert!(noted.iter().any(|clock| !clock.is_null()));
    let number = |clock: &Value, name: &str| clock[0][name].as_f64().unwrap_or_default();
    for name in ["both", "again"] {
        let lines = files.json(&[name]);
        assert_eq!(ends(&lines), ends(&expected));
        let said = notices(&lines).into_iter();
        let said = said.filter(|text| text.starts_with("corrected clock of worker2: "));
        assert_eq!(said.count(), 1, "{:?}", notices(&lines));
        for (one, other) in noted.iter().zip(&clocks(&lines)) {
            assert_eq!(one[0]["node"], other[0]["node"]);
            let [offset, uncertainty] =
                ["offset_ns", "uncertainty_ns"].map(|name| number(other, name) - number(one, name));
            assert!(offset.abs() <= 3.0, "{one} {other}");
            // Never less than it was.
            assert!((-3.0..2000.0).contains(&uncertainty), "{one} {other}");
        }
    }
    let text = files.run(&["replay", "both"]).stdout;
    let input = File::open(files.path("both")).unwrap();
    let mut command = files.command(&["replay", "-"]);
    let piped = RunOutput::of(command.stdin(Stdio::from(input)).output().unwrap()).stdout;
    for text in [text, piped] {
        assert!(text.contains(" (clock of worker2 "), "{text}");
    }
}
