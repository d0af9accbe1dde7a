//! Nothing is found where nothing is wrong.
use proptest::prelude::*;

use super::{
    super::*,
    fixture::{Shot, arp, dns, echo, found, syn, syn_ack, tcp, udp},
};
use crate::{packet::TCP_ACK, path::Outcome, rules::fixture::healthy as facts};

/// A healthy conversation: when it begins, how slow it is, and what it is.
#[derive(Clone, Debug)]
struct Talk {
    port: u16,
    begin_ms: u64,
    slow_ms: u64,
    kind: usize,
}

fn talk() -> impl Strategy<Value = Talk> {
    (1000..9000_u16, 0..20_000_u64, 1..900_u64, 0..7_usize).prop_map(
        |(port, begin_ms, slow_ms, kind)| Talk {
            port,
            begin_ms,
            slow_ms,
            kind,
        },
    )
}

impl Talk {
    fn shots(&self) -> Vec<Shot> {
        let (at, slow) = (self.begin_ms, self.slow_ms);
        match self.kind {
            0 => vec![
                echo(at, false),
                echo(at + slow, true),
                echo(at + 1000, false),
                echo(at + 1000 + slow, true),
            ],
            1 => vec![dns(at, false, 1, 1), dns(at + 5 * slow, true, 1, 1)],
            // One way by design, and one that leaves.
            2 => (0..9).map(|n| udp(at + n * slow, false, 514)).collect(),
            3 => (0..9)
                .map(|n| udp(at + n * slow, false, 514).ended(Outcome::LeftNode))
                .collect(),
            4 => vec![arp(at, None), arp(at + 1, Some(1))],
            // A stream behind a shaper: queues drop, copies follow, and equal ones pass twice.
            5 => {
                let mut shots = vec![syn(at), syn_ack(at + slow)];
                for n in 1..20 {
                    let ms = at + slow + n * 20;
                    let data = |ms| tcp(ms, false, TCP_ACK, 1000 * n as u32, 1000);
                    if n % 3 == 0 {
                        shots.push(data(ms).dropped(5, "QDISC_DROP", "tbf_enqueue"));
                    }
                    shots.extend([data(ms + 5).copy(), tcp(ms + 6, true, TCP_ACK, 901, 0)]);
                }
                shots
            }
            // A capture, where nothing shows how a path ends.
            _ => vec![
                syn(at).ended(Outcome::Unknown),
                udp(at, false, 53).ended(Outcome::Unknown),
            ],
        }
    }
}

/// The paths in order of time.
fn paths(talks: &[Talk]) -> Vec<Path> {
    let shots = talks.iter().flat_map(|talk| {
        let shots = talk.shots().into_iter();
        shots.map(|shot| shot.port(talk.port).path())
    });
    let mut paths: Vec<_> = shots.collect();
    paths.sort_by_key(|path| path.hops[0].ts_ns);
    paths
}

proptest! {
    /// The trace may end at any time: answers that would have come are not missed.
    #[test]
    fn healthy_conversations_show_nothing(
        talks in prop::collection::vec(talk(), 1..30),
        end_ms in 0..30_000_u64,
    ) {
        let mut paths = paths(&talks);
        paths.retain(|path| path.last_ns() <= end_ms * 1_000_000);
        let findings = found(&paths, facts(), end_ms);
        let world = super::fixture::world_of(facts());
        let found = findings.found(None, &world).findings;
        prop_assert!(found.is_empty(), "{:?}", found);
    }

    /// Any path may be missing where events were lost.
    #[test]
    fn what_podtrace_lost_shows_nothing(
        talks in prop::collection::vec(talk(), 1..30),
        missing in prop::collection::vec(any::<bool>(), 600),
    ) {
        let mut missing = missing.into_iter();
        let mut paths = paths(&talks);
        paths.retain(|_| !missing.next().unwrap_or_default());
        let mut findings = found(&paths, facts(), 60_000);
        findings.note_loss(LostSpan { from_ns: 0, to_ns: 60_000_000_000, events: 1 });
        let world = super::fixture::world_of(facts());
        let found = findings.found(None, &world).findings;
        prop_assert!(found.is_empty(), "{:?}", found);
    }
}
