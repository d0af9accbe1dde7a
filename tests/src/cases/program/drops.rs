//! The packets that the kernel drops.
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};

use podtrace::model::drop::KernelDrop;
use podtrace::packet::{DecodeOptions, Ends};
use podtrace::probe::{Probe, ProbeOptions};

use super::{LOOPBACK, options};
use crate::cases::load::version;
use crate::cases::one_node;

/// Nobody listens there.
const DISCARD: u16 = 9;

#[test]
fn dropped_packet_is_told_with_its_headers_and_why() {
    let lab = one_node(2);
    let netns = lab.nodes[0].pods[0].netns.clone();
    let (mut probe, _channel) = Probe::load(&ProbeOptions {
        drops: true,
        ..options(160, 1 << 20)
    })
    .unwrap();
    assert_eq!(
        probe.limits().iter().find(|limit| limit.contains("drops")),
        None
    );
    let mut drops = probe.take_drops().unwrap();
    drops.watch(netns.id, BTreeSet::new).unwrap();
    let socket = netns
        .run(|| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)))
        .unwrap()
        .unwrap();
    let port = socket.local_addr().unwrap().port();
    let send = || {
        socket
            .send_to(b"podtrace", (Ipv4Addr::LOCALHOST, DISCARD))
            .unwrap()
    };
    // Nothing is told before the taps are started.
    send();
    probe.start().unwrap();
    // The refusal of the first one is an error of the next.
    let _ = socket.take_error();
    send();
    // Of what nobody watches, nothing is told.
    let other = lab.nodes[0].pods[1].netns.run(|| {
        let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        other
            .send_to(b"podtrace", (Ipv4Addr::LOCALHOST, DISCARD))
            .unwrap();
    });
    other.unwrap();
    assert!(probe.stop().unwrap());
    let all = drops.take();
    let is_ours = |drop: &&KernelDrop| {
        let ends = drop.packet(&decode()).ends();
        ends.is_some_and(|Ends { ports, .. }| ports == Some((port, DISCARD)))
    };
    let [ours] = all.iter().filter(is_ours).collect::<Vec<_>>()[..] else {
        panic!("{all:?}");
    };
    assert_eq!((ours.netns, ours.ifindex), (netns.id, LOOPBACK), "{ours:?}");
    assert_eq!(ours.wire_len, 28 + 8, "{ours:?}");
    let has_reason = version() >= (5, 17);
    assert_eq!(ours.reason.as_deref(), has_reason.then_some("NO_SOCKET"));
    let function = ours.function.as_deref().unwrap_or_default();
    assert!(function.contains("udp"), "{ours:?}");
    let counts = drops.counts().unwrap();
    let counted: u64 = counts.values().map(|(all, _)| all).sum();
    assert!(counted >= 1, "{counts:?}");
}

fn decode() -> DecodeOptions {
    DecodeOptions {
        vxlan_ports: Vec::new(),
        key_payload: 16,
        filter: None,
    }
}
