//! pcap-filter expressions on recordings.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

const FILES: [&str; 2] = ["worker1.pcapng", "worker2.pcapng"];

fn podtrace(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_podtrace"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs"))
        .args(words)
        .output()
        .unwrap()
}

/// What a replay prints as JSON: all lines.
fn replay(options: &[&str], expression: &str) -> Vec<Value> {
    let mut words = vec!["replay", "-o", "json"];
    words.extend(options);
    words.extend(FILES);
    words.extend(["--", expression]);
    let output = podtrace(&words);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{expression}: {error}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

fn of_type<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

/// Seen, emitted and filtered; they add up at each tap.
fn counts(lines: &[Value]) -> (u64, u64, u64) {
    let summary = of_type(lines, "summary");
    let summary = summary.first().unwrap();
    let of = |count: &Value| {
        let [seen, emitted, filtered] =
            ["seen", "emitted", "filtered"].map(|name| count[name].as_u64().unwrap());
        assert_eq!(seen, emitted + filtered, "{count}");
        (seen, emitted, filtered)
    };
    for tap in summary["taps"].as_array().unwrap() {
        of(tap);
    }
    of(&summary["total"])
}

/// Each path without its number and its link to others.
fn packets(lines: &[Value]) -> Vec<u64> {
    let paths = of_type(lines, "path").into_iter();
    paths.map(|path| path["packet"].as_u64().unwrap()).collect()
}

#[test]
fn packets_are_shown_with_all_their_hops() {
    let all = replay(&[], "");
    for expression in [
        "icmp",
        "not icmp",
        "arp",
        "udp port 8472",
        "host 10.244.1.2 and tcp port 80",
        "dst host 10.244.2.3",
        "tcp[tcpflags] & tcp-syn != 0",
        "outbound and icmp",
        "len > 100",
    ] {
        let some = replay(&[], expression);
        let (numbers, events) = (packets(&some), of_type(&some, "event"));
        assert!(!numbers.is_empty() && numbers.len() < packets(&all).len());
        // What is shown is what a replay without the expression shows of the same packets.
        for kind in ["path", "event"] {
            let of_all = of_type(&all, kind).into_iter();
            let expected: Vec<_> = of_all
                .filter(|line| numbers.contains(&line["packet"].as_u64().unwrap()))
                .collect();
            assert_eq!(of_type(&some, kind), expected, "{expression}");
        }
        let (seen, emitted, _) = counts(&some);
        assert_eq!(seen, counts(&all).0);
        assert_eq!(emitted, events.len() as u64, "{expression}");
    }
}

/// Where no packet is told by its number, those that an expression cannot accept are only counted.
/// Nothing shows that: a doubled `not` means the same, but names no protocol in front.
#[test]
fn statistics_do_not_depend_on_what_was_passed_over() {
    let [first, second] = FILES;
    for command in [
        &["stats", "-o", "json", first, second, "--"][..],
        &["flows", "-o", "json", "-r", first, "-r", second],
    ] {
        let all = |expression: &str| {
            let output = podtrace(&[command, &[expression]].concat());
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{expression}: {error}");
            (String::from_utf8(output.stdout).unwrap(), error)
        };
        for expression in [
            "icmp",
            "tcp port 80",
            "igmp or sctp",
            "tcp and host 10.244.1.2",
        ] {
            let undecided = format!("not not ({expression})");
            assert_eq!(all(expression), all(&undecided), "{command:?} {expression}");
        }
    }
}

#[test]
fn only_hops_that_match_are_shown_where_they_are_asked_for() {
    let events = |options: &[&str], expression: &str| {
        let lines = replay(options, expression);
        let (seen, emitted, _) = counts(&lines);
        let hops: usize = of_type(&lines, "path")
            .iter()
            .map(|path| path["hops"].as_array().unwrap().len())
            .sum();
        assert_eq!(hops as u64, emitted, "{options:?} {expression}");
        (seen, emitted)
    };
    for scope in ["--outer", "--inner"] {
        for (one, other) in [("icmp", "not icmp"), ("tcp", "not tcp"), ("arp", "not arp")] {
            let (seen, yes) = events(&["--only-matching", scope], one);
            let (_, no) = events(&["--only-matching", scope], other);
            assert!(yes > 0 && no > 0);
            assert_eq!(seen, yes + no, "{scope} {one}");
        }
    }
    // In VXLAN, the outer frame is UDP and the inner one is not.
    let (_, vxlan) = events(&["--only-matching"], "udp port 8472");
    assert!(vxlan > 0);
    assert_eq!(
        events(&["--only-matching", "--inner"], "udp port 8472").1,
        0
    );
    let (_, both) = events(&["--only-matching"], "icmp");
    let (_, outer) = events(&["--only-matching", "--outer"], "icmp");
    assert!(both > outer);
}

/// A path of which only some hops are shown is the same path: its times, ends and outcome too.
#[test]
fn path_is_the_same_where_only_some_hops_are_shown() {
    for expression in ["udp port 8472", "inbound", "outbound"] {
        let [some, all] = [&["--only-matching"][..], &[]].map(|options| {
            let lines = replay(options, expression);
            let paths = of_type(&lines, "path").into_iter().cloned();
            paths.collect::<Vec<_>>()
        });
        assert!(!some.is_empty() && some.len() == all.len(), "{expression}");
        let mut left_out = 0;
        for (mut some, mut all) in some.into_iter().zip(all) {
            let [some_hops, all_hops] = [&mut some, &mut all].map(|path| path["hops"].take());
            assert_eq!(some, all);
            let all_hops = all_hops.as_array().unwrap();
            let some_hops = some_hops.as_array().unwrap();
            left_out += all_hops.len() - some_hops.len();
            for hop in some_hops {
                assert!(
                    all_hops.iter().any(|other| other == hop),
                    "{hop} {all_hops:?}"
                );
            }
        }
        assert!(left_out > 0, "{expression}");
    }
}

/// TCP's numbers count from the begin of the flow, shown or not.
#[test]
fn tcp_numbers_do_not_depend_on_what_is_shown() {
    let lines = |options: &[&str]| -> Vec<String> {
        let words = [&["replay", "-o", "compact"], &FILES[..], options].concat();
        let output = podtrace(&words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{options:?}: {error}");
        let text = String::from_utf8(output.stdout).unwrap();
        let tcp = text.lines().filter(|line| line.contains("  TCP "));
        tcp.map(str::to_owned).collect()
    };
    let all = lines(&[]);
    for (options, shown) in [
        (&["--", "tcp[tcpflags] & tcp-push != 0"][..], 2),
        (&["--", "tcp[tcpflags] & tcp-syn == 0"], 4),
        (&["--from-pod", "web", "--port", "80"], 2),
        (&["--last", "8"], 1),
    ] {
        let some = lines(options);
        assert!(some.len() >= shown && some.len() < all.len(), "{some:#?}");
        for line in &some {
            assert!(all.contains(line), "{options:?}: {line}\n{all:#?}");
        }
    }
}

#[test]
fn first_and_last_count_what_matches() {
    let all = packets(&replay(&[], "icmp"));
    for count in [1, 3, 100] {
        let text = count.to_string();
        let first = packets(&replay(&["--first", &text], "icmp"));
        assert_eq!(first, all[..count.min(all.len())]);
        let last = packets(&replay(&["--last", &text], "icmp"));
        assert_eq!(last, all[all.len().saturating_sub(count)..]);
    }
    assert!(packets(&replay(&["--last", "3"], "vlan")).is_empty());
}

/// Whether a line is of what networks send for themselves; the recordings have no other kinds.
fn is_control(line: &Value) -> bool {
    let what = line["what"].as_str().unwrap();
    what.starts_with("ARP ")
        || ["solicitation", "advertisement", "multicast listener"]
            .iter()
            .any(|word| what.starts_with("ICMPv6") && what.contains(word))
}

#[test]
fn first_lines_of_http_are_fields() {
    let lines = replay(&[], "tcp port 80");
    for kind in ["path", "event"] {
        let of_kind = of_type(&lines, kind);
        let read: Vec<_> = of_kind.iter().map(|line| &line["http"]).collect();
        let count = |key: &str, value: Value| read.iter().filter(|http| http[key] == value).count();
        let (requests, responses) = (count("method", "GET".into()), count("status", 200.into()));
        assert!(requests > 0 && responses > 0, "{kind}");
        assert_eq!(count("host", "web".into()), requests);
    }
}

#[test]
fn control_traffic_is_filtered_if_asked_for() {
    for expression in ["", "icmp6 or icmp", "not arp"] {
        let all = replay(&[], expression);
        let some = replay(&["--no-control"], expression);
        for kind in ["path", "event"] {
            let of_all = of_type(&all, kind).into_iter();
            let expected: Vec<_> = of_all.filter(|line| !is_control(line)).collect();
            assert!(!expected.is_empty() && expected.len() < of_type(&all, kind).len());
            assert_eq!(of_type(&some, kind), expected, "{expression}");
        }
        let (seen, emitted, _) = counts(&some);
        assert_eq!(seen, counts(&all).0);
        assert_eq!(emitted, of_type(&some, "event").len() as u64);
        let last = replay(&["--no-control", "--last", "3"], expression);
        let numbers = packets(&some);
        assert_eq!(packets(&last), numbers[numbers.len() - 3..]);
    }
}

#[test]
fn export_has_the_same_packets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("icmp.pcapng");
    let file = file.to_str().unwrap();
    let words = ["export", "--format", "pcapng", "-w", file];
    let output = podtrace(&[&words[..], &FILES, &["--", "icmp"]].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let exported = podtrace(&["replay", "-o", "json", file]);
    let text = String::from_utf8(exported.stdout).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let filtered = replay(&[], "icmp");
    assert_eq!(packets(&lines).len(), packets(&filtered).len());
    assert_eq!(
        of_type(&lines, "event").len(),
        of_type(&filtered, "event").len()
    );
    assert_eq!(counts(&lines), counts(&filtered));

    let partial = podtrace(&[&words[..], &["--only-matching"], &FILES, &["--", "tcp"]].concat());
    let error = String::from_utf8_lossy(&partial.stderr);
    assert_eq!(partial.status.code(), Some(2), "{error}");
    assert!(error.contains("--only-matching leaves hops out"), "{error}");
}

#[test]
fn mistakes_are_explained() {
    for (words, expected) in [
        (
            &["replay", "worker1.pcapng", "--", "icmp", "and", "hots", "x"][..],
            "podtrace: this word cannot stand here, or is none that libpcap knows\n  \
             icmp and hots x\n           ^^^^\n  expected: ",
        ),
        (
            &["replay", "worker1.pcapng", "icmp", "and", "arp"],
            "podtrace: there is no file icmp\n\
             hint: an expression goes behind --: podtrace replay worker1.pcapng -- icmp and arp",
        ),
        (
            &["stats", "--inner", "worker1.pcapng"],
            "podtrace: --inner says how an expression is applied, and there is none",
        ),
        (
            &["trace", "tcp", "port", "99999"],
            "podtrace: illegal port number 99999 > 65535\n  tcp port 99999\n           ^^^^^",
        ),
    ] {
        let output = podtrace(words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {error}");
        assert!(error.starts_with(expected), "{error}");
    }
}

/// A capture of two pings, one sent and one received, with a header in front of each.
fn capture(link: u32, header: fn(u8) -> Vec<u8>) -> Vec<u8> {
    let mut file = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0]);
    file.extend(link.to_le_bytes());
    for kind in [0, 4] {
        let mut packet = header(kind);
        packet.extend([0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0, 0]);
        packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        packet.extend([8, 0, 0, 0, 0, 7, 0, kind]);
        let length = u32::try_from(packet.len()).unwrap().to_le_bytes();
        file.extend([1, 0, 0, 0, kind, 0, 0, 0]);
        file.extend([length, length].concat());
        file.extend(packet);
    }
    file
}

/// In a cooked capture an expression is about what was captured, as with tcpdump: terms of
/// Ethernet are refused there, and lengths are those of the file.
#[test]
fn cooked_captures_are_filtered_as_they_are() {
    let cooked = |kind: u8| {
        let mut header = vec![0, kind, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
        header.extend([8, 0]);
        header
    };
    let cooked2 = |kind: u8| {
        let mut header = vec![8, 0, 0, 0, 0, 0, 0, 3, 0, 1, kind, 6];
        header.extend([2, 0, 0, 0, 0, 1, 0, 0]);
        header
    };
    let folder = tempfile::tempdir().unwrap();
    for (link, header, length) in [
        (113, cooked as fn(u8) -> Vec<u8>, 44),
        (276, cooked2 as fn(u8) -> Vec<u8>, 48),
    ] {
        let file = folder.path().join(format!("{link}.pcap"));
        std::fs::write(&file, capture(link, header)).unwrap();
        let shown = |expression: &str| {
            let file = file.to_str().unwrap();
            let output = podtrace(&["replay", "-o", "compact", file, "--", expression]);
            let text = String::from_utf8(output.stdout).unwrap();
            (text.matches("ICMP echo request").count(), text)
        };
        for (expression, expected) in [
            ("icmp", 2),
            ("ether proto 0x800", 2),
            ("inbound", 1),
            ("outbound", 1),
            (&format!("len = {length}"), 2),
            ("len = 42", 0),
            ("icmp[7] = 4", 1),
        ] {
            let (count, text) = shown(expression);
            assert_eq!(count, expected, "{link} {expression}: {text}");
            assert!(!text.contains("can match"), "{text}");
        }
        for (expression, words) in [
            (
                "ether src 02:00:00:00:00:01",
                "ethernet addresses supported only on",
            ),
            (
                "not ether host 02:00:00:00:00:09",
                "ethernet addresses supported",
            ),
            ("vlan", "no VLAN support for"),
        ] {
            let (count, text) = shown(expression);
            assert_eq!(count, 0, "{link} {expression}: {text}");
            let words =
                format!("no packet of a Linux cooked capture (tcpdump -i any) can match: {words}");
            assert!(text.contains(&words), "{text}");
        }
    }
}
