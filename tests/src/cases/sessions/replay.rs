//! A replay shows exactly the live output.

use std::fs::File;
use std::process::Stdio;

use super::live::tail;
use super::record::{
    Recorded, lines, parse, recorded, recorded_during, replay, run, succeeds, try_traffic,
};
use crate::cases::tracer::podtrace;

/// Without the first line, which announces a replay, and the one about the recording.
fn shown(lines: &[String]) -> Vec<&String> {
    let is_own =
        |line: &&String| line.starts_with("-- recorded ") || line.contains(r#""text":"recorded "#);
    lines.iter().skip(1).filter(|line| !is_own(line)).collect()
}

#[track_caller]
fn same(live: &[String], replayed: &[String]) {
    let (live, replayed) = (shown(live), shown(replayed));
    assert!(live.len() > 100, "{}", tail(&live));
    // Only a live trace says how late it is.
    let words = |line: &str| line.split("  (sent ").next().unwrap_or_default().to_owned();
    let differs = live
        .iter()
        .zip(&replayed)
        .position(|(a, b)| words(a) != **b);
    if let Some(at) = differs {
        panic!(
            "line {at}:\nlive     {}\nreplayed {}",
            live[at], replayed[at]
        );
    }
    assert_eq!(live.len(), replayed.len(), "{}", tail(&live));
}

/// From standard input.
fn piped(format: &str, recorded: &Recorded) -> Vec<String> {
    let mut command = podtrace();
    command.args(["replay", "-o", format, "-"]);
    command.stdin(Stdio::from(File::open(&recorded.file).unwrap()));
    let output = command.output().unwrap();
    assert!(output.status.success());
    lines(&String::from_utf8(output.stdout).unwrap())
}

#[test]
fn text_of_every_scenario_is_the_same() {
    let recorded = recorded("a.pcapng", &[]);
    let replayed = replay("text", &[&recorded.file]);
    assert!(replayed[0].starts_with("podtrace replay of node1, node2 · 1 file"));
    let has = |text: &str| replayed.iter().any(|line| line.contains(text));
    for kind in ["ICMP echo", "ICMPv6 echo", "UDP ", "TCP ", "ARP who has"] {
        assert!(has(kind), "{kind}");
    }
    same(&recorded.lines, &replayed);
    same(&recorded.lines, &piped("text", &recorded));
}

#[test]
fn json_of_every_scenario_is_the_same_also_compressed() {
    let recorded = recorded("a.pcapng.zst", &["--zstd", "-o", "json"]);
    let magic = std::fs::read(&recorded.file).unwrap();
    assert_eq!(magic[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    same(&recorded.lines, &replay("json", &[&recorded.file]));
    same(&recorded.lines, &piped("json", &recorded));
}

/// What is said of each packet, in order of time. Their numbers are left out: those that wait for a
/// name when the last one is shown are not recorded, and have no number in the replay. So is why they
/// did not arrive: the replay has the description of the nodes from its begin.
fn packets(values: &[serde_json::Value]) -> Vec<(u64, [String; 3])> {
    let packets = super::record::of_type(values, "path").map(|path| {
        let first_ns = super::record::number(&path["hops"][0], "time_ns");
        let said = ["what", "outcome", "hops"];
        (first_ns, said.map(|field| path[field].to_string()))
    });
    let mut packets: Vec<_> = packets.collect();
    packets.sort();
    packets
}

#[test]
fn count_shows_the_first_packets_of_the_recording() {
    // It ends while packets are on their way.
    let options = ["--count", "40", "-o", "json"];
    let recorded = recorded_during("a.pcapng", &options, |lab| drop(try_traffic(lab)));
    let shown = packets(&parse(&recorded.lines));
    assert_eq!(shown.len(), 40);
    let args = ["replay", "-o", "json", "--first", "40"];
    let args = args.map(AsRef::as_ref).into_iter();
    let args: Vec<&std::ffi::OsStr> = args.chain([recorded.file.as_os_str()]).collect();
    assert_eq!(packets(&parse(&lines(&succeeds(&args)))), shown);
    // The others are counted, and none is lost.
    let all = parse(&replay("json", &[&recorded.file]));
    let total = super::record::conserved(&all);
    assert!(super::record::number(total, "lost_ring") == 0, "{total}");
}

#[test]
fn parts_of_a_recording_are_parts_of_its_output() {
    let recorded = recorded("a.pcapng", &["-o", "json"]);
    let all = parse(&replay("json", &[&recorded.file]));
    let paths: Vec<_> = super::record::of_type(&all, "path").collect();
    let part = |options: &[&str]| {
        let mut args: Vec<&std::ffi::OsStr> = vec!["replay".as_ref()];
        args.extend(["-o", "json"].map(std::ffi::OsStr::new));
        args.extend(options.iter().map(std::ffi::OsStr::new));
        args.push(recorded.file.as_os_str());
        let output = run(&args);
        assert!(output.status.success(), "{output:?}");
        parse(&lines(&String::from_utf8(output.stdout).unwrap()))
    };
    let last = part(&["--last", "9"]);
    let last: Vec<_> = super::record::of_type(&last, "path").collect();
    // By number: a missing packet is reported later than younger ones.
    let number = |path: &serde_json::Value| super::record::number(path, "packet");
    let newest = paths.iter().map(|path| number(path)).max().unwrap();
    let mut expected = paths.clone();
    expected.retain(|path| number(path) + 9 > newest);
    assert_eq!(last, expected);
    let begin = super::record::number(&paths[0]["hops"][0], "time_ns");
    let middle = super::record::number(&paths[paths.len() / 2]["hops"][0], "time_ns");
    let since = format!("+{}us", (middle - begin) / 1000);
    let events = |values: &[serde_json::Value]| -> Vec<(u64, u64)> {
        let events = super::record::of_type(values, "event");
        let times = events.map(|event| {
            (
                super::record::number(event, "time_ns"),
                super::record::number(event, "bytes"),
            )
        });
        times.collect()
    };
    let mut both = events(&part(&["--until", &since]));
    let rest = events(&part(&["--since", &since]));
    assert!(!both.is_empty() && !rest.is_empty());
    both.extend(rest);
    assert_eq!(both, events(&all));
}
