mod resent;

use podtrace_ebpf::record::Direction::{Ingress, Socket};

use super::*;
use crate::{
    packet::{Network, Transport},
    path::{
        LateOf, RoundTrip,
        builder::tests::{join_hops, path},
    },
    world::fixture::world,
};

fn options(top: usize) -> StatsOptions {
    StatsOptions {
        epoch_ns: 1_700_000_000_000_000_000,
        top,
        over_time: false,
    }
}

fn of(paths: &[Path], top: usize) -> Report {
    let world = world();
    let mut stats = Stats::new(options(top));
    for path in paths {
        stats.add(path, &world);
    }
    let summary = Summary {
        packets: paths.len() as u64,
        duration_ns: 1_500_000_000,
        ..Summary::default()
    };
    stats.finish(&summary)
}

/// Paths of all kinds: some that arrive, one that does not, an uncertain one, and replies to a
/// ping.
pub(crate) fn report() -> Report {
    let mut paths: Vec<_> = (1..=3).map(path).collect();
    let mut unseen = path(4);
    unseen.hops.truncate(2);
    unseen.outcome = Outcome::NotSeenFurther;
    let mut lost = unseen.clone();
    lost.outcome = Outcome::EventsLost;
    lost.incomplete = true;
    let mut ambiguous = path(5);
    ambiguous.ambiguous = true;
    let mut reply = path(6);
    reply.transport(Transport::Echo {
        reply: true,
        id: 1,
        sequence: 2,
    });
    reply.packet.network = match reply.packet.network {
        Network::Ip(ip) => Network::Ip(crate::packet::Ip {
            source: ip.destination,
            destination: "10.244.9.9".parse().unwrap(),
            protocol: 1,
            ..ip
        }),
        other => other,
    };
    reply.packet.length = 9000;
    // In a tunnel its frames are longer, which must not change any size.
    reply.hops.iter_mut().for_each(|hop| hop.wire_len = 9064);
    reply.round_trip = Some(RoundTrip {
        at: vec![(0, 64_200)],
        is_whole: true,
    });
    paths.extend([unseen, lost, ambiguous, reply]);
    of(&paths, 10)
}

impl Path {
    fn transport(&mut self, transport: Transport) {
        self.packet.transport = transport;
    }
}

#[test]
fn pairs_are_counted_by_direction_and_protocol() {
    let report = report();
    let pairs: Vec<_> = report
        .pairs
        .iter()
        .map(|pair| {
            let Pair {
                from, to, protocol, ..
            } = pair;
            let volume = pair.count.volume;
            let ends = format!("{from} > {to} {}", protocol.as_str());
            (ends, volume.packets, volume.bytes)
        })
        .collect();
    let expected = [
        ("default/mypod1 > default/mypod2 udp".to_string(), 6, 6 * 32),
        ("default/mypod2 > 10.244.9.9 icmp".to_string(), 1, 9000),
        ("10.244.9.9 > default/mypod2 icmp".to_string(), 0, 0),
    ];
    assert_eq!(pairs, expected);
    let [udp, icmp, pings] = &report.pairs[..] else {
        panic!("three pairs");
    };
    assert_eq!(udp.count.outcomes["delivered"], 4);
    assert_eq!(udp.count.outcomes["not_seen_further"], 1);
    assert_eq!(udp.count.outcomes["events_lost"], 1);
    assert_eq!((udp.count.ambiguous, udp.count.incomplete), (1, 1));
    assert_eq!(udp.count.first_ns, Some(1_700_000_000_000_001_000));
    // The round trip belongs to the pair of the request.
    assert_eq!((icmp.count.rtt, pings.count.first_ns), (None, None));
    assert_eq!(pings.count.rtt.unwrap().p50_ns, 64_200);
    assert_eq!(report.top.by_packets[0].from, udp.from);
    assert_eq!(report.top.by_bytes[0].from, icmp.from);
}

/// Two times at one interface measure a round trip, whatever lies between them; which
/// of several equal replies it was has to be known.
#[test]
fn round_trip_counts_if_both_its_ends_were_seen() {
    let count = |change: fn(&mut Path, &mut RoundTrip)| {
        let (mut reply, mut trip) = (
            path(1),
            RoundTrip {
                at: vec![(0, 64_200)],
                is_whole: true,
            },
        );
        change(&mut reply, &mut trip);
        reply.round_trip = Some(trip);
        let rtt = of(&[reply], 1).total.rtt;
        rtt.map_or(0, |rtt| rtt.count)
    };
    assert_eq!(count(|_, _| {}), 1);
    assert_eq!(count(|reply, _| reply.incomplete = true), 1);
    // A reply that is lost on its way has passed other taps of the request, but not its first.
    assert_eq!(count(|_, trip| trip.is_whole = false), 0);
    let is_lost = |reply: &mut Path, trip: &mut RoundTrip| {
        (reply.outcome, trip.is_whole) = (Outcome::NotSeenFurther, false);
    };
    assert_eq!(count(is_lost), 0);
    assert_eq!(count(|reply, _| reply.ambiguous = true), 0);
    let is_part = |reply: &mut Path, trip: &mut RoundTrip| {
        (reply.incomplete, trip.is_whole) = (true, false);
    };
    assert_eq!(count(is_part), 0);
    let is_under_way = |reply: &mut Path, trip: &mut RoundTrip| {
        (reply.outcome, trip.is_whole) = (Outcome::InFlight, false);
    };
    assert_eq!(count(is_under_way), 0);
}

#[test]
fn only_certain_hops_are_measured() {
    let report = report();
    let segments: Vec<_> = report
        .segments
        .iter()
        .map(|segment| {
            let name =
                |place: &TapPointName| format!("{}.{}", place.interface, place.direction.as_str());
            let name = format!("{}>{}", name(&segment.from), name(&segment.to));
            (name, segment.latency.count, segment.latency.max_ns)
        })
        .collect();
    let expected = [
        ("eth0.egress>veth1.ingress".to_string(), 5, 1000),
        ("veth1.ingress>veth2.egress".to_string(), 4, 1000),
        ("veth2.egress>eth0.ingress".to_string(), 4, 1000),
        ("eth0.ingress>eth0.socket".to_string(), 4, 1000),
    ];
    assert_eq!(segments, expected);
    assert_eq!(report.unmeasured, 2);
    assert_eq!(report.total.way.unwrap().count, 4);
}

#[test]
fn copies_are_no_segments() {
    let flooded = [(1000, 4, Ingress), (2000, 0, Ingress), (3000, 3, Ingress)];
    let mut builder = join_hops("10.244.1.3", &flooded);
    builder.expire(1_000_000_000);
    let paths: Vec<_> = builder.take_finished().map(|path| *path).collect();
    let report = of(&paths, 1);
    assert_eq!((report.segments.len(), report.unmeasured), (0, 1));
    assert_eq!(report.places.len(), 3);
    let mut sockets = path(1);
    let mut second = sockets.hops[4].clone();
    second.cgroup += 1;
    sockets.hops.push(second);
    let report = of(&[sockets], 1);
    let is_from_socket = |segment: &Segment| segment.from.direction == Socket;
    assert_eq!(report.segments.len(), 4);
    assert!(!report.segments.iter().any(is_from_socket));
}

#[test]
fn pairs_beyond_the_bound_are_the_others() {
    let world = world();
    let mut stats = Stats::new(options(3));
    let count = u32::try_from(PAIRS_MAX).unwrap() + 5;
    for n in 0..count {
        let mut path = path(1);
        if let Network::Ip(ip) = &mut path.packet.network {
            ip.destination = std::net::Ipv4Addr::from(0x0b00_0000 + n).into();
        }
        stats.add(&path, &world);
    }
    let report = stats.finish(&Summary::default());
    assert_eq!(
        (report.pairs.len(), report.top.by_bytes.len()),
        (PAIRS_MAX, 3)
    );
    assert_eq!(report.other_pairs.unwrap().volume.packets, 5);
    assert_eq!(report.total.volume.packets, u64::from(count));
}

#[test]
fn json_is_as_documented() {
    let mut report = report();
    report.pairs.truncate(1);
    report.segments.truncate(1);
    report.places.truncate(1);
    report.top.by_packets.clear();
    report.top.by_bytes.truncate(1);
    insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @r#"
    {
      "duration_ns": 1500000000,
      "total": {
        "packets": 7,
        "bytes": 9192,
        "first_ns": 1700000000000001000,
        "last_ns": 1700000000000001000,
        "outcomes": {
          "delivered": 5,
          "dropped": 0,
          "events_lost": 1,
          "given_up": 0,
          "in_flight": 0,
          "left_for_vtep": 0,
          "left_node": 0,
          "loop": 0,
          "no_receiver_expected": 0,
          "no_socket": 0,
          "not_seen_further": 1,
          "refused": 0,
          "unanswered": 0,
          "unknown": 0
        },
        "ambiguous": 1,
        "incomplete": 1,
        "retransmitted": 0,
        "between_nodes": false,
        "way": {
          "count": 4,
          "p50_ns": 4000,
          "max_ns": 4000
        },
        "rtt": {
          "count": 1,
          "p50_ns": 64200,
          "max_ns": 64200
        }
      },
      "events": {
        "seen": 0,
        "emitted": 0,
        "filtered": 0,
        "lost_ring": 0,
        "undecodable": 0
      },
      "unreadable": 0,
      "top": {
        "by_bytes": [
          {
            "from": {
              "kind": "pod",
              "name": "default/mypod2"
            },
            "to": {
              "kind": "address",
              "name": "10.244.9.9"
            },
            "protocol": "icmp",
            "packets": 1,
            "bytes": 9000
          }
        ],
        "by_packets": []
      },
      "pairs": [
        {
          "from": {
            "kind": "pod",
            "name": "default/mypod1"
          },
          "to": {
            "kind": "pod",
            "name": "default/mypod2"
          },
          "protocol": "udp",
          "packets": 6,
          "bytes": 192,
          "first_ns": 1700000000000001000,
          "last_ns": 1700000000000001000,
          "outcomes": {
            "delivered": 4,
            "dropped": 0,
            "events_lost": 1,
            "given_up": 0,
            "in_flight": 0,
            "left_for_vtep": 0,
            "left_node": 0,
            "loop": 0,
            "no_receiver_expected": 0,
            "no_socket": 0,
            "not_seen_further": 1,
            "refused": 0,
            "unanswered": 0,
            "unknown": 0
          },
          "ambiguous": 1,
          "incomplete": 1,
          "retransmitted": 0,
          "between_nodes": false,
          "way": {
            "count": 3,
            "p50_ns": 4000,
            "max_ns": 4000
          }
        }
      ],
      "segments": [
        {
          "from": {
            "node": "worker1",
            "pod": "default/mypod1",
            "interface": "eth0",
            "direction": "egress"
          },
          "to": {
            "node": "worker1",
            "interface": "veth1",
            "direction": "ingress"
          },
          "between_nodes": false,
          "count": 5,
          "p50_ns": 1000,
          "max_ns": 1000
        }
      ],
      "unmeasured": 2,
      "places": [
        {
          "node": "worker1",
          "interface": "veth1",
          "direction": "ingress",
          "packets": 7,
          "bytes": 9192
        }
      ],
      "unjudged_segments": 0
    }
    "#);
}

/// What is corrected does not count beside what corrects it, whatever was said of it.
#[test]
fn corrected_path_is_uncertain_once() {
    let mut lost = path(1);
    lost.hops.truncate(2);
    lost.outcome = Outcome::NotSeenFurther;
    (lost.ambiguous, lost.incomplete) = (true, true);
    let mut slow = path(2);
    slow.late_of = Some(LateOf::of(&lost));
    for is_uncertain in [false, true] {
        (slow.ambiguous, slow.incomplete) = (is_uncertain, is_uncertain);
        let report = of(&[lost.clone(), slow.clone()], 10);
        let expected = u64::from(is_uncertain);
        let total = &report.total;
        assert_eq!((total.ambiguous, total.incomplete), (expected, expected));
        let mut summary = Summary::default();
        summary.count(&lost, None);
        summary.count(&slow, slow.late_of);
        assert_eq!((summary.packets, summary.incomplete), (1, expected));
    }
}

/// What an answer corrects later has the same hops, which were counted and measured already.
#[test]
fn corrected_path_is_measured_once() {
    let first = path(1);
    let mut again = path(2);
    again.late_of = Some(LateOf::of(&first));
    let mut lost = first.clone();
    lost.hops.truncate(2);
    lost.outcome = Outcome::NotSeenFurther;
    let mut slow = path(3);
    slow.late_of = Some(LateOf::of(&lost));
    let once = of(std::slice::from_ref(&first), 10);
    let counts = |report: &Report| {
        let segments = report.segments.iter().map(|segment| segment.latency.count);
        (
            report.total.way.unwrap().count,
            segments.collect::<Vec<_>>(),
        )
    };
    assert_eq!(counts(&of(&[first, again], 10)), counts(&once));
    assert_eq!(counts(&of(&[lost, slow], 10)), counts(&once));
}
