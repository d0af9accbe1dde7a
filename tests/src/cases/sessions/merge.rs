//! The recordings of two nodes are merged into one stream.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};

use podtrace::lab::traffic::{ping, tcp_exchange, udp_exchange};
use podtrace::lab::{Lab, LabSpec};
use podtrace::netns::NetNs;
use serde_json::Value;
use tempfile::TempDir;

use super::blocks::{blocks, by_another_clock, info, packets, time};
use super::export::export_to;
use super::live::Live;
use super::peers::agree;
use super::record::{conserved, lines, notices, number, of_type, parse, replay_json, succeeds};
use crate::cases::scenarios::lab;
use crate::cases::tracer::hops;

/// A recording of each node during some work, by two podtraces.
fn both_recorded(lab: &Lab, dir: &Path, work: impl FnOnce()) -> [PathBuf; 2] {
    let files = ["one.pcapng", "two.pcapng"].map(|name| dir.join(name));
    let record = |node: usize| {
        let args = ["record", "-w", files[node].to_str().unwrap()];
        Live::on(lab, &[node], &args)
    };
    let lives = [record(0), record(1)];
    work();
    for live in lives {
        live.finish();
    }
    files
}

/// Pings, UDP and TCP both ways between the nodes.
fn across(lab: &Lab) {
    let pods = [&lab.nodes[0].pods[0], &lab.nodes[1].pods[0]];
    for round in 0..10 {
        for (from, to) in [(pods[0], pods[1]), (pods[1], pods[0])] {
            ping(&from.netns, to.ipv4.into(), 100 + round, 5, 56).unwrap();
            ping(&from.netns, to.ipv6.into(), 200 + round, 5, 56).unwrap();
            udp_exchange(&from.netns, &to.netns, (to.ipv4, 5353).into(), 5, b"data").unwrap();
            tcp_exchange(&from.netns, &to.netns, (to.ipv4, 8080).into(), 5_000).unwrap();
        }
    }
}

/// The paths in short, without times and numbers.
fn in_short(values: &[Value]) -> Vec<(String, String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let paths = of_type(values, "path");
    let mut paths: Vec<_> = paths
        .map(|path| (text(&path["what"]), text(&path["outcome"]), hops(path)))
        .collect();
    paths.sort();
    paths
}

/// No packet is at a hop before it left the one before.
#[track_caller]
fn in_order(values: &[Value]) {
    for path in of_type(values, "path") {
        let hops = path["hops"].as_array().unwrap();
        let deltas: Vec<_> = hops.iter().map(|hop| number(hop, "delta_ns")).collect();
        assert!(deltas.is_sorted(), "{path}");
        let times: Vec<_> = hops.iter().map(|hop| number(hop, "time_ns")).collect();
        assert!(times.is_sorted(), "{path}");
        // The underlay's cable connects the uplinks: a packet leaves by one, then enters by
        // the other.
        let at = |direction: &str| {
            hops.iter().position(|hop| {
                hop["interface"] == "eth0" && hop["pod"].is_null() && hop["direction"] == direction
            })
        };
        if let (Some(left), Some(entered)) = (at("egress"), at("ingress")) {
            assert!(left < entered, "{path}");
            assert_ne!(hops[left]["node"], hops[entered]["node"], "{path}");
        }
    }
}

/// The line on the clock of the second file.
fn clock(values: &[Value]) -> String {
    let notices = notices(values);
    let clock = notices.iter().find(|text| text.starts_with("clock of "));
    clock.unwrap_or_else(|| panic!("{notices:?}")).to_string()
}

/// Nanoseconds of `2 h 3 min 0.000184 s` and the like.
fn nanoseconds(text: &str) -> f64 {
    let words: Vec<_> = text.split(' ').collect();
    let parts = words.chunks(2).map(|part| {
        let unit = match part[1] {
            "h" => 3600e9,
            "min" => 60e9,
            "s" => 1e9,
            "ms" => 1e6,
            "µs" => 1e3,
            other => panic!("{other} in {text}"),
        };
        part[0].parse::<f64>().unwrap() * unit
    });
    parts.sum()
}

/// Offset and drift of a clock with their uncertainties, in ns and ppm.
fn measured(line: &str) -> [f64; 4] {
    let (_, rest) = line.split_once(": ").unwrap();
    let parts: Vec<_> = rest.split(", ").collect();
    let (offset, sign) = match parts[0].split_once(" ahead of ") {
        Some((offset, _)) => (offset, 1.0),
        None => (parts[0].split_once(" behind ").expect(line).0, -1.0),
    };
    let uncertainty = parts[1].strip_prefix("± ").expect(line);
    let drift = parts[2]
        .strip_prefix("drift ")
        .and_then(|text| text.strip_suffix(" ppm"));
    let (drift, around) = drift.and_then(|text| text.split_once(" ± ")).expect(line);
    [
        sign * nanoseconds(offset),
        nanoseconds(uncertainty),
        drift.parse().unwrap(),
        around.parse().unwrap(),
    ]
}

/// How far the clock of the second file is ahead in the middle of the file.
fn truth(one: &[u8], two: &[u8], drift_ppm: f64) -> f64 {
    let tap_points = blocks(two);
    let times: Vec<_> = packets(&tap_points)
        .map(|point| time(&two[point.range.clone()]))
        .collect();
    let (first, last) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
    let offset = info(two).epoch_ns - info(one).epoch_ns;
    let begin = times[0];
    let middle = first + (last - first) / 2;
    // By that clock, more time has passed than in reality.
    let since = middle as f64 - begin as f64;
    offset as f64 + since - since / (1.0 + drift_ppm / 1e6)
}

#[test]
fn clocks_that_differ_and_drift_change_no_path() {
    let lab = lab();
    let dir = TempDir::new().unwrap();
    let [one, two] = both_recorded(&lab, dir.path(), || across(&lab));
    let merged = replay_json(&[&one, &two]);
    conserved(&merged);
    in_order(&merged);
    let paths = in_short(&merged);
    let pings = paths
        .iter()
        .filter(|(what, ..)| what.starts_with("ICMP echo re"));
    let cut: Vec<_> = of_type(&merged, "path")
        .filter(|path| path["hops"].as_array().unwrap().len() != 10)
        .map(|path| {
            let hops = path["hops"].as_array().unwrap().iter();
            let hops = hops.map(|hop| {
                format!(
                    "{} {} {} {}",
                    hop["node"], hop["interface"], hop["direction"], hop["time_ns"]
                )
            });
            (path["what"].clone(), hops.collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(pings.clone().count(), 200, "{} {cut:#?}", clock(&merged));
    for (what, outcome, hops) in pings {
        assert_eq!(
            (outcome.as_str(), hops.len()),
            ("delivered", 10),
            "{what} {hops:?}"
        );
    }
    let (first, second) = (fs::read(&one).unwrap(), fs::read(&two).unwrap());
    let changed = dir.path().join("changed.pcapng");
    for (offset_ns, drift_ppm) in [
        (0, 0.0),
        (7_380_000_184_999, 0.0),
        (-9_000_000_000_000, 100.0),
        (3_600_000_000_000, -100.0),
        (1_500_000, 40.0),
        (-250_000, -70.0),
    ] {
        let copy = by_another_clock(&second, offset_ns, drift_ppm);
        fs::write(&changed, &copy).unwrap();
        let values = replay_json(&[&one, &changed]);
        let line = clock(&values);
        println!("{offset_ns} ns, {drift_ppm} ppm: {line}");
        let [offset, uncertainty, drift, around] = measured(&line);
        let truth = truth(&first, &copy, drift_ppm);
        // Milliseconds and more are printed with a resolution of microseconds.
        let printed = if offset.abs() >= 1e6 { 1_000.0 } else { 100.0 };
        let off = (offset - truth).abs();
        assert!(off <= uncertainty + printed, "{line}: it is {truth}");
        assert!((drift - drift_ppm).abs() <= around + 0.1, "{line}");
        assert!(uncertainty < 1e6, "{line}");
        in_order(&values);
        assert!(in_short(&values) == paths, "{line}");
    }
}

#[test]
fn merged_export_has_the_same_paths() {
    let lab = lab();
    let dir = TempDir::new().unwrap();
    let [one, two] = both_recorded(&lab, dir.path(), || across(&lab));
    let ahead = by_another_clock(&fs::read(&two).unwrap(), 5_000_000_000, 30.0);
    fs::write(&two, ahead).unwrap();
    let merged = replay_json(&[&one, &two]);
    let file = dir.path().join("both.pcapng");
    export_to(&file, "pcapng", &[], &[&one, &two]);
    let again = agree(&file);
    assert!(in_short(&again) == in_short(&merged));
    let emitted = |values| number(conserved(values), "emitted");
    assert_eq!(emitted(&again), emitted(&merged));
}

/// Datagrams without answers.
fn one_way(lab: &Lab) {
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    let bind = |pod: &podtrace::lab::LabPod, port: u16| {
        let address = (pod.ipv4, port);
        pod.netns.run(|| UdpSocket::bind(address)).unwrap().unwrap()
    };
    let (receiver, sender) = (bind(to, 5353), bind(from, 0));
    for number in 0..50_u32 {
        let datagram = number.to_be_bytes();
        sender.send_to(&datagram, (to.ipv4, 5353)).unwrap();
        let mut received = [0; 8];
        let len = receiver.recv(&mut received).unwrap();
        assert_eq!(received[..len], datagram);
    }
}

/// Over IPv6, nodes report their multicast groups at any time, in both directions.
fn without_ipv6(netns: &NetNs) {
    let setting = "/proc/sys/net/ipv6/conf/all/disable_ipv6";
    if fs::exists(setting).unwrap() {
        netns.run(|| fs::write(setting, "1")).unwrap().unwrap();
    }
}

#[test]
fn traffic_one_way_leaves_the_clock_unknown_and_said_so() {
    let spec = LabSpec {
        nodes: 2,
        pods_per_node: 1,
        ipv6: false,
    };
    let lab = Lab::new(spec).unwrap();
    for node in &lab.nodes {
        without_ipv6(&node.netns);
    }
    let dir = TempDir::new().unwrap();
    // Resolves the neighbours in advance.
    let to = lab.nodes[1].pods[0].ipv4.into();
    ping(&lab.nodes[0].pods[0].netns, to, 1, 1, 8).unwrap();
    let files = both_recorded(&lab, dir.path(), || one_way(&lab));
    let values = replay_json(&files);
    let line = clock(&values);
    println!("{line}");
    let expected = "clock of node2: unknown: packets went only from node1 to node2; at most ";
    let all = in_short(&values);
    assert!(line.starts_with(expected), "{line} {all:#?}");
    in_order(&values);
    let datagrams = of_type(&values, "path");
    let datagrams = datagrams.filter(|path| path["what"].as_str().unwrap().starts_with("UDP "));
    let datagrams: Vec<_> = datagrams.collect();
    assert_eq!(datagrams.len(), 50, "{datagrams:#?}");
    for path in datagrams {
        assert_eq!(path["outcome"], "delivered", "{path}");
        assert_eq!(hops(path).len(), 10, "{path}");
    }

    // The user can give the offset of a clock that is 3 ms ahead.
    let ahead = by_another_clock(&fs::read(&files[1]).unwrap(), 3_000_000, 0.0);
    fs::write(&files[1], ahead).unwrap();
    let mut args = vec!["replay", "-o", "json", "--clock-offset", "node2=3ms"];
    args.extend(files.iter().map(|file| file.to_str().unwrap()));
    let given = parse(&lines(&succeeds(&args)));
    let line = clock(&given);
    assert_eq!(line, "clock of node2: 3.000 ms ahead of node1's, as given");
    assert!(in_short(&given) == in_short(&values));
    in_order(&given);
}
