//! Several joiners, each of which gets the hops of its bucket, show together what one shows.
use super::{
    network::{self, Shape},
    traffic::{Dice, Kind, Sent, made},
    *,
};
use crate::bucket::Buckets;

/// The paths, in words, that the joiner of a bucket shows, in no order.
fn shown(shape: Shape, sent: &[Sent], seed: u64, (buckets, own): (Buckets, u16)) -> Vec<String> {
    let (world, mut dice) = (network::world_of(shape), Dice(seed));
    let mut builder = Builder::new(TIMEOUT_NS);
    let made = sent.iter().enumerate();
    let events = made.flat_map(|(number, sent)| made_events(number, sent, shape));
    let mut events: Vec<_> = events.collect();
    events.retain(|event| event.direction != Socket || shape.watches_sockets);
    events.sort_by_key(|event| event.ts_ns);
    let mut paths = Vec::new();
    for event in &events {
        if dice.below(4) == 0 {
            builder.expire(event.ts_ns.saturating_sub(dice.below(100_000_000)));
        }
        if buckets.of(event).contains(&own) {
            builder.push(event, &world);
        }
        paths.extend(finished(&mut builder));
    }
    builder.expire(100 * SECOND);
    paths.extend(finished(&mut builder));
    paths.retain(|path| buckets.owner(&path.packet, path.payload.as_deref()) == own);
    paths.into_iter().map(in_words).collect()
}

fn made_events(number: usize, sent: &Sent, shape: Shape) -> Vec<Event> {
    made(number, sent, shape).events(1 + sent.at_ns, &mut Dice(sent.seed))
}

/// All of a path but the numbers of packets, which each joiner has for itself.
fn in_words(mut path: Path) -> String {
    path.id = 0;
    path.about = path.about.map(|_| 0);
    path.copy_of = path.copy_of.map(|_| 0);
    if let Some(of) = &mut path.fragment_of {
        of.packet = 0;
    }
    if let Some(of) = &mut path.part_of {
        of.packet = 0;
    }
    if let Some(refusal) = &mut path.refusal {
        refusal.packet = 0;
    }
    if let Some(of) = &mut path.late_of {
        of.id = 0;
    }
    format!("{path:#?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn joiners_together_show_what_one_shows(
        shape in shape(),
        sent in prop::collection::vec(sent(), 1..40),
        seed in any::<u64>(),
    ) {
        let sent: Vec<_> = sent.into_iter().filter(|sent| sent.kind != Kind::CutOutside).collect();
        let of = |count| {
            let buckets = Buckets::new(count);
            let all = (0..count).flat_map(|own| shown(shape, &sent, seed, (buckets, own)));
            let mut all: Vec<_> = all.collect();
            all.sort_unstable();
            all
        };
        let one = of(1);
        for count in [2, 7] {
            let several = of(count);
            for (one, other) in one.iter().zip(&several) {
                prop_assert_eq!(one, other, "{} joiners", count);
            }
            prop_assert_eq!(one.len(), several.len());
        }
    }
}
