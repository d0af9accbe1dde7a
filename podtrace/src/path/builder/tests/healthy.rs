//! Where nothing is wrong nothing is lost, refused or mistaken: random networks, taps, flows and
//! delays.
mod network;
mod shared;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use network::Shape;
use traffic::{Dice, Kind, Nat, Sent, made};

const SECOND: u64 = 1_000_000_000;

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => (9u32..6000).prop_map(Kind::Udp),
        1 => (1500u32..4000).prop_map(Kind::Cut),
        1 => Just(Kind::CutOutside),
        4 => (1u16..8).prop_map(Kind::Tcp),
        2 => any::<bool>().prop_map(|reply| Kind::Echo { reply }),
    ]
}

fn nat() -> impl Strategy<Value = Nat> {
    prop_oneof![
        2 => Just(Nat::None),
        1 => any::<bool>().prop_map(|masks| Nat::Service { masks }),
        1 => any::<bool>().prop_map(|masks| Nat::Answer { masks }),
    ]
}

prop_compose! {
    fn sent()(
        kind in kind(),
        nat in nat(),
        from in 0usize..6,
        to in 1usize..6,
        at_ns in 0..SECOND,
        seed in any::<u64>(),
    ) -> Sent {
        Sent { kind, nat, from, to, at_ns, seed }
    }
}

prop_compose! {
    fn shape()(
        nodes in 1usize..4,
        has_bridge in any::<bool>(),
        has_vxlan in any::<bool>(),
        watches_sockets in any::<bool>(),
    ) -> Shape {
        Shape { nodes, has_bridge, has_vxlan, watches_sockets }
    }
}

/// The paths of what is sent, and which packets each has events of.
fn traced(
    shape: Shape,
    sent: &[Sent],
    unwatched: &[u32],
    seed: u64,
) -> (Vec<Path>, BTreeMap<u64, BTreeSet<usize>>) {
    let (world, mut dice) = (network::world_of(shape), Dice(seed));
    let mut builder = Builder::new(TIMEOUT_NS);
    if !unwatched.is_empty() {
        builder.set_partial_view();
    }
    let mut events = Vec::new();
    for (number, sent) in sent.iter().enumerate() {
        let made = made(number, sent, shape);
        let own = made.events(1 + sent.at_ns, &mut Dice(sent.seed));
        events.extend(own.into_iter().map(|event| (number, event)));
    }
    events.retain(|(_, event)| match event.direction {
        Socket => shape.watches_sockets,
        _ => !unwatched.contains(&event.interface),
    });
    events.sort_by_key(|(_, event)| event.ts_ns);
    let (mut of, mut paths) = (BTreeMap::<u64, BTreeSet<usize>>::new(), Vec::new());
    for (number, event) in &events {
        if dice.below(4) == 0 {
            builder.expire(event.ts_ns.saturating_sub(dice.below(100_000_000)));
        }
        let id = builder.push(event, &world);
        for id in builder.further().iter().copied().chain([id]) {
            of.entry(id).or_default().insert(*number);
        }
        paths.extend(finished(&mut builder));
    }
    builder.expire(100 * SECOND);
    assert!(!builder.is_waiting());
    paths.extend(finished(&mut builder));
    (paths, of)
}

/// What a path has events of.
fn own<'a>(path: &Path, of: &BTreeMap<u64, BTreeSet<usize>>, sent: &'a [Sent]) -> Vec<&'a Sent> {
    let numbers = of.get(&path.id).into_iter().flatten();
    numbers.map(|number| &sent[*number]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// All of it has arrived, and each path is of one packet.
    #[test]
    fn healthy_network_shows_no_loss(
        shape in shape(),
        sent in prop::collection::vec(sent(), 1..40),
        seed in any::<u64>(),
    ) {
        let (paths, of) = traced(shape, &sent, &[], seed);
        for path in &paths {
            let own = own(path, &of, &sent);
            prop_assert_eq!(path.outcome, Outcome::Delivered, "{:?}: {:#?}", own, path);
            prop_assert_eq!(own.len(), 1, "{:?}: {:#?}", own, path);
            prop_assert!(!path.ambiguous && !path.incomplete, "{:?}: {:#?}", own, path);
            prop_assert!(path.late_of.is_none() && path.part_of.is_none(), "{own:?}: {path:#?}");
            let is_in_order = path.hops.windows(2).all(|pair| pair[0].ts_ns <= pair[1].ts_ns);
            prop_assert!(is_in_order, "{:#?}", path);
            for seen in &path.segments {
                prop_assert_eq!(seen.bytes, path.divisible(), "{:#?}", path);
            }
        }
        let all: BTreeSet<_> = of.values().flatten().collect();
        prop_assert_eq!(all.len(), sent.len());
    }

    /// Where some interfaces are not watched, nothing is said to be lost either.
    #[test]
    fn healthy_network_shows_no_loss_where_not_all_is_watched(
        shape in shape(),
        sent in prop::collection::vec(sent(), 1..40),
        unwatched in prop::collection::vec(0..3 * network::PER_NODE, 1..8),
        seed in any::<u64>(),
    ) {
        let (paths, of) = traced(shape, &sent, &unwatched, seed);
        for path in &paths {
            let own = own(path, &of, &sent);
            let is_sound = matches!(path.outcome, Outcome::Delivered | Outcome::Unknown);
            prop_assert!(is_sound, "{own:?}: {path:#?}");
            prop_assert!(own.len() == 1 || path.ambiguous, "{own:?}: {path:#?}");
        }
    }
}
