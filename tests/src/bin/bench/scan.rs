//! The cost of scanning a node, by the number of its pods, and the time until the interfaces
//! of a new pod have taps.
use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::programs::{SchedClassifier, TcAttachType};
use podtrace::{
    lab::{Lab, LabNode, LabSpec},
    model::tap_point::Role,
    netns::NetNs,
    node::{
        discover::{Scan, Scanner},
        pod_table::PodTable,
        target::Node,
    },
};
use podtrace_tests::newcomer::{END, Newcomer, tie};
use tokio::runtime::Runtime;

use crate::{
    Effort,
    report::{Group, Measured, Row},
    running,
    site::Site,
    tool::{Observer, Tool},
};

const MS: f64 = 1000.0;
/// The deadline of a wait.
const DEADLINE: Duration = Duration::from_secs(60);
/// The time without changes after which scans are repeated no more.
const SETTLE: Duration = Duration::from_millis(500);
const HOOKS: [TcAttachType; 2] = [TcAttachType::Ingress, TcAttachType::Egress];

/// Scans nodes of different sizes, and starts pods on a large traced one.
pub(crate) fn measure(site: &Site, effort: &Effort) -> Result<Measured> {
    let sizes: &[usize] = effort.pick(&[1, 100, 250], &[1, 20]);
    let mut rows = Vec::new();
    for pods in sizes {
        eprintln!("   {pods} pods");
        running::check()?;
        rows.extend(scans(*pods)?);
    }
    let scans = Group::listed("a scan of a node", "ms", rows);
    let taps = new_pods(site, effort.pick(99, 20), effort.rounds)?;
    Ok(Measured {
        groups: vec![scans, taps],
        ..Measured::default()
    })
}

fn lab(pods_per_node: usize) -> Result<Lab> {
    Ok(Lab::new(LabSpec {
        nodes: 1,
        pods_per_node,
        ipv6: true,
    })?)
}

fn node(lab: &Lab) -> Result<&LabNode> {
    lab.nodes.first().context("the lab has no node")
}

/// Scans a node with that many pods, and checks that it finds all of them.
fn scans(pods: usize) -> Result<[Row; 4]> {
    let lab = lab(pods)?;
    let netns = node(&lab)?.netns.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let node = Node {
        name: "node1".into(),
        netns: netns.clone(),
    };
    let mut scanner = Scanner::new(vec![node], Vec::new(), PodTable::default());
    let (scan, first) = timed(&runtime, &mut scanner)?;
    ensure!(pods_of(&scan) == pods, "the first scan misses pods");
    let (_, young) = timed(&runtime, &mut scanner)?;
    let later = settled(&runtime, &mut scanner)?;
    let newcomer = Newcomer::new()?;
    tie(&netns, "vethnew", &newcomer.netns)?;
    let (scan, new) = timed(&runtime, &mut scanner)?;
    ensure!(pods_of(&scan) == pods + 1, "a scan misses the new pod");
    let row = |what, ms| Row::new(format!("{pods} pods: {what}"), [ms]);
    Ok([
        row("first", first),
        row("while all are young", young),
        row("later", later),
        row("with a new pod", new),
    ])
}

/// The result of a scan, and its milliseconds.
fn timed(runtime: &Runtime, scanner: &mut Scanner) -> Result<(Scan, f64)> {
    let (scan, seconds) = running::timed(|| Ok(runtime.block_on(scanner.scan())?))?;
    Ok((scan, MS * seconds))
}

/// The milliseconds of the last scan, once nothing is new.
fn settled(runtime: &Runtime, scanner: &mut Scanner) -> Result<f64> {
    let start = Instant::now();
    loop {
        let (scan, ms) = timed(runtime, scanner)?;
        if !scan.unsettled {
            return Ok(ms);
        }
        ensure!(start.elapsed() < DEADLINE, "the node does not settle");
        thread::sleep(SETTLE);
    }
}

fn pods_of(scan: &Scan) -> usize {
    let pods = scan.targets.iter();
    pods.filter(|target| target.point.role == Role::Pod).count()
}

/// How long the ends of a new pod's veth pair are without taps, among other pods.
fn new_pods(site: &Site, others: usize, rounds: usize) -> Result<Group> {
    eprintln!("   new pods beside {others}");
    let lab = lab(others)?;
    let node = node(&lab)?;
    let observer = Observer::start(Tool::Trace, site, &lab, &lab.nodes, &[])?;
    let observer = observer.context("nothing observes")?;
    for pod in &node.pods {
        wait_for_taps(&node.netns, &pod.veth)?;
        wait_for_taps(&pod.netns, "eth0")?;
        wait_for_taps(&pod.netns, "lo")?;
    }
    // They stay: removing one takes kernel time from the next.
    let mut newcomers = Vec::new();
    let (mut tied, mut host, mut pod) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        running::check()?;
        let newcomer = Newcomer::new()?;
        let name = format!("vethnew{round}");
        let start = Instant::now();
        let tapped = |netns, interface| {
            wait_for_taps(netns, interface)?;
            anyhow::Ok(MS * start.elapsed().as_secs_f64())
        };
        tie(&node.netns, &name, &newcomer.netns)?;
        tied.push(MS * start.elapsed().as_secs_f64());
        let inside = thread::scope(|scope| {
            let inside = scope.spawn(|| tapped(&newcomer.netns, END));
            host.push(tapped(&node.netns, &name)?);
            inside
                .join()
                .map_err(|_panic| anyhow!("waiting panicked"))?
        })?;
        pod.push(inside);
        newcomers.push(newcomer);
    }
    observer.finish()?;
    let rows = [
        Row::new("tied to the node", tied),
        Row::new("tapped at the node's end", host),
        Row::new("tapped at the pod's end", pod),
    ];
    let title = format!("a new pod beside {others}, since its veth pair is made");
    Ok(Group::listed(title, "ms", rows))
}

/// Waits until an interface has a tap in each direction.
fn wait_for_taps(netns: &NetNs, interface: &str) -> Result<()> {
    let start = Instant::now();
    let is_tapped = || {
        HOOKS.iter().all(|hook| {
            let programs = SchedClassifier::query_tcx(interface, *hook);
            programs.is_ok_and(|(_, programs)| !programs.is_empty())
        })
    };
    while !netns.run(is_tapped)? {
        ensure!(start.elapsed() < DEADLINE, "{interface} has no tap");
        thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}
