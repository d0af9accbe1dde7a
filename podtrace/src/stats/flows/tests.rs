use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::{
    packet::{Ip, Network, TCP_ACK, TCP_SYN},
    path::{LateOf, Translation, builder::tests::path},
    world::fixture::world,
};

const CLIENT: &str = "10.244.1.2";
const SERVICE: &str = "10.96.0.10";
const BACKEND: &str = "10.244.1.3";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ends_of(from: (&str, u16), to: (&str, u16)) -> Ends {
    Ends {
        source: address(from.0),
        destination: address(to.0),
        ports: Some((from.1, to.1)),
    }
}

/// A TCP segment on a path from pod 1 to pod 2, or back.
#[derive(Clone, Copy)]
struct Segment {
    flags: u8,
    sequence: u32,
    acknowledgment: u32,
    payload: u32,
}

fn segment(ts_ns: u64, from: (&str, u16), to: (&str, u16), segment: Segment) -> Path {
    let mut path = path(ts_ns);
    let Network::Ip(ip) = path.packet.network else {
        panic!("no IP packet");
    };
    path.packet.network = Network::Ip(Ip {
        source: address(from.0),
        destination: address(to.0),
        protocol: 6,
        ..ip
    });
    path.packet.transport = Transport::Tcp {
        source: from.1,
        destination: to.1,
        sequence: segment.sequence,
        acknowledgment: segment.acknowledgment,
        flags: segment.flags,
        payload: segment.payload,
    };
    let begin = path.hops[0].ts_ns;
    for hop in &mut path.hops {
        hop.ts_ns = hop.ts_ns - begin + ts_ns;
    }
    if from.0 == BACKEND {
        // The way back is by the same interfaces.
        let interfaces: Vec<_> = path.hops.iter().map(|hop| hop.interface).collect();
        for (hop, interface) in path.hops.iter_mut().zip(interfaces.into_iter().rev()) {
            hop.interface = interface;
        }
    }
    path
}

fn translated(mut path: Path, before: Ends, after: Ends) -> Path {
    path.translations = vec![Translation {
        hop: 1,
        before,
        after,
    }];
    path
}

const SYN: Segment = Segment {
    flags: TCP_SYN,
    sequence: 100,
    acknowledgment: 0,
    payload: 0,
};
const SYN_ACK: Segment = Segment {
    flags: TCP_SYN | TCP_ACK,
    sequence: 900,
    acknowledgment: 101,
    payload: 0,
};
const DATA: Segment = Segment {
    flags: TCP_ACK,
    sequence: 101,
    acknowledgment: 901,
    payload: 10,
};

fn flows(paths: &[Path]) -> Vec<Flow> {
    let world = world();
    let mut flows = Flows::default();
    for path in paths {
        flows.add(path, &world);
    }
    flows.top(Order::Packets, 10, 0)
}

#[test]
fn both_sides_of_a_service_are_one_flow() {
    let (client, service, backend) = ((CLIENT, 5000), (SERVICE, 80), (BACKEND, 8080));
    let request = translated(
        segment(1_000, client, service, SYN),
        ends_of(client, service),
        ends_of(client, backend),
    );
    let answer = translated(
        segment(21_000, backend, client, SYN_ACK),
        ends_of(backend, client),
        ends_of(service, client),
    );
    for paths in [
        [request.clone(), answer.clone()],
        // The answer's path may be the first that is known.
        [answer, request],
    ] {
        let all = flows(&paths);
        let [flow] = &all[..] else {
            panic!("{} flows", all.len());
        };
        assert_eq!(flow.protocol, "tcp");
        assert_eq!(
            (flow.client.address, flow.client.port),
            (address(CLIENT), Some(5000))
        );
        assert_eq!(
            (flow.server.address, flow.server.port),
            (address(SERVICE), Some(80))
        );
        assert_eq!((flow.sent.packets, flow.answered.packets), (1, 1));
    }
}

#[test]
fn handshake_and_data_measure_round_trips_but_not_what_is_sent_again() {
    let (client, server) = ((CLIENT, 5000), (BACKEND, 80));
    let ack = Segment {
        flags: TCP_ACK,
        sequence: 901,
        acknowledgment: 111,
        payload: 0,
    };
    let paths = [
        segment(1_000, client, server, SYN),
        segment(21_000, server, client, SYN_ACK),
        segment(30_000, client, server, DATA),
        segment(50_000, client, server, DATA),
        segment(60_000, server, client, ack),
    ];
    let all = flows(&paths);
    let [flow] = &all[..] else {
        panic!("{} flows", all.len());
    };
    let rtt = flow.rtt.unwrap();
    // From the SYN's first hop to the last hop of its answer, and from the SYN-ACK's to that of
    // the data; each way takes 4 µs.
    assert_eq!((rtt.count, rtt.p50_ns, rtt.max_ns), (2, 13_000, 24_000));
    assert_eq!(flow.retransmitted, 1);
    assert_eq!((flow.sent.packets, flow.answered.packets), (3, 2));
}

/// The busiest come first, and then the oldest, in whatever order they were counted.
#[test]
fn flows_that_are_equal_have_an_order() {
    let (world, mut flows) = (world(), Flows::default());
    let syn = |ts_ns, port| segment(ts_ns, (CLIENT, port), (BACKEND, 80), SYN);
    for path in [
        syn(3000, 1),
        syn(1000, 2),
        syn(2000, 3),
        syn(2500, 4),
        syn(9000, 4),
    ] {
        flows.add(&path, &world);
    }
    for order in [
        Order::Lost,
        Order::Retransmitted,
        Order::RoundTrip,
        Order::Packets,
    ] {
        let top = flows.top(order, 10, 0);
        let ports: Vec<_> = top.iter().map(|flow| flow.client.port).collect();
        assert_eq!(ports, [4, 2, 3, 1].map(Some), "{order:?}");
    }
}

#[test]
fn corrected_path_counts_once() {
    let mut lost = segment(1_000, (CLIENT, 5000), (BACKEND, 80), SYN);
    lost.outcome = Outcome::NotSeenFurther;
    let mut late = lost.clone();
    late.outcome = Outcome::Delivered;
    late.late_of = Some(LateOf::of(&lost));
    let flow = &flows(&[lost.clone()])[0];
    assert_eq!((flow.lost, flow.sent.packets), (1, 1));
    let flow = &flows(&[lost, late.clone()])[0];
    assert_eq!((flow.lost, flow.sent.packets), (0, 1));
    // The earlier report was of a flow that is forgotten.
    late.outcome = Outcome::NotSeenFurther;
    let flow = &flows(&[late])[0];
    assert_eq!((flow.lost, flow.sent.packets), (1, 1));
}

/// A datagram is a question unless its ports say that it is an answer.
#[test]
fn first_datagram_is_of_the_client() {
    let udp = |from: (&str, u16), to: (&str, u16)| {
        let mut path = segment(1_000, from, to, DATA);
        if let Network::Ip(ip) = &mut path.packet.network {
            ip.protocol = 17;
        }
        path.packet.transport = Transport::Udp {
            source: from.1,
            destination: to.1,
            payload: 1,
        };
        let flow = &flows(&[path])[0];
        (flow.client.port, flow.sent.packets)
    };
    assert_eq!(udp((CLIENT, 123), (BACKEND, 5000)), (Some(123), 1));
    assert_eq!(udp((CLIENT, 40_000), (BACKEND, 53)), (Some(40_000), 1));
    assert_eq!(udp((BACKEND, 53), (CLIENT, 40_000)), (Some(40_000), 0));
}

#[test]
fn ports_that_are_used_again_begin_another_flow() {
    let (client, server) = ((CLIENT, 5000), (BACKEND, 80));
    let soon = segment(2_000_000_000, client, server, SYN);
    let later = segment(90_000_000_000, client, server, SYN);
    let first = segment(1_000, client, server, SYN);
    assert_eq!(flows(&[first.clone(), soon]).len(), 1);
    assert_eq!(flows(&[first, later]).len(), 2);
}

#[test]
fn flows_that_are_silent_for_longest_are_forgotten() {
    let world = world();
    let mut flows = Flows::default();
    let count = FLOWS_MAX + 1;
    for number in 0..count {
        let port = u16::try_from(number).unwrap();
        let client = (CLIENT, port);
        flows.add(
            &segment(number as u64, client, (BACKEND, 65_535), SYN),
            &world,
        );
    }
    let forgotten = FLOWS_MAX / FORGOTTEN_SHARE;
    assert_eq!(flows.count(), (count - forgotten, forgotten as u64));
    assert_eq!(flows.index.len(), count - forgotten);
    let newest = flows.top(Order::Last, 1, 0);
    assert_eq!(
        newest[0].client.port,
        Some(u16::try_from(count - 1).unwrap())
    );
}

proptest! {
    /// Each packet is counted in one flow, whatever its ends and translations are.
    #[test]
    fn packets_are_conserved(
        packets in prop::collection::vec(
            (0u8..4, 0u8..4, 1u16..4, 1u16..4, prop::option::of((0u8..4, 1u16..4)), any::<u8>()),
            1..60,
        ),
    ) {
        let addresses = ["10.244.1.2", "10.244.1.3", "10.96.0.10", "10.244.2.2"];
        let paths: Vec<_> = packets
            .iter()
            .zip(0u32..)
            .map(|((from, to, source, destination, after, flags), number)| {
                let from = (addresses[usize::from(*from)], *source);
                let to = (addresses[usize::from(*to)], *destination);
                let path = segment(u64::from(number) * 1_000, from, to, Segment {
                    flags: *flags,
                    sequence: number,
                    acknowledgment: number,
                    payload: 1,
                });
                match after {
                    Some((end, port)) => {
                        let after = (addresses[usize::from(*end)], *port);
                        translated(path, ends_of(from, to), ends_of(from, after))
                    }
                    None => path,
                }
            })
            .collect();
        let world = world();
        let mut all = Flows::default();
        for path in &paths {
            all.add(path, &world);
        }
        let shown = all.top(Order::Packets, usize::MAX, 0);
        let counted: u64 = shown.iter().map(|flow| flow.sent.packets + flow.answered.packets).sum();
        prop_assert_eq!(counted, paths.len() as u64);
        for flow in &shown {
            prop_assert!(flow.rtt.is_none_or(|rtt| rtt.max_ns < 1_000_000));
        }
    }
}
