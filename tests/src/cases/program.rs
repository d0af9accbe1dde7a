//! The kernel programs, with crafted frames and `BPF_PROG_TEST_RUN`.
mod drops;
pub(super) mod filter;
mod sampling;

use super::one_node;
use std::time::Duration;

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use podtrace::lab::Lab;
use podtrace::model::snapshot::CgroupPath;
use podtrace::netns::NetNs;
use podtrace::packet::VxlanPorts;
use podtrace::probe::{Attach, AttachMethod, Probe, ProbeOptions, feature::Without};
use podtrace::probe::{batch::Batch, reader::RingReader};
use podtrace_ebpf::config::{PROGRAM_EGRESS, PROGRAM_INGRESS, TapCounters};
use podtrace_ebpf::record::{Direction, Record};

const TC_ACT_UNSPEC: u32 = u32::MAX;
const LOOPBACK: u32 = 1;

struct Bench {
    probe: Probe,
    _hooks: Box<dyn Attach>,
    reader: RingReader,
    batches: tokio::sync::mpsc::Receiver<Batch>,
    netns: NetNs,
    _lab: Lab,
}

pub(super) fn options(snaplen: u32, ring_bytes: u32) -> ProbeOptions {
    ProbeOptions {
        snaplen,
        ring_bytes,
        max_interfaces: 16,
        headers_only: false,
        filter: None,
        drops: false,
        vxlan_ports: VxlanPorts::default(),
        diagnostics: false,
        without: Without::default(),
        bare_bytes: None,
    }
}

impl Bench {
    /// Attaches the programs to the loopback interface of a fresh namespace, which test runs
    /// use.
    fn new(snaplen: u32, ring_bytes: u32) -> Self {
        Self::with(options(snaplen, ring_bytes))
    }

    fn with_headers_only() -> Self {
        Self::with(ProbeOptions {
            headers_only: true,
            ..options(160, 1 << 20)
        })
    }

    fn with(options: ProbeOptions) -> Self {
        let lab = one_node(1);
        let netns = lab.nodes[0].pods[0].netns.clone();
        let (mut probe, channel) = Probe::load(&options).unwrap();
        let (reader, batches) =
            RingReader::spawn(channel, Box::new(|_: u64| CgroupPath::Unknown), None).unwrap();
        probe.register(&netns, LOOPBACK, 7, 14).unwrap();
        let mut hooks = AttachMethod::best().open(&mut probe).unwrap();
        hooks.attach(&netns, "lo", LOOPBACK, 7).unwrap();
        probe.start().unwrap();
        Self {
            probe,
            _hooks: hooks,
            reader,
            batches,
            netns,
            _lab: lab,
        }
    }

    /// Runs a program on a frame; returns the time of one run.
    fn run(&mut self, program: &str, frame: &[u8], repeat: u32) -> Duration {
        let program: &mut SchedClassifier = self
            .probe
            .object()
            .program_mut(program)
            .unwrap()
            .try_into()
            .unwrap();
        let result = self.netns.run(|| {
            program.test_run(TestRunOptions {
                data_in: Some(frame),
                repeat,
                ..TestRunOptions::default()
            })
        });
        let result = result.unwrap().unwrap();
        assert_eq!(result.return_value, TC_ACT_UNSPEC);
        result.duration
    }

    /// The records in user space, and the kernel's counts.
    fn finish(mut self) -> (Vec<Vec<u8>>, TapCounters) {
        assert!(self.probe.stop().unwrap());
        self.reader.stop();
        let mut records = Vec::new();
        while let Some(batch) = self.batches.blocking_recv() {
            records.extend(batch.records().map(<[u8]>::to_vec));
        }
        self.reader.join().unwrap();
        (records, self.probe.counters().unwrap()[&7])
    }
}

/// Frames of every unusual kind. The kernel refuses test runs with frames that end within the
/// Ethernet or IP header; the header walk's own tests have those.
fn frames() -> Vec<Vec<u8>> {
    let ethernet = |ethertype: u16, len: usize| {
        let mut frame = vec![0u8; 12];
        frame.extend(ethertype.to_be_bytes());
        frame.extend((14..len).map(|n| n.to_le_bytes()[0]));
        frame
    };
    vec![
        ethernet(0x88cc, 15),
        ethernet(0x0800, 98),
        ethernet(0x8100, 19), // a tag and hardly anything behind it
        ethernet(0x86dd, 60),
        ethernet(0x88cc, 100), // before and behind a multiple of 8, with the header
        ethernet(0x88cc, 101),
        ethernet(0x88cc, 160),
        ethernet(0x88cc, 164),
        ethernet(0x88cc, 165),
        ethernet(0x88cc, 1514),
        ethernet(0x88cc, 3000),
    ]
}

#[track_caller]
pub(super) fn check_frames(options: &ProbeOptions) {
    let snaplen = options.snaplen;
    let mut bench = Bench::with(options.clone());
    for frame in frames() {
        bench.run(PROGRAM_INGRESS, &frame, 1);
        bench.run(PROGRAM_EGRESS, &frame, 1);
    }
    let (records, [ingress, egress, _]) = bench.finish();
    let count = frames().len() as u64;
    assert_eq!((ingress.seen, egress.seen), (count, count));
    assert_eq!((ingress.lost, egress.lost), (0, 0));
    assert_eq!(records.len(), 2 * frames().len());
    for (pair, frame) in records.chunks(2).zip(frames()) {
        for (bytes, direction) in pair.iter().zip([Direction::Ingress, Direction::Egress]) {
            let record = Record::decode(bytes).unwrap();
            assert_eq!(record.direction, direction);
            assert_eq!(record.interface, 7);
            assert_eq!(record.wire_len as usize, frame.len());
            let captured = frame.len().min(snaplen as usize);
            assert_eq!(record.data, &frame[..captured]);
        }
    }
}

#[test]
fn frames_of_every_length_arrive_whole_or_cut_at_the_snap_length() {
    check_frames(&options(160, 1 << 20));
    check_frames(&options(9216, 1 << 20));
}

#[test]
fn more_than_the_ring_holds_is_counted_exactly() {
    const RUNS: u32 = 400_000;
    let mut bench = Bench::new(160, 4096);
    bench.run(PROGRAM_EGRESS, &frames()[1], RUNS);
    let (records, [_, egress, _]) = bench.finish();
    assert_eq!(egress.seen, u64::from(RUNS));
    assert!(egress.lost > 0);
    assert_eq!(egress.seen, records.len() as u64 + egress.lost);
}
