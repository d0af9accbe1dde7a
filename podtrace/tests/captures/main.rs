//! Captures of other tools, and files that are no captures, read by the program.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bytes;
mod clocks;
mod damaged;
mod directories;
mod interrupted;
mod layers;
mod parts;
mod run;
mod selected;
mod series;
mod stream;

use std::{fs::File, io::Write as _, process::Stdio};

use bytes::{begin_us, cooked, frame, packet, pcap, ping, pings, records, section, simple_packet};
use flate2::{Compression, write::GzEncoder};
use run::{Files, RunOutput, counts, notices, of_type};
use serde_json::Value;

#[test]
fn uncaptured_packets_are_not_lost() {
    let files = Files::new();
    files
        .add("a", &pcap(1, &pings(0..5)))
        .add("b", &pcap(1, &pings(5..10)));
    let lines = files.json(&["a", "b"]);
    let outcomes = of_type(&lines, "path")
        .into_iter()
        .map(|path| &path["outcome"]);
    assert!(outcomes.eq(["unknown"; 10]), "{lines:?}");
}

#[test]
fn packet_at_several_interfaces_of_any_is_one_packet() {
    let hops = [(0, 7, 0), (3, 5, 0), (9, 2, 4)];
    let packets = hops.map(|(micros, ifindex, kind)| (micros, cooked(1, ifindex, kind)));
    let mut blocks = section(276, 6);
    for (micros, data) in &packets {
        blocks.extend(packet(6, begin_us() + u64::from(*micros), data));
    }
    let files = Files::new();
    files
        .add("any.pcap", &pcap(276, &packets))
        .add("any.pcapng", &blocks);
    for name in ["any.pcap", "any.pcapng"] {
        let lines = files.json(&[name]);
        let [path] = of_type(&lines, "path")[..] else {
            panic!("{lines:?}");
        };
        let hops = path["hops"].as_array().unwrap().iter();
        let hops = hops.map(|hop| format!("{} {}", hop["interface"], hop["direction"]));
        let expected = [
            r#""if7" "ingress""#,
            r#""if5" "ingress""#,
            r#""if2" "egress""#,
        ];
        assert!(hops.eq(expected), "{path}");
        assert_eq!(path["ambiguous"], false);
    }
}

/// Text, JSON and statistics have the same round trips, also where no outcome is known.
#[test]
fn round_trips_are_the_same_everywhere() {
    let mut packets = Vec::new();
    for (micros, request) in pings(0..5) {
        let mut reply = request.clone();
        reply[34] = 0;
        reply[26..30].copy_from_slice(&request[30..34]);
        reply[30..34].copy_from_slice(&request[26..30]);
        packets.extend([(micros, request), (micros + 700, reply)]);
    }
    let files = Files::new();
    files.add("pings", &pcap(1, &packets));
    let text = files.run(&["replay", "pings"]).stdout;
    let lines = files.json(&["pings"]);
    let paths = of_type(&lines, "path").into_iter();
    let in_json = paths.filter(|path| path["rtt_ns"].is_u64()).count();
    let stats = files.run(&["stats", "-o", "json", "pings"]);
    let stats: Value = serde_json::from_str(&stats.stdout).unwrap();
    assert_eq!(in_json, 5);
    assert_eq!(text.matches("RTT 700.0 µs").count(), 5, "{text}");
    assert_eq!(stats["total"]["rtt"]["count"], 5, "{stats}");
    // Nothing is known of what became of these.
    let stats = files.run(&["stats", "pings"]).stdout;
    assert!(!stats.contains("what became of them"), "{stats}");
}

#[test]
fn interfaces_of_any_are_bounded() {
    let packets: Vec<_> = (1..6000)
        .map(|number| (number, cooked(u16::try_from(number).unwrap(), number, 0)))
        .collect();
    let files = Files::new();
    files.add("any", &pcap(276, &packets));
    let lines = files.json(&["any"]);
    assert_eq!(counts(&lines), (5999, 5999));
    let taps = of_type(&lines, "summary")[0]["taps"].as_array().unwrap();
    assert!(taps.len() < 5000 && taps.iter().any(|tap| tap["interface"] == "others"));
}

#[test]
fn detail_bits_of_the_link_type_are_no_part_of_it() {
    let files = Files::new();
    for (name, link) in [("fcs", 0x2400_0001), ("flag", 0x0400_0001)] {
        files.add(name, &pcap(link, &pings(0..3)));
        assert_eq!(counts(&files.json(&[name])), (3, 3), "{name}");
    }
}

#[test]
fn packets_that_give_no_event_are_counted_by_reason() {
    let files = Files::new();
    let simple = [
        section(1, 6),
        simple_packet(&frame(1)),
        simple_packet(&frame(2)),
    ]
    .concat();
    let nowhere = [&section(1, 6)[..28], &packet(6, 5, &frame(1))].concat();
    files
        .add("ppp", &pcap(9, &[(0, vec![0xff, 3, 0, 0x21])]))
        .add("unnamed", &pcap(4711, &[(0, ping(1)), (1, ping(2))]))
        .add("simple", &simple)
        .add("nowhere", &nowhere);
    for (name, words, json) in [
        (
            "ppp",
            "ppp: 1 packet left out: of link type PPP (9), which podtrace does not decode",
            r#"[{"link_name":"PPP","link_type":9,"packets":1,"reason":"link_type"}]"#,
        ),
        (
            "unnamed",
            "unnamed: 2 packets left out: of link type 4711, which podtrace does not decode",
            r#"[{"link_type":4711,"packets":2,"reason":"link_type"}]"#,
        ),
        (
            "simple",
            "simple: 2 packets left out: without a time (simple packet blocks)",
            r#"[{"packets":2,"reason":"no_time"}]"#,
        ),
        (
            "nowhere",
            "nowhere: 1 packet left out: of an interface that the file does not describe",
            r#"[{"packets":1,"reason":"no_interface"}]"#,
        ),
    ] {
        let lines = files.json(&[name]);
        assert_eq!(notices(&lines), [words]);
        let summary = of_type(&lines, "summary")[0];
        assert_eq!(summary["left_out"].to_string(), json);
        let stats = files.run(&["stats", "-o", "json", name]);
        let stats: Value = serde_json::from_str(&stats.stdout).unwrap();
        assert_eq!(stats["left_out"].to_string(), json);
        let strict = files.run(&["replay", "--strict", name]);
        assert_eq!(strict.code, Some(4), "{strict:?}");
        assert!(
            strict.stdout.contains("of the files left out"),
            "{strict:?}"
        );
    }
}

#[test]
fn clock_without_directions_is_unknown_for_that_reason() {
    let files = Files::new();
    let later = pings(0..5)
        .into_iter()
        .map(|(micros, data)| (micros + 500, data));
    files
        .add("a", &pcap(1, &pings(0..5)))
        .add("b", &pcap(1, &later.collect::<Vec<_>>()));
    files.add("other", &pcap(1, &pings(20..25)));
    let lines = files.json(&["a", "b"]);
    assert_eq!(counts(&lines), (5, 10));
    let [clock] = notices(&lines)[..] else {
        panic!("{lines:?}");
    };
    assert!(clock.contains("which way they went"), "{clock}");
    assert!(clock.contains("--clock-offset b=TIME"), "{clock}");
    let lines = files.json(&["a", "other"]);
    assert!(
        notices(&lines)[0].contains("no packet was seen both there"),
        "{lines:?}"
    );
}

#[test]
fn capture_cut_in_its_beginning_is_damaged() {
    let files = Files::new();
    for len in [4, 8, 11, 12, 20, 27] {
        files.add("cut", &section(1, 6)[..len]);
        let output = files.run(&["replay", "--strict", "cut"]);
        assert_eq!(output.code, Some(4), "{output:?}");
        assert!(
            output.stdout.contains("cut off within a block"),
            "{output:?}"
        );
    }
    files.add("cut", &pcap(1, &[])[..20]);
    let output = files.run(&["replay", "cut"]);
    assert!(
        output.stdout.contains("cut off within the file header"),
        "{output:?}"
    );
}

#[test]
fn other_forms_of_captures_are_read() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&pcap(1, &pings(0..3))).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut older = section(1, 6);
    for (micros, data) in pings(0..3) {
        older.extend(packet(2, begin_us() + u64::from(micros), &data));
    }
    let long = records([0xa1b2_cd34, 0x0004_0002], 1, &[0; 8], &pings(0..3));
    let files = Files::new();
    files
        .add("gzip", &gzip)
        .add("older", &older)
        .add("long", &long);
    files.add("plain", &pcap(1, &pings(0..3)));
    let times = |name: &str| {
        let lines = files.json(&[name]);
        assert_eq!(notices(&lines), [""; 0]);
        let paths = of_type(&lines, "path").into_iter();
        let times = paths.map(|path| path["hops"][0]["time_ns"].as_u64().unwrap());
        times.collect::<Vec<_>>()
    };
    let plain = times("plain");
    assert_eq!(plain.len(), 3);
    for name in ["gzip", "older", "long"] {
        assert_eq!(times(name), plain, "{name}");
    }
    files
        .add("cut", &gzip[..gzip.len() - 20])
        .add("trailing", &[&gzip[..], b"junk"].concat());
    for name in ["cut", "trailing"] {
        let lines = files.json(&[name]);
        assert!(
            notices(&lines)
                .iter()
                .any(|text| text.contains("gzip data")),
            "{lines:?}"
        );
    }
}

#[test]
fn times_out_of_range_become_the_last_one_in_all_formats() {
    let mut blocks = section(1, 6);
    for time in [u64::MAX / 1000 + 5, u64::MAX - 9] {
        blocks.extend(packet(6, time, &frame(1)));
    }
    let files = Files::new();
    files.add("far", &blocks);
    let lines = files.json(&["far"]);
    let last = u64::MAX.to_string();
    for path in of_type(&lines, "path") {
        assert_eq!(path["hops"][0]["time_ns"].to_string(), last);
    }
    let csv = files.run(&["export", "--format", "csv", "far"]).stdout;
    assert_eq!(csv.matches(&format!(",{last},")).count(), 2, "{csv}");
    let stats: Value =
        serde_json::from_str(&files.run(&["stats", "-o", "json", "far"]).stdout).unwrap();
    assert_eq!(stats["total"]["last_ns"].to_string(), last);
    // The finest units that a description can name.
    for resolution in [0x7f, 0xff, 38, 20] {
        files.add(
            "fine",
            &[section(1, resolution), packet(6, 5, &frame(1))].concat(),
        );
        assert_eq!(counts(&files.json(&["fine"])), (1, 1));
    }
}

#[test]
fn other_files_are_refused_by_their_first_bytes() {
    let files = Files::new();
    let held = [section(1, 6), packet(6, begin_us(), &frame(1))].concat();
    let mut zeros = zstd::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..64 {
        zeros.write_all(&[0; 1 << 20]).unwrap();
    }
    files
        .add("zeros.zst", &zeros.finish().unwrap())
        .add("empty", b"")
        .add("short", b"\n\r\r")
        .add("program", &[b"\x7fELF", &[1; 4092][..], &held].concat())
        .add("message", &[b"Subject: a capture\n\n", &held[..]].concat())
        .add("text", b"\n\r\r\nwhich is how a section of pcapng begins");
    files
        .run(&["replay", "/dev/zero"])
        .refuses("/dev/zero is neither pcapng nor pcap");
    files
        .run(&["replay", "zeros.zst"])
        .refuses("nor is one packed in it");
    files.run(&["replay", "empty"]).refuses("it is empty");
    files
        .run(&["replay", "short"])
        .refuses("it has only 3 bytes");
    files
        .run(&["stats", "text"])
        .refuses("text is neither pcapng nor pcap");
    for name in ["program", "message"] {
        files
            .run(&["replay", name])
            .refuses("is neither pcapng nor pcap");
    }
    files
        .run(&["replay", "-"])
        .refuses("standard input is neither pcapng nor pcap: it is empty");
    files.add("packed", &zstd::encode_all(&b""[..], 1).unwrap());
    files
        .run(&["stats", "packed"])
        .refuses("there is nothing in it");
    files
        .run(&["export", "--format", "csv", "-w", "out", "/dev/zero"])
        .refuses("neither");
    assert!(!files.path("out").exists());
}

#[test]
fn search_behind_damage_is_bounded() {
    let files = Files::new();
    files.add(
        "begin",
        &[section(1, 6), packet(6, begin_us(), &frame(1))].concat(),
    );
    let mut replay = files.command(&["replay", "-o", "json", "-"]);
    let mut replay = replay
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = replay.stdin.take().unwrap();
    std::io::copy(&mut File::open(files.path("begin")).unwrap(), &mut input).unwrap();
    // It leaves before this ends, which it never does.
    let _ = std::io::copy(&mut File::open("/dev/zero").unwrap(), &mut input);
    let output = RunOutput::of(replay.wait_with_output().unwrap());
    assert_eq!(output.code, Some(0));
    assert!(
        output.stdout.contains("no good block within 64 MiB"),
        "{output:?}"
    );
    assert!(output.stdout.contains(r#""packets":1"#), "{output:?}");
}
