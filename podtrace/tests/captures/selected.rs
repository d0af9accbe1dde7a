//! A selection that selects nothing says so.
use std::{fs::File, process::Stdio};

use super::*;

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
        let said = files.run(&[command, "-i", "captur", "five"]);
        said.refuses("no interface captur in the files\nhint: there is capture");
    }
    let args = [
        "export", "--format", "csv", "-i", "nosuch", "-w", "out", "five",
    ];
    files.run(&args).refuses("no interface nosuch");
    assert!(!files.path("out").exists());
    // Standard input cannot be read before it is shown.
    let mut command = files.command(&["replay", "-i", "nosuch", "-"]);
    let input = File::open(files.path("five")).unwrap();
    let said = Said::of(command.stdin(Stdio::from(input)).output().unwrap());
    assert!(
        said.out
            .contains("no packet was seen at nosuch: there is capture"),
        "{said:?}"
    );
}

#[test]
fn time_without_packets_is_told_with_that_of_the_recording() {
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
        let lines = files.json(&[args, &["five"]].concat());
        let [notice] = notices(&lines)[..] else {
            panic!("{lines:?}");
        };
        assert!(notice.contains(words), "{notice}");
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
        let said = files.run(&["replay", "--since", since, "--until", until, "five"]);
        said.refuses("--since");
    }
}
