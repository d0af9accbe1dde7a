//! What tcpdump's letters show of recordings, and defaults from a file.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn podtrace() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podtrace"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs"));
    command.env("TZ", "UTC").env_remove("PODTRACE_CONFIG");
    command
}

fn text(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn replay(options: &str, expression: &str) -> String {
    let mut command = podtrace();
    command.arg("replay").args(options.split_whitespace());
    command.args(["worker1.pcapng", "--", expression]);
    text(&command.output().unwrap())
}

/// The bytes that lines of hexadecimal show.
fn bytes(shown: &str) -> Vec<String> {
    let lines = shown
        .lines()
        .filter_map(|line| line.trim_start().split_once(":  "));
    let lines = lines.filter(|(offset, _)| offset.starts_with("0x"));
    lines
        .map(|(_, hex)| hex.split_whitespace().collect())
        .collect()
}

#[test]
fn bytes_are_those_that_tshark_shows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.pcapng");
    let mut export = podtrace();
    export
        .args(["export", "--format", "pcapng", "-w"])
        .arg(&file);
    export.args(["worker1.pcapng", "--", "icmp"]);
    text(&export.output().unwrap());
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-x", "-r"]).arg(&file);
    let Ok(output) = tshark.output() else {
        eprintln!("there is no tshark: skipped");
        return;
    };
    let of_tshark: String = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| line.get(4..6) == Some("  ") && line.starts_with("00"))
        .filter_map(|line| line.get(6..53))
        .flat_map(str::split_whitespace)
        .collect();
    // At each hop: at sockets a recording has Ethernet headers that podtrace made.
    let of_podtrace: String = bytes(&replay("-o events -xx", "icmp")).concat();
    let of_sockets = replay("-o events", "icmp").matches(" socket ").count();
    assert!(!of_podtrace.is_empty());
    if of_sockets == 0 {
        assert_eq!(of_podtrace, of_tshark);
    }
}

#[test]
fn bytes_begin_where_they_are_asked_to() {
    let from_ip = bytes(&replay("-x", "tcp")).concat();
    let from_link = bytes(&replay("-xe", "tcp")).concat();
    assert!(from_ip.starts_with("45") && !from_link.starts_with("45"));
    assert_eq!(from_link[28..32], from_ip[..4]);
    assert!(!replay("", "tcp").contains("0x0000"));
    // A path shows its first hop, events each of theirs.
    let count = |options: &str| replay(options, "tcp").matches("0x0000:").count();
    let paths = replay("-o compact", "tcp").matches(" TCP ").count();
    assert_eq!(count("-X"), paths);
    assert_eq!(count("-o compact -X"), paths);
    let events = replay("-o events", "tcp").matches(" TCP ").count();
    assert_eq!(count("-o events -X"), events);
    assert!(events > paths);
}

#[test]
fn macs_are_shown_where_they_are_asked_for() {
    let with = replay("-e -o compact", "tcp");
    let line = with.lines().find(|line| line.contains("TCP")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(
        (words[1].len(), words[2], words[3].len()),
        (17, ">", 17),
        "{line}"
    );
    assert!(!replay("-o compact", "tcp").contains(words[1]));
}

#[test]
fn numbers_count_from_the_syn() {
    let shown = replay("-o compact -t", "tcp");
    let words: Vec<_> = shown
        .lines()
        .filter_map(|line| line.split_once("] ")?.1.split("  ").next())
        .collect();
    assert_eq!(
        words,
        [
            "seq 0 len 0",
            "seq 0 ack 1 len 0",
            "seq 1 ack 1 len 0",
            "seq 1:30 ack 1 len 29",
            "seq 1 ack 30 len 0",
            "seq 1:41 ack 30 len 40",
            "seq 30 ack 41 len 0",
            "seq 30 ack 41 len 0",
            "seq 41 ack 31 len 0",
            "seq 31 ack 42 len 0",
        ]
    );
    assert!(replay("-S", "tcp").contains("seq 4139666191:4139666220 ack 2107567775"));
    let quiet = replay("-q", "tcp");
    assert!(quiet.contains("TCP 52592 > 80 len 29") && !quiet.contains("seq"));
    assert_eq!(quiet.matches("TCP").count(), words.len());
    // JSON has them as they are.
    assert!(replay("-o json", "tcp").contains("\"tcp_sequence\":4139666191"));
}

#[test]
fn direction_is_a_part_of_the_expression() {
    let shown =
        |options: &str, expression: &str| replay(&format!("-o events {options}"), expression);
    for (flag, word) in [("-Q in", "inbound"), ("-Qout", "outbound")] {
        let with = shown(&format!("{flag} --only-matching"), "icmp or arp");
        assert_eq!(
            with,
            shown("--only-matching", &format!("(icmp or arp) and {word}"))
        );
        assert!(with.contains("ICMP"));
    }
    assert_eq!(shown("-Q inout", "icmp"), shown("", "icmp"));
    assert_ne!(shown("-Q in --only-matching", ""), shown("", ""));
    // A mistake is shown in what was given.
    let mut wrong = podtrace();
    wrong.args([
        "replay",
        "-Qin",
        "-i",
        "cni0",
        "worker1.pcapng",
        "--",
        "hots 1",
    ]);
    let error = String::from_utf8(wrong.output().unwrap().stderr).unwrap();
    assert!(error.contains("\n  hots 1\n"), "{error}");
    // A packet comes in somewhere and goes out elsewhere.
    for words in [&["-Q", "in"][..], &["-i", "any", "-Q", "in"]] {
        let mut command = podtrace();
        command.args([&["replay", "worker1.pcapng"], words].concat());
        let output = command.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(
            error.contains("--direction in takes --interface"),
            "{error}"
        );
    }
}

#[test]
fn five_letters_are_the_most() {
    let mut command = podtrace();
    command.args(["replay", "-tttttt", "worker1.pcapng"]);
    let output = command.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("five letters are the most"), "{error}");
}

#[test]
fn what_text_alone_has_is_refused_elsewhere() {
    for flag in [
        "-x",
        "-A",
        "-X",
        "-e",
        "-q",
        "-tt",
        "--time=utc",
        "--quiet-hops",
    ] {
        for format in ["json", "pcapng"] {
            let mut command = podtrace();
            command.args(["replay", "-o", format, flag, "worker1.pcapng"]);
            let output = command.output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{format} {flag}: {error}");
            assert!(
                output.stdout.is_empty() && error.contains("-o events"),
                "{error}"
            );
        }
    }
}

#[test]
fn defaults_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let run = |words: &[&str]| {
        let mut command = podtrace();
        command.env("PODTRACE_CONFIG", &file).args(words);
        command.output().unwrap()
    };
    fs::write(
        &file,
        "[replay]\noutput = \"compact\"\nfirst = 1\n[all]\nnumeric = true\n",
    )
    .unwrap();
    let shown = text(&run(&["replay", "worker1.pcapng"]));
    assert!(
        shown.contains("\n1 packet ·") && shown.contains("  delivered in"),
        "{shown}"
    );
    assert!(!shown.contains("default/client"), "{shown}");
    let shown = text(&run(&["replay", "-c", "2", "-o", "json", "worker1.pcapng"]));
    assert!(
        shown.contains("{\"type\":\"path\"") && shown.contains("\"packets\":2"),
        "{shown}"
    );
    // A recording tells how it was made.
    let recorded = run(&["replay", "-o", "pcapng", "worker1.pcapng"]).stdout;
    let recorded = String::from_utf8_lossy(&recorded);
    assert!(
        recorded.contains("--first=1") && recorded.contains("--numeric"),
        "{recorded}"
    );
    let shown = text(&run(&["--no-config", "replay", "worker1.pcapng"]));
    assert!(
        shown.contains("default/client") && !shown.contains("\n1 packet "),
        "{shown}"
    );
    for (config, words) in [
        (
            "[replay]\nfrist = 1\n",
            ["line 2: [replay] has no option frist", "first"],
        ),
        (
            "[replay]\nfirst = \"\\u001b[31m\"\n",
            ["line 2: [replay] first: ", r"\x1b[31m is wrong"],
        ),
        ("first = 1\n", ["line 1: ", "[all]"]),
    ] {
        fs::write(&file, config).unwrap();
        let output = run(&["replay", "worker1.pcapng"]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        for words in words.into_iter().chain(["config.toml"]) {
            assert!(
                error.contains(words) && !error.contains('\u{1b}'),
                "{words}: {error}"
            );
        }
        // What is wrong is not read where it is not asked for.
        text(&run(&["replay", "--no-config", "worker1.pcapng"]));
    }
    fs::remove_file(&file).unwrap();
    let error = String::from_utf8(run(&["replay", "worker1.pcapng"]).stderr).unwrap();
    assert!(
        error.contains("failed to read") && error.contains("--no-config"),
        "{error}"
    );
}
