//! The bounds of everything that grows with traffic: the table of `docs/memory.md`.
use podtrace_ebpf::record::{CGROUP_ROOT, Direction};

use crate::{
    findings::Findings,
    identity::sockets::{HostProcess, Sockets},
    model::{
        event::Event,
        snapshot::{CgroupMember, CgroupMembers, NewCgroup},
        tap::TapCount,
        tap_point::TapPoint,
    },
    packet::{EchoFlow, Framing, Packet, key_payload},
    path::{
        builder::{
            ENDED_BYTES, ENDED_FLOW, ENDED_MAX, KNOWN_BYTES, OPEN_BYTES, SPARE_BYTES,
            TRANSLATION_BYTES, TRANSLATIONS_MAX,
        },
        reorder::SLACK_NS,
        rtt::{REQUESTS_MAX, SEEN_MAX, Seen},
    },
    pipeline::{
        DECODED_AT_ONCE, Pipeline, name_gate::GATE_BYTES, order::ORDER_BYTES, removed::REMOVED_MAX,
    },
    probe::{
        cgroups::{CGROUPS_MAX, HOSTS_MAX, Host},
        reader::{self, QUEUE_BATCHES},
    },
    session::{files, recorder},
    sink::{LIVE_MAX, MORE_BYTES, NOTICES_MAX},
    world::fixture::world,
};

const MIB: usize = 1 << 20;
/// The process before the first packet, with some margin: its code, its threads' stacks, and
/// the state of a node with some hundred pods.
const PROCESS: usize = 17 * MIB;
/// A hash map with this many entries of that size may be less than half full.
fn map(entries: usize, size: usize) -> usize {
    (entries * 8 / 7).next_power_of_two() * (size + 1)
}

#[test]
fn all_bounds_together_are_under_64_mib() {
    // On a node that sees three million packets a second.
    let reordered = DECODED_AT_ONCE + 3_000_000 / (1_000_000_000 / SLACK_NS as usize);
    // The name of a cgroup of a pod's container has some 160 bytes.
    let name = 16 + 160;
    // Processes of the host, in place of a container.
    let members = CgroupMembers::NAMED_MAX * (size_of::<CgroupMember>() + 32);
    let taps = 2 * REMOVED_MAX * size_of::<((u32, Direction), TapCount)>();
    let bounds = [
        (QUEUE_BATCHES + 2) * (reader::BATCH_BYTES + reader::ROOM_BYTES),
        2 * reordered * size_of::<Event>(),
        OPEN_BYTES,
        KNOWN_BYTES,
        SPARE_BYTES,
        ENDED_MAX * ENDED_BYTES + map(ENDED_MAX, ENDED_FLOW),
        ORDER_BYTES,
        GATE_BYTES,
        map(REQUESTS_MAX, size_of::<(EchoFlow, Vec<Seen>)>())
            + 2 * REQUESTS_MAX * size_of::<EchoFlow>()
            + 2 * SEEN_MAX * size_of::<Seen>(),
        map(CGROUPS_MAX, 16) + HOSTS_MAX * (size_of::<Host>() + name + members),
        map(CGROUPS_MAX, Sockets::ENTRY)
            + CGROUPS_MAX * 80
            + HOSTS_MAX * (size_of::<HostProcess>() + name + members),
        map(CGROUPS_MAX, 8 + size_of::<NewCgroup>()) + CGROUPS_MAX * name + HOSTS_MAX * members,
        2 * recorder::WAITING_MAX
            + (files::QUEUE + 2) * (recorder::CHUNK_BYTES + recorder::ROOM_BYTES),
        // One copy in the pipeline, three in the recorder.
        REMOVED_MAX * (size_of::<TapPoint>() + 100) + 4 * 2 * taps,
    ];
    let sum: usize = bounds.iter().sum();
    assert!(PROCESS + sum < 64 * MIB, "{bounds:?} {sum}");
    // Translations of as many flows as are remembered, and their order of age.
    let translated = map(TRANSLATIONS_MAX, TRANSLATION_BYTES) + 2 * TRANSLATIONS_MAX * 16;
    assert!(translated < 16 * MIB, "{translated}");
    // What conversations show, where text or JSON shows it.
    let found = Findings::bytes_max();
    assert!(found < 7 * MIB, "{found}");
    // The output that the thread is writing, and the output added since.
    let unread = 2 * (LIVE_MAX + NOTICES_MAX + MORE_BYTES);
    assert!(PROCESS + sum + unread < 84 * MIB, "{sum} {unread}");
}

/// The frame of an echo request of this number.
fn request(number: u32) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0]);
    frame.extend([10, 244, 1, 2]);
    frame.extend((u32::from_be_bytes([10, 244, 9, 0]) ^ (number >> 16)).to_be_bytes());
    frame.extend([8, 0, 0, 0]);
    frame.extend(number.to_be_bytes());
    frame
}

/// Different packets that never arrive, faster than their timeout ends them.
#[test]
fn packets_that_never_arrive_take_no_more_than_their_bound() {
    let options = crate::packet::DecodeOptions {
        vxlan_ports: vec![8472],
        key_payload: key_payload(u32::MAX),
        filter: None,
    };
    let mut pipeline = Pipeline::new(options.clone(), 500_000_000, None);
    *pipeline.world_mut() = world();
    let (mut most_open, mut most_ordered) = (0, 0);
    for number in 0..120_000 {
        let frame = request(number);
        let packet = Packet::decode(&frame, 42, Framing::Ethernet, &options);
        let event = Event {
            ts_ns: 1_000_000_000 + u64::from(number) * 1_000,
            interface: 0,
            direction: Direction::Egress,
            wire_len: 42,
            gso_segments: 0,
            cgroup: CGROUP_ROOT,
            packet,
            payload: None,
            vlan_tci: None,
            matches: true,
            captured: bytes::Bytes::new(),
            link: Framing::Ethernet.link(),
            number: 0,
        };
        pipeline.join(&event);
        most_open = most_open.max(pipeline.builder.open_bytes());
        most_ordered = most_ordered.max(pipeline.order.bytes());
    }
    assert!(most_open > OPEN_BYTES / 2 && most_open <= OPEN_BYTES);
    assert!(most_ordered <= ORDER_BYTES);
    let summary = pipeline.end(1);
    assert_eq!(summary.packets, 120_000);
    let given_up = summary.outcomes[crate::path::Outcome::GivenUp.index()];
    assert!(given_up > 0);
    assert_eq!(summary.incomplete, 120_000);
}
