//! Sessions of real pods, including their containers' sockets, in other tools.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::export::export_to;
use super::peers::agree;
use super::record::{of_type, replay_json};
use super::tools::{output, rewritten, tcpdump_packets, tshark, tshark_packets};
use crate::cases::tracer::Tracer;
use crate::cri_lab::{CriLab, CriLabSpec, CriNode, CriPod, PodSpec};

/// The source of the Ethernet headers that podtrace adds.
const MADE: &str = "02:70:64:74:00:00";

fn run(node: &CriNode, name: &str) -> CriPod {
    let spec = PodSpec {
        name,
        ..PodSpec::default()
    };
    let pod = node.run_pod(&spec).unwrap();
    pod.serve_tcp("container2", 8080).unwrap();
    pod.serve_udp("container2", 8080).unwrap();
    pod
}

/// Within the pod, and to another pod.
fn talk(from: &CriPod, to: &CriPod) {
    for host in ["127.0.0.1", &to.ipv4().unwrap().to_string()] {
        for command in [
            &["ping", "-c", "2", "-A", host][..],
            &["/lab-peer", "tcp", host, "8080", "2", "20000"],
            &["/lab-peer", "udp", host, "8080", "2", "64"],
        ] {
            let output = from.exec("container1", command).unwrap();
            assert_eq!(output.code, 0, "{command:?}: {output:?}");
        }
    }
}

/// Two pods on two nodes talk; if requested, a third one starts meanwhile.
fn recorded(dir: &Path, grows: bool) -> PathBuf {
    let file = dir.join("s.pcapng");
    let lab = CriLab::new(CriLabSpec {
        nodes: 2,
        ipv6: true,
    })
    .unwrap();
    let (from, to) = (run(&lab.nodes[0], "mypod1"), run(&lab.nodes[1], "mypod2"));
    let mut tracer = Tracer::across(&lab, &["-w", file.to_str().unwrap()]);
    talk(&from, &to);
    if grows {
        let late = run(&lab.nodes[0], "mypod3");
        let is_traced = |text: &str| text.starts_with("eth0 of") && text.ends_with("is traced now");
        tracer.wait_for(|value| value["text"].as_str().is_some_and(is_traced));
        talk(&late, &to);
    }
    tracer.finish();
    file
}

fn at_sockets(values: &[Value]) -> usize {
    let sockets = of_type(values, "event").filter(|event| event["direction"] == "socket");
    sockets.count()
}

#[test]
fn session_of_pods_reads_to_the_end_in_every_tool() {
    let dir = TempDir::new().unwrap();
    let file = recorded(dir.path(), false);
    let values = agree(&file);
    let sockets = at_sockets(&values);
    assert!(sockets > 20, "{sockets}");
    // The same through a pipe.
    let piped = r#"tshark -r - -T fields -e frame.number <"$0" | wc -l"#;
    let (count, _) = output("sh", &["-c".as_ref(), piped.as_ref(), file.as_os_str()]);
    let events = of_type(&values, "event").count();
    assert_eq!(count.trim(), events.to_string());

    // Packets at sockets can be distinguished by podtrace's header.
    let fields = ["frame.interface_name", "eth.src", "frame.comment"];
    let rows = tshark(&file, &[], &fields);
    let made: Vec<_> = rows.iter().filter(|row| row[1] == MADE).collect();
    assert_eq!(made.len(), sockets);
    assert!(made.iter().all(|row| row[0].ends_with(" (sockets)")));
    let is_container = |row: &&Vec<String>| row[2] == "default/mypod1[container2]";
    assert!(made.iter().copied().any(|row| is_container(&row)));

    // The pod's interface alone shows no packet twice.
    let pod = dir.path().join("pod.pcapng");
    export_to(
        &pod,
        "pcapng",
        &["--vantage", "default/mypod1/eth0"],
        &[&file],
    );
    let names = tshark(
        &pod,
        &[],
        &["frame.interface_name", "tcp.analysis.retransmission"],
    );
    assert!(names.len() > 20);
    for row in names {
        assert_eq!(row, ["mypod1.default/eth0", ""]);
    }
    let lo = dir.path().join("lo.pcapng");
    export_to(&lo, "pcapng", &["--vantage", "default/mypod1/lo"], &[&file]);
    let again = tshark(&lo, &[], &["tcp.analysis.retransmission"]);
    assert!(again.len() > 10);
    assert!(again.iter().all(|row| row[0].is_empty()));
}

/// Interfaces added during a recording are described after earlier packets; an export has all
/// of them at its begin.
#[test]
fn session_with_a_new_pod_reads_to_the_end_once_exported() {
    let dir = TempDir::new().unwrap();
    let file = recorded(dir.path(), true);
    let values = replay_json(&[&file]);
    let events = of_type(&values, "event").count() as u64;
    assert_eq!(tshark_packets(&file), events);
    assert_eq!(tcpdump_packets(&file), events);
    let made = dir.path().join("edited.pcapng");
    let args: [&OsStr; 2] = [file.as_os_str(), made.as_os_str()];
    output("editcap", &args);
    assert_eq!(tshark_packets(&made), events);

    let exported = dir.path().join("exported.pcapng");
    export_to(&exported, "pcapng", &[], &[&file]);
    let again = agree(&exported);
    assert_eq!(at_sockets(&again), at_sockets(&values));
    assert!(
        rewritten(&exported)
            .iter()
            .all(|(_, packets)| *packets == events)
    );
}
