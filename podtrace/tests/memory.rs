//! The whole pipeline under a stream made to fill it: alone in its process, so that
//! the kernel can say how much memory that has taken at most.
use std::{collections::BTreeMap, fs};

use podtrace::{
    model::{
        origin::Origin,
        tap_point::{Role, TapPoint},
    },
    packet::{DecodeOptions, Framing},
    pipeline::Pipeline,
    probe::batch::Batch,
    update::Update,
};
use podtrace_ebpf::record::{CGROUP_ROOT, Direction, Kind, VERSION};

/// Packets, each another: many times what may be under way.
const PACKETS: u32 = 200_000;
/// Records in a batch.
const BATCH: u32 = 2_000;
/// From one packet to the next.
const INTERVAL_NS: u64 = 2_000;
/// What the pipeline may take: 64 MiB without the process itself, the reader's
/// queue, and a recording.
const MAX_KIB: u64 = 32 << 10;

/// The most memory that this process has had, in KiB.
fn most_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A record of an echo request of this number.
fn record(number: u32) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0]);
    frame.extend([10, 244, 1, 2, 10, 244, 9]);
    frame.push((number >> 16) as u8);
    frame.extend([8, 0, 0, 0]);
    frame.extend((number >> 16).to_be_bytes()[2..].iter());
    frame.extend(number.to_be_bytes()[2..].iter());
    let mut record = Vec::new();
    record.extend((1_000_000_000 + u64::from(number) * INTERVAL_NS).to_le_bytes());
    record.extend(CGROUP_ROOT.to_le_bytes());
    record.extend(0_u32.to_le_bytes());
    record.extend((frame.len() as u32).to_le_bytes());
    record.extend((frame.len() as u32).to_le_bytes());
    record.extend([0; 4]);
    record.extend([Direction::Egress as u8, 0, VERSION, Kind::Tap as u8]);
    record.extend(frame);
    record
}

#[test]
fn packets_that_never_arrive_fit_into_the_bound() {
    let options = DecodeOptions {
        vxlan_ports: Vec::new(),
        key_payload: 0,
        filter: None,
    };
    let mut pipeline = Pipeline::new(options, 500_000_000, None);
    let origin = Origin {
        session: 0,
        nodes: 0..1,
    };
    let point = TapPoint {
        node: 0,
        node_name: "worker1".into(),
        in_pod: false,
        leads_to: None,
        peer_name: None,
        netns_id: 1,
        ifindex: 2,
        name: "veth1".into(),
        role: Role::Veth,
        framing: Framing::Ethernet,
        captured_link: None,
        is_port: false,
        mac: None,
    };
    pipeline.apply(&origin, &Update::TapPoint { number: 0, point });
    let before_kib = most_kib().unwrap();
    for first in (0..PACKETS).step_by(BATCH as usize) {
        let records: Vec<_> = (first..first + BATCH).map(record).collect();
        pipeline.push(&origin, &Batch::of(records.iter().map(Vec::as_slice)));
        if first / BATCH % 10 == 9 {
            let newest_ns = pipeline.newest_ns();
            pipeline.tick(newest_ns - 20_000_000);
        }
    }
    let took_kib = most_kib().unwrap() - before_kib;
    assert!(took_kib < MAX_KIB, "{took_kib} KiB");
    let summary = pipeline.finish(&BTreeMap::new(), 1);
    assert_eq!(summary.packets, u64::from(PACKETS));
}
