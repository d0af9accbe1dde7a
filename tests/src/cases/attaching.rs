//! Attaching takes the kernel some time, and nothing else waits for it.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use podtrace::lab::traffic::ping;
use podtrace::lab::{Lab, LabPod};
use podtrace::probe::AttachMethod;
use rtnetlink::LinkVeth;
use serde_json::Value;
use tempfile::TempDir;

use super::attach_methods::each_attach_method;
use super::churn::netlink;
use super::one_node;
use super::tracer::{ALL_TRACED, Process, Tracer, interrupt, podtrace, run, trace_nodes};

/// The deadline of a wait.
const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn packets_are_shown_while_new_interfaces_are_attached_to() {
    const PAIRS: usize = 30;
    let lab = one_node(2);
    let node = &lab.nodes[0];
    let (from, to) = (&node.pods[0], &node.pods[1]);
    let mut tracer = Tracer::start(&lab, &[0], &[]);
    netlink(&node.netns, async |handle| {
        for number in 0..PAIRS {
            let pair = LinkVeth::new(&format!("new{number}"), &format!("end{number}"));
            handle.link().add(pair.build()).execute().await.unwrap();
        }
    });
    let is_traced = |value: &Value| {
        let text = value["text"].as_str().unwrap_or_default();
        text.ends_with(" is traced now") && text != ALL_TRACED
    };
    tracer.wait_for(is_traced);
    ping(&from.netns, to.ipv4.into(), 31, 1, 56).unwrap();
    let what = |value: &Value| {
        let what = value["what"].as_str().unwrap_or_default();
        value["type"] == "path" && what.starts_with("ICMP echo request id 31 ")
    };
    let path = tracer.wait_for(what);
    assert_eq!(path["outcome"], "delivered", "{path}");
    // It may have passed one of the missing interfaces.
    assert_eq!(path["incomplete"], true, "{path}");
    let values = tracer.wait_until_all(2 * PAIRS, is_traced);
    let shown = values.iter().position(what).unwrap();
    let before = values[..shown].iter().filter(|value| is_traced(value));
    let before = before.count();
    println!(
        "{before} of {} attached to when the ping was shown",
        2 * PAIRS
    );
    assert!(before < 2 * PAIRS, "the ping waited for all");
    ping(&from.netns, to.ipv4.into(), 32, 1, 56).unwrap();
    let values = tracer.finish();
    let last = values.iter().find(|value| {
        let what = value["what"].as_str().unwrap_or_default();
        value["type"] == "path" && what.starts_with("ICMP echo request id 32 ")
    });
    assert_eq!(last.unwrap()["incomplete"], false);
}

/// A node with that many pairs of veths, in addition to its pods'.
fn crowded(pairs: usize) -> Lab {
    let lab = one_node(2);
    netlink(&lab.nodes[0].netns, async |handle| {
        for number in 0..pairs {
            let pair = LinkVeth::new(&format!("new{number}"), &format!("end{number}"));
            handle.link().add(pair.build()).execute().await.unwrap();
        }
    });
    lab
}

#[test]
fn signal_while_it_attaches_ends_it_soon() {
    let lab = crowded(100);
    let mut command = podtrace();
    command.args(["trace", "--color", "never", "--duration", "90s"]);
    command.args(["--attach", AttachMethod::best().as_str()]);
    let _table = trace_nodes(&mut command, &lab, &[0]);
    let (mut child, mut terminal) = Process::on_terminal(command);
    let (mut shown, mut buffer) = (String::new(), [0; 4096]);
    if AttachMethod::best() == AttachMethod::Tcx {
        while !shown.contains("attaching taps: ") {
            let read = terminal.read(&mut buffer).unwrap();
            shown += std::str::from_utf8(&buffer[..read]).unwrap();
        }
    } else {
        // The start is too short to show a progress.
        child.wait_for_its_first_line();
    }
    let started = Instant::now();
    interrupt(&child);
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < DEADLINE, "{shown:?}");
        thread::sleep(Duration::from_millis(1));
    }
    println!("ended after {:?}", started.elapsed());
    // All its output is there while the kernel still detaches.
    let mut text = String::new();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_to_string(&mut text).unwrap();
    println!("the output after {:?}", started.elapsed());
    if AttachMethod::best() == AttachMethod::Tcx {
        assert!(child.has_left_any().unwrap(), "nothing to detach from");
        assert!(text.contains(" of "), "{text}");
    }
    let counts_packets = |line: &str| {
        let mut words = line.split(' ');
        words
            .next()
            .is_some_and(|count| count.parse::<u64>().is_ok())
            && words
                .next()
                .is_some_and(|word| word == "packet" || word == "packets")
    };
    assert!(text.lines().any(counts_packets), "{text}");
    child.wait_for_the_rest().unwrap();
    println!("detached after {:?}", started.elapsed());
    assert!(child.wait().unwrap().success());
}

/// A packet from before all interfaces were attached to may have passed some of them unseen:
/// its path is incomplete, and not reported as ended where it was last seen.
#[test]
fn paths_from_before_all_is_attached_are_marked_live_and_in_replay() {
    each_attach_method(|method| {
        // Enough to take some time.
        let pairs = if method == "tcx" { 40 } else { 500 };
        let lab = crowded(pairs);
        let node = &lab.nodes[0];
        let (from, to) = (&node.pods[0], &node.pods[1]);
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("a.pcapng");
        let path = file.to_str().unwrap();
        let options = ["--attach", method, "-w", path, "-o", "json"];
        let mut command = podtrace();
        command
            .arg("trace")
            .args(options)
            .args(["--duration", "90s"]);
        let _table = trace_nodes(&mut command, &lab, &[0]);
        let started = Instant::now();
        let mut tracer = Tracer::begin(&mut command);
        let is_all = |value: &Value| value["text"] == "every interface is traced now";
        let is_late = tracer.is_attaching();
        println!("{method}: begins after {:?}", started.elapsed());
        if is_late {
            ping_until_shown(&mut tracer, from, to);
            println!("first packet shown after {:?}", started.elapsed());
            let values = tracer.wait_until_all(1, is_all);
            let shown = values.iter().position(is_ping);
            let all = values.iter().position(is_all);
            assert!(shown < all, "the first packet waited for all");
            println!("all attached after {:?}", started.elapsed());
        }
        ping(&from.netns, to.ipv4.into(), LAST, 1, 56).unwrap();
        let is_last = |what: &str| what.contains(&format!(" id {LAST} "));
        tracer.wait_for(|value| {
            let what = value["what"].as_str().unwrap_or_default();
            is_ping(value) && is_last(what) && what.contains("reply")
        });
        let end = Instant::now();
        let values = tracer.finish_and(|| println!("{method}: ends after {:?}", end.elapsed()));
        println!("{method}: detached after {:?}", end.elapsed());
        let live = outcomes(&values);
        let (late, early): (Vec<_>, Vec<_>) = live.iter().partition(|path| is_last(&path.0));
        assert_eq!(!early.is_empty(), is_late);
        for (what, outcome, is_incomplete) in early {
            assert!(*is_incomplete, "{what}");
            assert!(
                ["delivered", "unknown"].contains(&&**outcome),
                "{what} {outcome}"
            );
        }
        assert!(
            late.iter().all(|path| path.1 == "delivered" && !path.2),
            "{late:?}"
        );
        let output = run(&["replay", "-o", "json", path]);
        let stdout = String::from_utf8(output.stdout).unwrap();
        let replayed: Vec<_> = stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(outcomes(&replayed), live);
    });
}

/// The id of the pings after everything is attached.
const LAST: u16 = 50;

fn is_ping(value: &Value) -> bool {
    let what = value["what"].as_str().unwrap_or_default();
    value["type"] == "path" && what.starts_with("ICMP echo")
}

/// Pings until a ping is shown: packets at interfaces without taps are not seen.
fn ping_until_shown(tracer: &mut Tracer, from: &LabPod, to: &LabPod) {
    let is_shown = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // A bounded number, in case none is shown.
            for id in LAST + 1..LAST + 200 {
                if is_shown.load(Ordering::Relaxed) {
                    break;
                }
                ping(&from.netns, to.ipv4.into(), id, 1, 56).unwrap();
                // Only limits their number.
                thread::sleep(Duration::from_millis(10));
            }
        });
        tracer.wait_for(is_ping);
        is_shown.store(true, Ordering::Relaxed);
    });
}

/// The packet, outcome and incompleteness of each ping's path; sorted.
fn outcomes(values: &[Value]) -> Vec<(String, String, bool)> {
    let mut all: Vec<_> = values
        .iter()
        .filter(|value| is_ping(value))
        .map(|path| {
            let text = |field: &str| path[field].as_str().unwrap().to_owned();
            (text("what"), text("outcome"), path["incomplete"] == true)
        })
        .collect();
    all.sort();
    all
}
