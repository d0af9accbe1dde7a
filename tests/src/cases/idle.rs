//! What podtrace takes while nothing happens.

use std::{fs, thread, time::Duration};

use podtrace::{
    lab::{Lab, LabSpec},
    node::processes,
};

use super::tracer::Tracer;
use crate::cri_lab::{CriLab, CriLabSpec, PodSpec};

/// How long one measurement takes.
const WINDOW: Duration = Duration::from_secs(5);
/// Measurements; the first ones still see new interfaces and their packets.
const WINDOWS: usize = 4;

/// CPU time and wake-ups of a process since its start.
#[derive(Clone, Copy)]
struct Spent {
    cpu: Duration,
    wakeups: u64,
}

impl Spent {
    fn by(pid: u32) -> Self {
        let mut spent = Self {
            cpu: Duration::ZERO,
            wakeups: 0,
        };
        for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            let task = task.unwrap().path();
            // A thread may end meanwhile.
            let read = |file| fs::read_to_string(task.join(file)).unwrap_or_default();
            let ns = read("schedstat");
            let ns = ns.split(' ').next().and_then(|ns| ns.parse().ok());
            spent.cpu += Duration::from_nanos(ns.unwrap_or_default());
            let status = read("status");
            let switches = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            spent.wakeups += switches.map_or(0, |n| n.trim().parse::<u64>().unwrap());
        }
        spent
    }
}

/// podtrace itself: the process that was started, or one below it.
fn podtrace_of(started: u32) -> u32 {
    let processes = processes::scan().unwrap().processes;
    let is_below = |pid: u32| {
        let mut pid = pid;
        while pid != started {
            match processes.iter().find(|process| process.pid == pid) {
                Some(process) => pid = process.parent,
                None => return false,
            }
        }
        true
    };
    let mut all = processes.iter();
    all.find(|process| process.comm.starts_with("podtrace") && is_below(process.pid))
        .unwrap()
        .pid
}

/// Prints what it takes a second, and checks that it is next to nothing.
fn measure(what: &str, tracer: Tracer) {
    let mut least = Spent {
        cpu: Duration::MAX,
        wakeups: u64::MAX,
    };
    tracer.finish_after(|started| {
        let pid = podtrace_of(started);
        for _ in 0..WINDOWS {
            let before = Spent::by(pid);
            thread::sleep(WINDOW);
            let after = Spent::by(pid);
            let spent = Spent {
                cpu: after.cpu.saturating_sub(before.cpu),
                wakeups: after.wakeups.saturating_sub(before.wakeups),
            };
            eprintln!(
                "{what}: {:.2} ms of CPU and {:.1} wake-ups a second",
                spent.cpu.as_secs_f64() * 1e3 / WINDOW.as_secs_f64(),
                spent.wakeups as f64 / WINDOW.as_secs_f64(),
            );
            if spent.cpu < least.cpu {
                least = spent;
            }
        }
    });
    // A hundredth of a CPU.
    assert!(least.cpu < WINDOW / 100, "{:?} in {WINDOW:?}", least.cpu);
}

#[test]
fn hundred_namespaces_cost_next_to_nothing_while_idle() {
    let lab = Lab::new(LabSpec {
        nodes: 1,
        pods_per_node: 100,
        ipv6: true,
    })
    .unwrap();
    let tracer = Tracer::start(&lab, &[0], &[]);
    measure("idle, 100 pods of the lab", tracer);
}

#[test]
fn hundred_real_pods_cost_next_to_nothing_while_idle() {
    let lab = CriLab::new(CriLabSpec {
        nodes: 1,
        ipv6: true,
    })
    .unwrap();
    let node = &lab.nodes[0];
    for number in 0..100 {
        let spec = PodSpec {
            name: &format!("pod{number}"),
            containers: &["main"],
            ..PodSpec::default()
        };
        node.run_pod(&spec).unwrap();
    }
    measure("idle, 100 pods of containerd", Tracer::on(node, &[]));
}
