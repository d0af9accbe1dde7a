//! The leftovers of SIGKILL: nothing with TCX, and inactive filters with clsact, which the
//! next podtrace removes.
mod moments;

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use aya::programs::{SchedClassifier, TcAttachType, loaded_programs};
use podtrace::lab::Lab;
use podtrace::lab::traffic::ping;
use podtrace::netns::NetNs;
use podtrace::probe::AttachMethod;

use super::attach_methods::each_attach_method;
use super::foreign::dump;
use super::one_node;
use super::tracer::{Tracer, run};

/// How long the kernel may take to free a program.
const DEADLINE: Duration = Duration::from_secs(20);

/// All tapped interfaces of a lab, with their namespaces.
fn interfaces(lab: &Lab) -> Vec<(&NetNs, &str)> {
    let node = &lab.nodes[0];
    let mut all = vec![(&node.netns, "cni0")];
    for pod in &node.pods {
        all.extend([
            (&node.netns, &*pod.veth),
            (&pod.netns, "lo"),
            (&pod.netns, "eth0"),
        ]);
    }
    all
}

fn dumps(lab: &Lab) -> Vec<String> {
    let all = interfaces(lab).into_iter();
    all.map(|(netns, interface)| dump(netns, interface))
        .collect()
}

/// The number of programs attached by TCX.
fn tcx_programs(lab: &Lab) -> usize {
    let count = |(netns, interface): (&NetNs, &str)| {
        let hooks = [TcAttachType::Ingress, TcAttachType::Egress];
        let query =
            || hooks.map(|hook| SchedClassifier::query_tcx(interface, hook).unwrap().1.len());
        netns.run(query).unwrap().into_iter().sum::<usize>()
    };
    interfaces(lab).into_iter().map(count).sum()
}

/// The names of podtrace's programs that no process has open.
fn orphans() -> BTreeSet<String> {
    let loaded = loaded_programs().filter_map(Result::ok);
    let ours = loaded.filter(|program| program.name().starts_with(b"pt_"));
    let ours: Vec<_> = ours
        .map(|program| (program.id(), program.name_as_str().unwrap().to_owned()))
        .collect();
    let open = open_programs();
    let orphans = ours.into_iter().filter(|(id, _)| !open.contains(id));
    orphans.map(|(_, name)| name).collect()
}

/// The programs that some process has open, by number.
fn open_programs() -> BTreeSet<u32> {
    // Processes and descriptors come and go.
    let entries = |dir: String| fs::read_dir(dir).into_iter().flatten().flatten();
    let processes = entries("/proc".into());
    let descriptors = processes.flat_map(|process| {
        let dir = process.path().join("fdinfo");
        entries(dir.display().to_string())
    });
    let texts = descriptors.filter_map(|one| fs::read_to_string(one.path()).ok());
    let ids = texts.filter_map(|text| {
        let id = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
        id.map(|id| id.trim().parse().unwrap())
    });
    ids.collect()
}

/// Waits until the kernel has freed all orphans except for these, which are attached.
fn wait_for_orphans(expected: &[&str]) {
    wait_until_orphans(|orphans| orphans.iter().eq(expected.iter().copied()));
}

/// As [`wait_for_orphans`], except for stubs, if any are attached.
fn wait_for_stubs() {
    wait_until_orphans(|orphans| orphans.iter().all(|name| STUBS.contains(&&**name)));
}

fn wait_until_orphans(are_as_expected: impl Fn(&BTreeSet<String>) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let orphans = orphans();
        if are_as_expected(&orphans) {
            return;
        }
        assert!(Instant::now() < deadline, "{orphans:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The output of `podtrace cleanup` about a lab, by line.
fn cleanup(lab: &Lab) -> Vec<String> {
    let output = run(&["cleanup"]);
    assert!(output.status.success(), "{output:?}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(!stdout.is_empty());
    // The other lines are about other labs.
    let lines = stdout.lines().filter(|line| line.contains(&lab.id));
    lines.map(str::to_owned).collect()
}

fn pings_are_answered(lab: &Lab) {
    let pods = &lab.nodes[0].pods;
    ping(&pods[0].netns, pods[1].ipv4.into(), 1, 2, 56).unwrap();
}

const STUBS: [&str; 2] = ["pt_stub_in", "pt_stub_out"];

#[test]
fn kill_leaves_nothing_by_tcx_and_dead_stubs_by_clsact() {
    each_attach_method(|method| {
        let lab = one_node(2);
        let before = dumps(&lab);
        let tracer = Tracer::start(&lab, &[0], &["--attach", method]);
        tracer.kill();
        pings_are_answered(&lab);
        if method == AttachMethod::best().as_str() {
            let left = if method == "tcx" {
                "nothing"
            } else {
                "dead stubs"
            };
            println!("feature: after SIGKILL: {left}");
        }
        if method == "tcx" {
            assert_eq!(tcx_programs(&lab), 0);
            wait_for_orphans(&[]);
            assert_eq!(dumps(&lab), before);
            return;
        }
        wait_for_orphans(&STUBS);
        let left = dumps(&lab);
        assert!(
            left.iter().all(|dump| dump.contains("podtrace/")),
            "{left:?}"
        );
        let lines = cleanup(&lab);
        assert_eq!(lines.len(), interfaces(&lab).len(), "{lines:#?}");
        let veth = &lab.nodes[0].pods[0].veth;
        let line = lines.iter().find(|line| line.contains(veth)).unwrap();
        let expected = format!(
            "2 dead tc filters and the clsact qdisc of an earlier podtrace removed from {veth} \
             in /run/netns/{}",
            lab.nodes[0].netns.name
        );
        assert_eq!(*line, expected);
        assert_eq!(dumps(&lab), before);
        wait_for_orphans(&[]);
        assert_eq!(cleanup(&lab), [""; 0]);
        pings_are_answered(&lab);
    });
}

#[test]
fn next_start_sweeps_other_namespaces_too() {
    let (lab, other) = (one_node(2), one_node(2));
    let before = dumps(&lab);
    Tracer::start(&lab, &[0], &["--attach", "clsact"]).kill();
    assert_ne!(dumps(&lab), before);
    each_attach_method(|method| {
        if dumps(&lab) == before {
            Tracer::start(&lab, &[0], &["--attach", "clsact"]).kill();
        }
        let mut tracer = Tracer::start(&other, &[0], &["--attach", method]);
        let tap_points = interfaces(&lab).len();
        tracer.wait_until_all(tap_points, |value| {
            let text = value["text"].as_str().unwrap_or_default();
            text.contains("of an earlier podtrace removed from") && text.contains(&lab.id)
        });
        assert_eq!(dumps(&lab), before);
        tracer.finish();
    });
}

#[test]
fn cleanup_leaves_a_running_podtrace_alone_and_says_so() {
    let lab = one_node(2);
    let before = dumps(&lab);
    let tracer = Tracer::start(&lab, &[0], &["--attach", "clsact"]);
    let during = dumps(&lab);
    let output = run(&["cleanup"]);
    assert!(output.status.success(), "{output:?}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let line = stdout
        .lines()
        .find(|line| line.contains("running"))
        .unwrap();
    let (count, rest) = line.split_once(' ').unwrap();
    assert_eq!(rest, "filters of running podtraces are left alone");
    assert!(
        count.parse::<usize>().unwrap() >= 2 * interfaces(&lab).len(),
        "{line}"
    );
    assert_eq!(dumps(&lab), during);
    tracer.finish();
    assert_eq!(dumps(&lab), before);
}
