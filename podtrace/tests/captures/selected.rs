//! A selection that selects nothing says so.
use std::{fs::File, process::Stdio};

use super::*;
use crate::bytes::{interface, packet_at};

/// Five packets, of 2023-11-14 22:13:20 to 22:13:24.
fn five() -> Files {
    let files = Files::new();
    files.add("five", &pcap(1, &pings(0..5)));
    files
}

#[test]
fn unknown_interface_is_an_error_and_leaves_no_file() {
    let files = five();
    for command in ["replay", "stats"] {
        let output = files.run(&[command, "-i", "captur", "five"]);
        output.refuses("no interface captur in the files\nhint: there is capture");
    }
    let args = [
        "export", "--format", "csv", "-i", "nosuch", "-w", "out", "five",
    ];
    files.run(&args).refuses("no interface nosuch");
    assert!(!files.path("out").exists());
    // Standard input cannot be read before it is shown.
    let mut command = files.command(&["replay", "-i", "nosuch", "-"]);
    let input = File::open(files.path("five")).unwrap();
    let output = RunOutput::of(command.stdin(Stdio::from(input)).output().unwrap());
    assert!(
        output
            .stderr
            .contains("no packet was seen at nosuch: there is capture"),
        "{output:?}"
    );
}

/// Of pcapng, and of `tcpdump -i any`, whose packets name their interfaces.
#[test]
fn interfaces_that_a_capture_names_are_selected() {
    let any = [7, 5, 2].map(|ifindex| (ifindex, cooked(1, ifindex, 0)));
    let mut described = section(1, 6);
    described.extend(interface(1, b"tun0"));
    for (index, sequence) in [(0, 1), (1, 2), (1, 3)] {
        described.extend(packet_at(index, begin_us(), &frame(sequence)));
    }
    let files = Files::new();
    files
        .add("any", &pcap(276, &any))
        .add("described", &described);
    for (arguments, seen) in [
        (&["-i", "if5", "any"][..], 1),
        (&["-i", "any/if*", "any"], 3),
        (&["-i", "if0", "described"], 1),
        (&["-i", "tun0", "described"], 2),
        (&["-i", "tun0", "-i", "if7", "any", "described"], 3),
    ] {
        let lines = files.json(arguments);
        let summary = of_type(&lines, "summary")[0];
        assert_eq!(summary["total"]["emitted"], seen, "{arguments:?}");
    }
    files
        .run(&["replay", "-i", "if9", "any"])
        .refuses("no interface if9 in the files\nhint: there is if2, if5, if7");
    files
        .add("empty", &section(1, 6)[..28])
        .run(&["replay", "-i", "if9", "empty"])
        .refuses("no interface if9 in the files: they describe none");
}

#[test]
fn time_without_packets_is_reported_with_the_recorded_span() {
    let files = five();
    let span = "the packets of the recording are of 2023-11-14 22:13:20.000000 to 2023-11-14 22:13:24.000000";
    for (args, words) in [
        (&["--since", "23:00:00"][..], span),
        (&["--since", "+20s"], span),
        (
            &["--until", "2001-01-01T00:00:00Z"],
            "the first packet of the recording is of 2023-11-14 22:13:20.000000",
        ),
        (
            &["--since", "22:14:00", "--until", "22:13:20"],
            "from 2023-11-14 22:14:00.000000 on until 2023-11-14 22:13:20.000000",
        ),
    ] {
        let output = files.run(&[&["replay", "-o", "json", "five"], args].concat());
        assert_eq!(output.code, Some(2), "{}", output.stderr);
        let lines = output.json();
        assert!(output.stderr.contains(words), "{}", output.stderr);
        // What the selection ends before is not read.
        let seen = if args[0] == "--until" { 0 } else { 5 };
        let (_, events) = counts(&lines);
        assert!(events == seen || args.len() > 2, "{args:?}: {events}");
    }
    let lines = files.json(&["--since", "+2s", "five"]);
    assert_eq!((counts(&lines).0, notices(&lines).len()), (3, 0));
}

#[test]
fn time_that_ends_before_it_begins_is_refused() {
    let files = five();
    for (since, until) in [
        ("+10s", "+5s"),
        ("+5s", "+5s"),
        ("2023-11-15T00:00:00Z", "2023-11-14T00:00:00Z"),
    ] {
        let output = files.run(&["replay", "--since", since, "--until", until, "five"]);
        output.refuses("--since");
    }
}

/// What nobody can read, and a number that is too large, are named.
#[test]
fn refusals_say_what_would_do() {
    let files = five();
    let largest = u64::MAX.to_string();
    for first in ["99999999999999999999", &format!("{largest}0")] {
        files
            .run(&["trace", "-c", first])
            .refuses(&format!("must be {largest} at most"));
    }
    files
        .run(&["trace", "-c", "0"])
        .refuses("must be a whole number above 0");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = files.command(&["--help"]);
    let output = RunOutput::of(command.stdout(Stdio::from(full)).output().unwrap());
    output.refuses("failed to write to standard output: No space left on device\n");
    let export = ["export", "--format", "csv", "--zstd"];
    files
        .run(&[&export[..], &["a"]].concat())
        .refuses("--zstd is for pcapng");
    files
        .run(&["export", "--format", "pcapng", "--zstd", "a"])
        .refuses("--zstd takes --write");
}

/// An interface whose packets are left out is not called idle.
#[test]
fn vantage_of_undecoded_packets_says_so() {
    let files = Files::new();
    let header = &section(1, 6)[..28];
    let bytes = [
        header,
        &interface(9, b"ppp0"),
        &packet(6, begin_us(), &[0xff; 8]),
    ]
    .concat();
    files.add("named", &bytes);
    let arguments = ["export", "--format", "csv", "--vantage", "ppp0", "named"];
    let output = files.run(&arguments);
    let said = "no packet was seen at ppp0; perhaps its packets were left out: 1 packet of link type PPP (9)";
    assert!(output.stderr.contains(said), "{output:?}");
}

/// An interface's name is shown with its control characters escaped.
#[test]
fn names_of_interfaces_are_escaped() {
    let files = Files::new();
    let header = &section(1, 6)[..28];
    let bytes = [header, &interface(1, b"a\x1b[31"), &packet(6, 0, &frame(1))].concat();
    files.add("named", &bytes);
    let lines = files.json(&["named"]);
    let hop = &of_type(&lines, "path")[0]["hops"][0];
    assert_eq!(hop["interface"], "a\\x1b[31");
    let arguments = [
        "export",
        "--format",
        "csv",
        "--vantage",
        "b\x1b[31",
        "named",
    ];
    files
        .run(&arguments)
        .refuses("no interface b\\x1b[31 in the files\nhint: there is named/a\\x1b[31");
}

#[test]
fn packets_before_the_last_ones_count_as_filtered_and_are_not_exported() {
    let files = five();
    let lines = files.json(&["--last", "2", "five"]);
    assert_eq!(of_type(&lines, "event").len(), 2);
    let summary = of_type(&lines, "summary")[0];
    let total = &summary["total"];
    let counts = ["seen", "emitted", "filtered"].map(|name| total[name].as_u64().unwrap());
    assert_eq!(counts, [5, 2, 3]);
    assert_eq!(summary["duration_ns"], 1_000_000_000);
    let args = [
        "export", "--format", "pcapng", "--last", "2", "-w", "last", "five",
    ];
    assert_eq!(files.run(&args).code, Some(0));
    let lines = files.json(&["last"]);
    assert_eq!(of_type(&lines, "event").len(), 2);
    // The last two of one per second.
    assert_eq!(of_type(&lines, "summary")[0]["duration_ns"], 1_000_000_000);
}
