//! Nanoseconds that a packet takes in the kernel, by `BPF_PROG_TEST_RUN`.
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use podtrace::{
    lab::{Lab, LabSpec, plan::VXLAN_PORT},
    model::snapshot::CgroupPath,
    netns::NetNs,
    packet::{Framing, VxlanPorts},
    probe::{Attach, Probe, ProbeOptions, Way, feature::Without, reader::RingReader},
};
use podtrace_ebpf::config::{PROGRAM_BARE, PROGRAM_INGRESS, PROGRAM_NOOP, SNAPLEN_DEFAULT};
use podtrace_tests::{
    frames,
    yardstick::{BARE_BYTES, Yardsticks},
};

use crate::{
    Effort,
    report::{Bound, Goal, Group, Measured, Row, Stat, in_turns},
};

/// Test runs happen at this interface.
const LOOPBACK: u32 = 1;
/// A turn takes milliseconds: many of them cost little.
const ROUNDS_MORE: usize = 3;
/// Records of one turn on each of two CPUs, and more than that.
const RING_BYTES: u32 = 2 * BARE_BYTES;
/// The largest GSO packet of IPv4.
const GSO_MAX: usize = 65_536;
/// Payload of a segment of such a packet in the overlay.
const SEGMENT: u32 = 1398;

/// A program and what it is fed.
struct Case {
    name: &'static str,
    program: &'static str,
    frame: fn() -> Vec<u8>,
    is_gso: bool,
    /// Whether no packet is wanted.
    is_refused: bool,
}

const OURS: Case = Case {
    name: "ours, 98 B",
    program: PROGRAM_INGRESS,
    frame: || frames::ipv4(98),
    is_gso: false,
    is_refused: false,
};

/// The first two are what the others are compared with, the third is the goal's.
#[rustfmt::skip]
const CASES: [Case; 9] = [
    Case { name: "no-op", program: PROGRAM_NOOP, ..OURS },
    Case { name: "bare tap, 98 B", program: PROGRAM_BARE, ..OURS },
    OURS,
    Case { name: "refused, 98 B", is_refused: true, ..OURS },
    Case { name: "refused, VXLAN, 148 B", frame: || frames::in_vxlan(&frames::ipv4(98)), is_refused: true, ..OURS },
    Case { name: "ours, 1514 B", frame: || frames::ipv4(1514), ..OURS },
    Case { name: "ours, VXLAN, 148 B", frame: || frames::in_vxlan(&frames::ipv4(98)), ..OURS },
    Case { name: "ours, IPv6, 118 B", frame: frames::ipv6, ..OURS },
    Case { name: "ours, GSO", frame: || frames::ipv4(GSO_MAX), is_gso: true, ..OURS },
];

/// Options that what the benchmark loads has in common.
pub(crate) fn probe_options() -> ProbeOptions {
    ProbeOptions {
        snaplen: SNAPLEN_DEFAULT,
        ring_bytes: RING_BYTES,
        max_interfaces: 1024,
        headers_only: false,
        vxlan_ports: VxlanPorts::default(),
        diagnostics: false,
        without: Without::default(),
        bare_bytes: Some(BARE_BYTES),
    }
}

/// Every case, in turns.
pub(crate) fn measure(effort: &Effort) -> Result<Measured> {
    let runs = effort.pick(20_000, 5_000);
    let lab = Lab::new(LabSpec {
        nodes: 1,
        pods_per_node: 1,
        ipv6: false,
    })?;
    let node = lab.nodes.first().context("the lab has no node")?;
    let netns = &node.netns;
    let mut loaded = Vec::new();
    for case in &CASES {
        loaded.push(Loaded::new(case, netns)?);
    }
    let numbers: Vec<_> = (0..CASES.len()).collect();
    let turns = in_turns(ROUNDS_MORE * effort.rounds, &numbers, |number| {
        let loaded = loaded.get_mut(*number).context("no such case")?;
        loaded.wake(netns)?;
        loaded.run(netns, runs)
    })?;
    let mut measured = Measured::default();
    let over_noop = |row: usize| {
        let times = turns[row].iter().zip(&turns[0]);
        Stat(times.map(|(ns, noop)| ns - noop).collect())
    };
    let mut rows = Vec::new();
    for (number, loaded) in loaded.iter().enumerate() {
        let share = over_noop(number).over(&over_noop(1));
        let percent = share.0.iter().map(|share| 100.0 * share);
        let times = turns[number].iter().copied();
        rows.push(Row::new(&loaded.name, times).beside("% of bare over no-op", percent));
    }
    measured.goals.push(Goal::new(
        "kernel, captured packet over a bare tap, both over no-op",
        Bound::AtMost(1.5),
        "x",
        over_noop(2).over(&over_noop(1)),
    ));
    for (row, what) in [(3, "refused packet"), (4, "packet refused in a tunnel")] {
        measured.goals.push(Goal::new(
            format!("kernel, {what} over a bare tap, both over no-op"),
            Bound::AtMost(0.5),
            "x",
            over_noop(row).over(&over_noop(1)),
        ));
    }
    let title = format!("a packet in a test run, {runs} a turn");
    measured.groups.push(Group::compared(title, "ns", rows));
    for loaded in loaded {
        measured.notes.extend(loaded.finish()?);
    }
    Ok(measured)
}

/// A loaded program with a frame for it.
struct Loaded {
    name: String,
    program: &'static str,
    frame: Vec<u8>,
    context: Option<Vec<u8>>,
    _yardsticks: Option<Yardsticks>,
    probe: Probe,
    _hooks: Box<dyn Attach>,
    reader: RingReader,
    drain: JoinHandle<()>,
}

impl Loaded {
    /// The programs attached to the loopback interface of the namespace, so
    /// that they know the packets of test runs.
    fn new(case: &Case, netns: &NetNs) -> Result<Self> {
        let (mut probe, channel) = Probe::load(&probe_options())?;
        let (reader, mut batches) =
            RingReader::spawn(channel, Box::new(|_: u64| CgroupPath::Unknown), None)?;
        probe.register(netns, LOOPBACK, 0, Framing::Ethernet.link_len())?;
        let mut hooks = Way::Tcx.open(&mut probe)?;
        hooks.attach(netns, "lo", LOOPBACK, 0)?;
        if case.is_refused {
            probe.set_vxlan_ports(&[VXLAN_PORT])?;
            probe.sample(0)?;
        }
        probe.start()?;
        let mut loaded = Self {
            name: case.name.into(),
            program: case.program,
            frame: (case.frame)(),
            context: None,
            _yardsticks: None,
            probe,
            _hooks: hooks,
            reader,
            drain: thread::spawn(move || while batches.blocking_recv().is_some() {}),
        };
        if case.program != PROGRAM_INGRESS {
            loaded._yardsticks = Some(Yardsticks::load(&mut loaded.probe)?);
        }
        if case.is_gso {
            loaded.shrink(netns)?;
        }
        Ok(loaded)
    }

    /// A packet of as many segments as its full length has, and of as many
    /// bytes as test runs take.
    fn shrink(&mut self, netns: &NetNs) -> Result<()> {
        let whole = self.frame.clone();
        let segments = (whole.len() as u32).div_ceil(SEGMENT);
        self.context = Some(frames::gso_context(segments, SEGMENT));
        let (mut taken, mut refused) = (0, whole.len() + 1);
        while taken + 1 < refused {
            let len = taken.midpoint(refused);
            self.frame = whole[..len].to_vec();
            match self.run(netns, 1) {
                Ok(_) => taken = len,
                Err(_) => refused = len,
            }
        }
        self.frame = whole[..taken].to_vec();
        self.name = format!("ours, {taken} B, GSO of {segments} segments");
        Ok(())
    }

    fn classifier(&mut self, name: &str) -> Result<&mut SchedClassifier> {
        let program = self.probe.object().program_mut(name);
        Ok(program.context("no such program")?.try_into()?)
    }

    /// Has the reader awake: only our own program wakes it, and the others' runs
    /// are not to have it easier.
    fn wake(&mut self, netns: &NetNs) -> Result<()> {
        self.test_run(PROGRAM_INGRESS, netns, 1).map(|_ns| ())
    }

    /// Nanoseconds of one run.
    fn run(&mut self, netns: &NetNs, repeat: u32) -> Result<f64> {
        self.test_run(self.program, netns, repeat)
    }

    fn test_run(&mut self, program: &str, netns: &NetNs, repeat: u32) -> Result<f64> {
        let (frame, context) = (self.frame.clone(), self.context.clone());
        let program = self.classifier(program)?;
        let result = netns.run(|| {
            program.test_run(TestRunOptions {
                data_in: Some(&frame),
                ctx_in: context.as_deref(),
                repeat,
                ..TestRunOptions::default()
            })
        });
        Ok(result??.duration.as_nanos() as f64)
    }

    /// Detaches; says so when the ring was too small for the turns.
    fn finish(mut self) -> Result<Option<String>> {
        self.probe.stop()?;
        self.reader.stop();
        self.drain
            .join()
            .map_err(|_panic| anyhow!("draining the ring panicked"))?;
        self.reader.join()?;
        let counters = self.probe.counters()?;
        let lost: u64 = counters.values().flatten().map(|one| one.lost).sum();
        Ok((lost > 0).then(|| format!("{}: {lost} events found no room", self.name)))
    }
}
