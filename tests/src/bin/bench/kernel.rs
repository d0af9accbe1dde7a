//! Kernel time of a packet in nanoseconds, by `BPF_PROG_TEST_RUN`.
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use podtrace::{
    filter::{Expression, Filter, Scope},
    lab::{Lab, LabSpec},
    model::snapshot::CgroupPath,
    netns::NetNs,
    packet::{FLANNEL_PORT, Framing, VxlanPorts},
    probe::{Attach, AttachMethod, Probe, ProbeOptions, feature::Without, reader::RingReader},
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

/// Test runs use this interface.
const LOOPBACK: u32 = 1;
/// Additional turns, which are cheap: one takes milliseconds.
const ROUNDS_MORE: usize = 3;
/// Room for the records of one turn on each of two CPUs, and more.
const RING_BYTES: u32 = 2 * BARE_BYTES;
/// The largest GSO packet of IPv4.
const GSO_MAX: usize = 65_536;
/// Payload of a segment of such a packet in the overlay.
const SEGMENT: u32 = 1398;

/// A program and its input.
struct Case {
    name: &'static str,
    program: &'static str,
    frame: fn() -> Vec<u8>,
    is_gso: bool,
    /// What refuses all packets.
    refused_by: Option<Refusal>,
}

/// What refuses a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// `--sample`
    Sampling,
    /// What the kernel decides of [`EXPRESSION`].
    Expression,
}

/// An expression of ten terms, which the packets do not match.
const EXPRESSION: &str = "tcp and (host 10.0.0.1 or host 10.0.0.2 or host 10.0.0.3 or \
                          host 10.0.0.4 or host 10.0.0.5) and not port 22 and not port 53 and \
                          not port 80 and not port 443";

const OURS: Case = Case {
    name: "ours, 98 B",
    program: PROGRAM_INGRESS,
    frame: || frames::ipv4(98),
    is_gso: false,
    refused_by: None,
};

/// The first two are the references, the third belongs to the goal.
#[rustfmt::skip]
const CASES: [Case; 11] = [
    Case { name: "no-op", program: PROGRAM_NOOP, ..OURS },
    Case { name: "bare tap, 98 B", program: PROGRAM_BARE, ..OURS },
    OURS,
    Case { name: "refused, 98 B", refused_by: Some(Refusal::Sampling), ..OURS },
    Case { name: "refused, VXLAN, 148 B", frame: || frames::in_vxlan(&frames::ipv4(98)), refused_by: Some(Refusal::Sampling), ..OURS },
    Case { name: "refused by an expression, 98 B", refused_by: Some(Refusal::Expression), ..OURS },
    Case { name: "refused by an expression, VXLAN, 148 B", frame: || frames::in_vxlan(&frames::ipv4(98)), refused_by: Some(Refusal::Expression), ..OURS },
    Case { name: "ours, 1514 B", frame: || frames::ipv4(1514), ..OURS },
    Case { name: "ours, VXLAN, 148 B", frame: || frames::in_vxlan(&frames::ipv4(98)), ..OURS },
    Case { name: "ours, IPv6, 118 B", frame: frames::ipv6, ..OURS },
    Case { name: "ours, GSO", frame: || frames::ipv4(GSO_MAX), is_gso: true, ..OURS },
];

/// The common options of all loaded programs.
pub(crate) fn probe_options() -> ProbeOptions {
    ProbeOptions {
        snaplen: SNAPLEN_DEFAULT,
        ring_bytes: RING_BYTES,
        max_interfaces: 1024,
        headers_only: false,
        filter: None,
        drops: false,
        vxlan_ports: VxlanPorts::default(),
        diagnostics: false,
        without: Without::default(),
        bare_bytes: Some(BARE_BYTES),
    }
}

/// Measures every case, in turns.
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
    for (row, what) in [
        (3, "refused packet"),
        (4, "packet refused in a tunnel"),
        (5, "packet refused by an expression of ten terms"),
        (6, "the same in a tunnel"),
    ] {
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

/// A loaded program and its frame.
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
    /// Attaches the programs to the loopback interface of the namespace, whose packets test
    /// runs use.
    fn new(case: &Case, netns: &NetNs) -> Result<Self> {
        let filter = Filter {
            expression: Expression::compile(EXPRESSION)?,
            scope: Scope::Both,
        };
        let options = ProbeOptions {
            filter: match case.refused_by {
                Some(Refusal::Expression) => filter.for_kernel(),
                _ => None,
            },
            ..probe_options()
        };
        let (mut probe, channel) = Probe::load(&options)?;
        let (reader, mut batches) =
            RingReader::spawn(channel, Box::new(|_: u64| CgroupPath::Unknown), None)?;
        probe.register(netns, LOOPBACK, 0, Framing::Ethernet.link_len())?;
        let mut hooks = AttachMethod::Tcx.open(&mut probe)?;
        hooks.attach(netns, "lo", LOOPBACK, 0)?;
        if case.refused_by.is_some() {
            probe.set_vxlan_ports(&[FLANNEL_PORT])?;
        }
        if case.refused_by == Some(Refusal::Sampling) {
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

    /// Turns it into a packet with as many segments as its full length has, and with as many
    /// bytes as test runs accept.
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

    /// Keeps the reader awake: only our own program wakes it, and the other programs' runs
    /// must not be cheaper for that.
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

    /// Detaches; returns a note if the ring was too small for the turns.
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
