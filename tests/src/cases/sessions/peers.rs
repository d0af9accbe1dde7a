//! tshark, tcpdump and capinfos read recordings as podtrace does.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use podtrace::lab::traffic::ping;
use serde_json::Value;
use tempfile::TempDir;

use super::live::Live;
use super::record::{conserved, number, of_type, recorded, replay_json, run};
use super::tools::{output, rewritten, tcpdump_packets, tshark, tshark_packets};
use crate::cases::scenarios::lab;
use crate::cases::tracer::podtrace;

/// Seconds as text in nanoseconds.
fn nanoseconds(text: &str) -> u64 {
    let (seconds, part) = text.trim().split_once('.').unwrap();
    assert_eq!(part.len(), 9, "{text}");
    seconds.parse::<u64>().unwrap() * 1_000_000_000 + part.parse::<u64>().unwrap()
}

/// The numbers that capinfos prints.
fn capinfos(file: &Path) -> (u64, u64, u64) {
    let mut args: Vec<&OsStr> = ["-c", "-a", "-e", "-M", "-S", "-T", "-r", "-m"]
        .map(OsStr::new)
        .to_vec();
    args.push(file.as_os_str());
    let (text, error) = output("capinfos", &args);
    assert_eq!(error, "");
    // Name, packets, first and last time.
    let fields: Vec<_> = text.trim().split(',').collect();
    let [.., packets, first, last] = fields[..] else {
        panic!("{text}");
    };
    let packets = packets.trim().parse().unwrap();
    (packets, nanoseconds(first), nanoseconds(last))
}

/// All peers read a file as podtrace does; returns podtrace's output.
#[track_caller]
pub(super) fn agree(file: &Path) -> Vec<Value> {
    let values = replay_json(&[file]);
    let total = conserved(&values);
    let emitted = number(total, "emitted");
    assert_eq!(emitted, of_type(&values, "event").count() as u64);
    assert!(emitted > 0);
    assert_eq!(tshark_packets(file), emitted);
    let times = of_type(&values, "event").map(|event| number(event, "time_ns"));
    let (first, last) = (times.clone().min().unwrap(), times.max().unwrap());
    assert_eq!(capinfos(file), (emitted, first, last));
    if file.extension() != Some(OsStr::new("zst")) {
        assert_eq!(tcpdump_packets(file), emitted);
        assert_eq!(
            rewritten(file),
            ["editcap", "mergecap", "reordercap"].map(|tool| (tool, emitted))
        );
    }
    values
}

#[test]
fn plain_files_agree_and_name_pods() {
    let recorded = recorded("a.pcapng", &["-o", "json"]);
    let values = agree(&recorded.file);

    // The same packets, in the same order, at interfaces of the same names.
    let rows = tshark(
        &recorded.file,
        &["-N", "n"],
        &[
            "frame.packet_id",
            "frame.interface_name",
            "frame.time_epoch",
            "frame.packet_flags_direction",
            "frame.len",
            "frame.comment",
            "icmp.ident",
            "ip.src_host",
        ],
    );
    let events: Vec<_> = of_type(&values, "event").collect();
    assert_eq!(rows.len(), events.len());
    for (row, event) in rows.iter().zip(&events) {
        assert_eq!(number(event, "time_ns"), nanoseconds(&row[2]), "{event}");
        assert_eq!(number(event, "bytes").to_string(), row[4], "{event}");
        let interface = event["interface"].as_str().unwrap();
        let owner = match event["pod"].as_str() {
            Some(pod) => {
                let (namespace, name) = pod.split_once('/').unwrap();
                assert_eq!(row[5], pod, "{event}");
                format!("{name}.{namespace}")
            }
            None => event["node"].as_str().unwrap().to_owned(),
        };
        assert_eq!(row[1], format!("{owner}/{interface}"));
        let direction = match event["direction"].as_str().unwrap() {
            "ingress" => "1",
            "egress" => "2",
            other => panic!("{other}"),
        };
        let flags = row[3].trim_start_matches("0x").trim_start_matches('0');
        assert_eq!(flags, direction, "{row:?}");
    }

    // One id over all hops of a packet, with podtrace's numbers.
    let mut ids: BTreeMap<&str, u64> = BTreeMap::new();
    for (row, event) in rows.iter().zip(&events) {
        let id = ids
            .entry(&row[0])
            .or_insert_with(|| number(event, "packet"));
        assert_eq!(*id, number(event, "packet"), "{row:?}");
    }
    let packets: std::collections::BTreeSet<_> = ids.values().collect();
    assert_eq!(packets.len(), ids.len());

    let is_named = rows.iter().any(|row| row[7] == "mypod1.default");
    assert!(
        is_named,
        "{:?}",
        rows.iter().map(|row| &row[7]).collect::<Vec<_>>()
    );
    let has_icmp = rows.iter().any(|row| row[6] == "23");
    assert!(has_icmp);
}

#[test]
fn compressed_files_agree() {
    let recorded = recorded("a.pcapng.zst", &["--zstd"]);
    let values = agree(&recorded.file);
    // Decompressed, it is the plain file.
    let plain = recorded.dir.path().join("plain.pcapng");
    let args: [&OsStr; 5] = [
        "-q".as_ref(),
        "-d".as_ref(),
        recorded.file.as_os_str(),
        "-o".as_ref(),
        plain.as_os_str(),
    ];
    output("zstd", &args);
    let unpacked = agree(&plain);
    assert!(values[1..] == unpacked[1..]);
}

#[test]
fn exported_files_agree() {
    let recorded = recorded("a.pcapng", &[]);
    let values = replay_json(&[&recorded.file]);
    let exported = recorded.dir.path().join("b.pcapng");
    let args: [&OsStr; 6] = [
        "export".as_ref(),
        "--format".as_ref(),
        "pcapng".as_ref(),
        "-w".as_ref(),
        exported.as_os_str(),
        recorded.file.as_os_str(),
    ];
    let output = run(&args);
    assert!(output.status.success(), "{output:?}");
    let again = agree(&exported);
    let kinds = ["event", "path"];
    for kind in kinds {
        assert!(of_type(&values, kind).eq(of_type(&again, kind)), "{kind}");
    }
}

/// As for `podtrace record -w - | tshark -r -`.
#[test]
fn standard_output_is_a_recording_and_nothing_else() {
    let lab = lab();
    let dir = TempDir::new().unwrap();
    let (file, table) = (dir.path().join("a.pcapng"), dir.path().join("pods"));
    std::fs::write(&table, lab.pod_table()).unwrap();
    let mut command = Command::new("sh");
    // Messages are read, the recording goes to the file.
    command.args(["-c", r#"exec "$@" 2>&1 >"$FILE""#, "sh"]);
    command.arg(podtrace().get_program()).env("FILE", &file);
    command.args(["record", "-w", "-", "--duration", "90s", "--pods"]);
    command.arg(&table);
    command.args(["--netns", &lab.nodes[0].netns.name]);
    let live = Live::spawn(command);
    let pod = &lab.nodes[0].pods[0];
    ping(&pod.netns, Ipv4Addr::LOCALHOST.into(), 23, 3, 56).unwrap();
    let lines = live.finish();
    assert!(
        lines.iter().any(|line| line.starts_with("-- recorded ")),
        "{lines:?}"
    );
    // Three requests and replies, each sent and received by lo.
    assert!(tshark_packets(&file) >= 12);
}
