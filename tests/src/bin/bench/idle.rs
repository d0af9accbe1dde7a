//! The cost of podtrace while nothing happens.
use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use podtrace::lab::{Lab, LabSpec};
use podtrace_tests::cri_lab::{CriLab, CriLabSpec, PodSpec};

use crate::{
    Effort,
    report::{Bound, Goal, Group, Measured, Row, Stat},
    running::{self, Running},
    site::Site,
    tool::LIFETIME,
};

/// The number and length of the measurements; the first ones still see new interfaces and
/// their packets.
#[derive(Clone, Copy)]
struct Windows {
    count: usize,
    length: Duration,
}

/// A trace of many silent pods, in the lab and in containerd.
pub(crate) fn measure(site: &Site, effort: &Effort) -> Result<Measured> {
    let pods = effort.pick(100, 20);
    let windows = Windows {
        count: 4,
        length: effort.pick(Duration::from_secs(5), Duration::from_secs(1)),
    };
    let rows = [
        watch(
            format!("{pods} pods of the lab"),
            of_lab(site, pods, windows)?,
        ),
        watch(
            format!("{pods} pods of containerd"),
            of_containerd(site, pods, windows)?,
        ),
    ];
    let goals = rows.iter().map(|row| {
        Goal::new(
            format!("idle, CPU a second, {}", row.name),
            Bound::AtMost(10.0),
            "ms",
            Stat(vec![row.stat.least()]),
        )
    });
    Ok(Measured {
        goals: goals.collect(),
        groups: vec![Group::listed("CPU a second while idle", "ms", rows)],
        ..Measured::default()
    })
}

fn watch(name: String, spent: Vec<Spent>) -> Row {
    let cpu = spent.iter().map(|spent| spent.cpu_ms);
    let wakeups = spent.iter().map(|spent| spent.wakeups);
    Row::new(name, cpu).beside("wake-ups a second", wakeups)
}

fn of_lab(site: &Site, pods_per_node: usize, windows: Windows) -> Result<Vec<Spent>> {
    let lab = Lab::new(LabSpec {
        nodes: 1,
        pods_per_node,
        ipv6: true,
    })?;
    let node = lab.nodes.first().context("the lab has no node")?;
    let mut command = Command::new(&site.podtrace);
    command.args(["trace", "--netns", &node.netns.name]);
    command.arg("--pods").arg(site.pod_table(&lab)?);
    windows.watch(&mut command)
}

fn of_containerd(site: &Site, pods: usize, windows: Windows) -> Result<Vec<Spent>> {
    let lab = CriLab::new(CriLabSpec {
        nodes: 1,
        ipv6: true,
    })?;
    let node = lab.nodes.first().context("the lab has no node")?;
    for number in 0..pods {
        running::check()?;
        node.run_pod(&PodSpec {
            name: &format!("pod{number}"),
            containers: &["main"],
            ..PodSpec::default()
        })?;
    }
    let mut command = Command::new(&site.podtrace);
    command.args(["trace", "--netns", &node.netns.name]);
    command.arg("--cri-socket").arg(&node.socket);
    windows.watch(&mut command)
}

/// CPU time and wake-ups of a process, since its start or per second.
#[derive(Clone, Copy)]
struct Spent {
    cpu_ms: f64,
    wakeups: f64,
}

impl Windows {
    /// The cost of a podtrace per second, in each window.
    fn watch(self, command: &mut Command) -> Result<Vec<Spent>> {
        let running = Running::spawn(command.args(LIFETIME).stdout(Stdio::null()))?;
        running.wait_until_interruptible()?;
        let seconds = self.length.as_secs_f64();
        let mut all = Vec::new();
        for _ in 0..self.count {
            running::check()?;
            let before = Spent::by(running.pid())?;
            thread::sleep(self.length);
            let after = Spent::by(running.pid())?;
            all.push(Spent {
                cpu_ms: (after.cpu_ms - before.cpu_ms) / seconds,
                wakeups: (after.wakeups - before.wakeups) / seconds,
            });
        }
        running.interrupt()?;
        running.wait()?;
        Ok(all)
    }
}

impl Spent {
    fn by(pid: u32) -> Result<Self> {
        let mut spent = Self {
            cpu_ms: 0.0,
            wakeups: 0.0,
        };
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            // A thread may end meanwhile.
            let read = |file| fs::read_to_string(task.join(file)).unwrap_or_default();
            let number = |text: Option<&str>| text.and_then(|text| text.trim().parse().ok());
            let ns: Option<f64> = number(read("schedstat").split(' ').next());
            spent.cpu_ms += ns.unwrap_or_default() / 1e6;
            let status = read("status");
            let switches = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            spent.wakeups += number(switches).unwrap_or_default();
        }
        Ok(spent)
    }
}
