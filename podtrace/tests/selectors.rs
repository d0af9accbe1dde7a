//! Selectors on recordings.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::File,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

const FILES: [&str; 2] = ["worker1.pcapng", "worker2.pcapng"];

fn podtrace(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podtrace"));
    command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs"))
        .args(words);
    command
}

fn output(words: &[&str]) -> Output {
    podtrace(words).output().unwrap()
}

/// What a replay prints as JSON: all lines.
fn replay(selectors: &str, expression: &str) -> Vec<Value> {
    let mut words = vec!["replay", "-o", "json"];
    words.extend(selectors.split_whitespace());
    words.extend(FILES);
    words.extend(["--", expression]);
    let output = output(&words);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{selectors}: {error}");
    lines(&output)
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

fn of_type<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

/// Seen and emitted; with what is filtered they add up at each tap.
fn counts(lines: &[Value]) -> (u64, u64) {
    let summary = of_type(lines, "summary");
    let summary = summary.first().unwrap();
    let of = |count: &Value| {
        let [seen, emitted, filtered] =
            ["seen", "emitted", "filtered"].map(|name| count[name].as_u64().unwrap());
        assert_eq!(seen, emitted + filtered, "{count}");
        (seen, emitted)
    };
    for tap in summary["taps"].as_array().unwrap() {
        of(tap);
    }
    of(&summary["total"])
}

fn numbers(lines: &[Value]) -> Vec<u64> {
    let paths = of_type(lines, "path").into_iter();
    paths.map(|path| path["packet"].as_u64().unwrap()).collect()
}

fn packets(selectors: &str) -> Vec<u64> {
    numbers(&replay(selectors, ""))
}

/// The packets of either list, or of both.
fn joined(one: &[u64], other: &[u64], with_either: bool) -> Vec<u64> {
    let is_in = |list: &[u64], number: &u64| list.contains(number);
    let all = packets("");
    let chosen = all.into_iter().filter(|number| match with_either {
        true => is_in(one, number) || is_in(other, number),
        false => is_in(one, number) && is_in(other, number),
    });
    chosen.collect()
}

const SELECTORS: [&str; 24] = [
    "--pod client",
    "--pod default/web",
    "--pod *b",
    "--from-pod client",
    "--to-pod default/client",
    "--between client default/web",
    "--between client 10.244.2.0/24",
    "-N default",
    "--namespace def*",
    "--ip 10.244.2.3",
    "--ip 10.244.1.0/24",
    "--ip fe80::/10",
    "--port 80",
    "--protocol tcp",
    "--protocol ICMP",
    "--protocol icmp6",
    "--protocol arp",
    "--protocol 1",
    "--node worker2",
    "--node worker?",
    "--outcome delivered",
    "--outcome not-seen-further",
    "--min-latency 100us",
    "--min-latency 10",
];

#[test]
fn packets_are_shown_with_all_their_hops_or_counted_as_filtered() {
    let all = replay("", "");
    for selector in SELECTORS {
        for not in ["", "--not "] {
            let selectors = format!("{not}{selector}");
            let some = replay(&selectors, "");
            let chosen = numbers(&some);
            for kind in ["path", "event"] {
                let of_all = of_type(&all, kind).into_iter();
                let expected: Vec<_> = of_all
                    .filter(|line| chosen.contains(&line["packet"].as_u64().unwrap()))
                    .collect();
                assert_eq!(of_type(&some, kind), expected, "{selectors}");
            }
            let (seen, emitted) = counts(&some);
            assert_eq!(seen, counts(&all).0);
            assert_eq!(emitted, of_type(&some, "event").len() as u64, "{selectors}");
        }
    }
}

#[test]
fn not_takes_all_others() {
    let all = packets("").len();
    for selector in SELECTORS {
        let (yes, no) = (packets(selector), packets(&format!("--not {selector}")));
        assert_eq!(yes.len() + no.len(), all, "{selector}");
        assert!(joined(&yes, &no, false).is_empty(), "{selector}");
    }
}

#[test]
fn one_selector_twice_is_or_and_two_are_and() {
    for (one, other, with_either) in [
        ("--pod web", "--pod db", true),
        ("--protocol tcp", "--protocol arp", true),
        ("--port 80", "--port 53", true),
        ("--pod web", "--protocol icmp", false),
        ("--from-pod client", "--min-latency 100us", false),
        ("--not --pod client", "--not --pod web", false),
        ("--pod client", "--not --protocol tcp", false),
        ("--node worker2", "--outcome not_seen_further", false),
    ] {
        let expected = joined(&packets(one), &packets(other), with_either);
        assert!(!expected.is_empty(), "{one} {other}");
        for both in [format!("{one} {other}"), format!("{other} {one}")] {
            assert_eq!(packets(&both), expected, "{both}");
        }
    }
}

#[test]
fn direction_and_hops_are_as_asked_for() {
    let ends = |selectors: &str| {
        let lines = replay(selectors, "");
        let paths = of_type(&lines, "path").into_iter();
        let pod = |name: &Value| name.as_str().unwrap_or_default().to_owned();
        let ends = paths.map(|path| (pod(&path["source_pod"]), pod(&path["destination_pod"])));
        ends.collect::<Vec<_>>()
    };
    let (client, web) = ("default/client".to_owned(), "default/web".to_owned());
    assert!(
        ends("--from-pod client")
            .iter()
            .all(|(from, _)| *from == client)
    );
    assert!(ends("--to-pod client").iter().all(|(_, to)| *to == client));
    let between = ends("--between web client");
    assert!(between.contains(&(client.clone(), web.clone())));
    for pair in between {
        let is_it = pair == (client.clone(), web.clone()) || pair == (web.clone(), client.clone());
        assert!(is_it, "{pair:?}");
    }
}

#[test]
fn expression_and_selector_both_have_to_be_met() {
    let icmp = numbers(&replay("", "icmp"));
    let both = replay("--pod web", "icmp");
    assert_eq!(numbers(&both), joined(&icmp, &packets("--pod web"), false));
    // Of these, the hops that match the expression.
    let hops = replay("--pod web --only-matching --outer", "icmp");
    assert_eq!(numbers(&hops), numbers(&both));
    let (seen, emitted) = counts(&hops);
    assert!(emitted > 0 && emitted < counts(&both).1 && seen == counts(&both).0);
}

#[test]
fn first_and_last_count_what_is_selected() {
    let all = packets("--pod web");
    for count in [1, 3, 100] {
        let first = packets(&format!("--pod web --first {count}"));
        assert_eq!(first, all[..count.min(all.len())]);
        let last = packets(&format!("--pod web --last {count}"));
        assert_eq!(last, all[all.len().saturating_sub(count)..]);
    }
}

#[test]
fn stats_flows_and_exports_have_the_same_packets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.pcapng");
    let file = file.to_str().unwrap();
    let selectors = ["--pod", "web", "--port", "80"];
    let expected = replay("--pod web --port 80", "");
    let words = ["export", "--format", "pcapng", "-w", file];
    assert!(
        output(&[&words[..], &selectors, &FILES].concat())
            .status
            .success()
    );
    let exported = lines(&output(&["replay", "-o", "json", file]));
    assert_eq!(numbers(&exported).len(), numbers(&expected).len());
    assert_eq!(counts(&exported), counts(&expected));

    let stats = output(&[&["stats", "-o", "json"], &selectors[..], &FILES].concat());
    let stats: Value = serde_json::from_slice(&stats.stdout).unwrap();
    assert_eq!(
        stats["total"]["packets"],
        numbers(&expected).len(),
        "{stats}"
    );
    let flows = ["flows", "-o", "json", "-r", FILES[0], "-r", FILES[1]];
    let flows = lines(&output(&[&flows[..], &selectors].concat()));
    let [flow] = &flows[..] else {
        panic!("{flows:?}");
    };
    assert_eq!(flow["protocol"], "tcp");
}

#[test]
fn interfaces_may_be_patterns_and_a_pod_s() {
    let taps = |name: &str| {
        let lines = replay(&format!("-i {name}"), "");
        let events = of_type(&lines, "event").into_iter();
        let tap = |event: &Value| {
            let owner = event["pod"].as_str().or(event["node"].as_str()).unwrap();
            format!("{owner}/{}", event["interface"].as_str().unwrap())
        };
        let mut taps: Vec<_> = events.map(tap).collect();
        taps.sort();
        taps.dedup();
        taps
    };
    assert_eq!(taps("client/eth0"), ["default/client/eth0"]);
    assert_eq!(
        taps("default/*b/eth0"),
        ["default/db/eth0", "default/web/eth0"]
    );
    assert_eq!(taps("worker1/eth0"), ["worker1/eth0"]);
    assert_eq!(taps("cni?"), ["worker1/cni0", "worker2/cni0"]);
    assert!(taps("veth*").len() > 3);
}

#[test]
fn name_that_nothing_has_is_an_error_and_leaves_no_file() {
    for (selectors, expected) in [
        (
            "--pod web1",
            "no pod web1 in the files\nhint: there is default/web, ",
        ),
        (
            "--not --from-pod default/we",
            "no pod default/we in the files\nhint: there is default/web, ",
        ),
        (
            "--between web clint",
            "no pod clint in the files\nhint: there is default/client, ",
        ),
        (
            "-N kube-*",
            "no namespace kube-* in the files\nhint: there is default\n",
        ),
        (
            "-l app=web",
            "no pod with the labels app=web in the files\nhint: no pod with labels is known\n",
        ),
        (
            "--container nginx",
            "no container nginx in the files\nhint: no container is known\n",
        ),
        (
            "--service web",
            "no Service web in the files\nhint: no Service is known\n",
        ),
        (
            "--node worker3",
            "no node worker3 in the files\nhint: there is worker1, worker2\n",
        ),
        (
            "-i db1/eth0",
            "no interface db1/eth0 in the files\nhint: there is eth0, ",
        ),
        ("-i vet?", "no interface vet? in the files\nhint: there is "),
    ] {
        let selectors: Vec<_> = selectors.split_whitespace().collect();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out");
        let export = ["export", "--format", "csv", "-w", file.to_str().unwrap()];
        for command in [&["replay"][..], &["stats"], &export] {
            let output = output(&[command, &selectors, &FILES].concat());
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{selectors:?}: {error}");
            // The option comes first.
            let expected = format!(": {expected}");
            assert!(error.starts_with("podtrace: --"), "{error}");
            assert!(error.contains(&expected), "{error}");
        }
        assert!(!file.exists());
    }
    // Standard input cannot be read before it is shown.
    let input = File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs/worker1.pcapng"));
    let mut command = podtrace(&["replay", "--pod", "web1", "-"]);
    let output = command.stdin(input.unwrap()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("no pod web1 in what was read"), "{error}");
}

/// Packets of another time are asked for: the recording's span is said, and it is no success.
#[test]
fn part_without_packets_is_an_error() {
    for command in [&["replay"][..], &["stats"], &["export", "--format", "csv"]] {
        let words = [command, &["--since", "+1h", FILES[0]]].concat();
        let output = output(&words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let words = "the packets of the recording are of 2026-11-28 ";
        assert!(said.contains(words), "{said}");
    }
}

/// The same leaves no file.
#[test]
fn part_without_packets_writes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("written");
    let name = file.to_str().unwrap();
    for command in [
        &["export", "--format", "csv", "-w"][..],
        &["export", "--format", "pcapng", "-w"],
        &["report", "-o"],
    ] {
        let words = [command, &[name, "--since", "+1h", FILES[0]]].concat();
        let output = output(&words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(!file.exists(), "{words:?}");
    }
}

/// The hops of the packets behind the last that is shown are filtered, or not read.
#[test]
fn counts_are_those_of_the_first_packets() {
    for expression in ["", "icmp"] {
        let lines = replay("--first 5", expression);
        let hops = of_type(&lines, "path").into_iter();
        let hops: usize = hops
            .map(|path| path["hops"].as_array().unwrap().len())
            .sum();
        let (_, emitted) = counts(&lines);
        assert_eq!(numbers(&lines).len(), 5);
        assert_eq!(hops as u64, emitted, "{expression}");
    }
}

/// tcpdump's name for all of them.
#[test]
fn any_interface_is_every_interface() {
    assert_eq!(packets("-i any"), packets(""));
}
