//! Attaching takes the kernel its time, and nothing else waits for it.

use std::io::Read as _;
use std::thread;
use std::time::{Duration, Instant};

use podtrace::lab::traffic::ping;
use podtrace::lab::{Lab, LabSpec};
use rtnetlink::LinkVeth;

use super::churn::netlink;
use super::tracer::{Process, Tracer, interrupt, look_at, podtrace};

fn lab(pods: usize) -> Lab {
    Lab::new(LabSpec {
        nodes: 1,
        pods_per_node: pods,
        ipv6: false,
    })
    .unwrap()
}

#[test]
fn packets_are_shown_while_new_interfaces_are_attached_to() {
    const PAIRS: usize = 60;
    let lab = lab(2);
    let node = &lab.nodes[0];
    let (from, to) = (&node.pods[0], &node.pods[1]);
    let mut tracer = Tracer::start(&lab, &[0], &[]);
    netlink(&node.netns, async |handle| {
        for number in 0..PAIRS {
            let pair = LinkVeth::new(&format!("new{number}"), &format!("end{number}"));
            handle.link().add(pair.build()).execute().await.unwrap();
        }
    });
    let is_traced = |value: &serde_json::Value| {
        let text = value["text"].as_str().unwrap_or_default();
        text.ends_with(" is traced now")
    };
    tracer.wait_for(is_traced);
    ping(&from.netns, to.ipv4.into(), 31, 1, 56).unwrap();
    let what = |value: &serde_json::Value| {
        let what = value["what"].as_str().unwrap_or_default();
        value["type"] == "path" && what.starts_with("ICMP echo request id 31 ")
    };
    let path = tracer.wait_for(what);
    assert_eq!(path["outcome"], "delivered", "{path}");
    let values = tracer.wait_until_all(2 * PAIRS, is_traced);
    let shown = values.iter().position(what).unwrap();
    let before = values[..shown].iter().filter(|value| is_traced(value));
    let before = before.count();
    println!(
        "{before} of {} attached to when the ping was shown",
        2 * PAIRS
    );
    assert!(before < 2 * PAIRS, "the ping waited for all");
    tracer.finish();
}

#[test]
fn signal_while_it_attaches_ends_it_soon() {
    let lab = lab(100);
    let mut command = podtrace();
    command.args(["trace", "--color", "never"]);
    let _table = look_at(&mut command, &lab, &[0]);
    let (mut child, mut terminal) = Process::on_terminal(command);
    let (mut shown, mut buffer) = (String::new(), [0; 4096]);
    while !shown.contains("attaching taps: ") {
        let read = terminal.read(&mut buffer).unwrap();
        shown += std::str::from_utf8(&buffer[..read]).unwrap();
    }
    let begun = Instant::now();
    interrupt(&child);
    while child.try_wait().unwrap().is_none() {
        // As long as to detach from what was attached to until then.
        assert!(begun.elapsed() < Duration::from_secs(5), "{shown:?}");
        thread::sleep(Duration::from_millis(5));
    }
    println!("ended after {:?}", begun.elapsed());
    let mut said = String::new();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_to_string(&mut said).unwrap();
    assert!(!said.contains("podtrace on"), "{said}");
    assert!(said.contains("\n0 packets\n"), "{said}");
    assert!(child.wait().unwrap().success());
}
