use proptest::prelude::*;

use super::{super::message::Piece, *};
use crate::wire::{Batch, Limits, Tap};
use podtrace_ebpf::record::Direction;

/// What came out.
#[derive(Default)]
struct Taken {
    hops: Vec<u64>,
    blocks: Vec<u8>,
    /// How many hops there were before each block.
    at: Vec<usize>,
    missing: u64,
}

impl Takes for Taken {
    fn blocks(&mut self, blocks: &[u8]) {
        self.blocks.extend(blocks);
        self.at.push(self.hops.len());
    }

    fn hop(&mut self, hop: &Hop<'_>, number: u64) {
        assert_eq!(hop.ts_ns, number);
        self.hops.push(number);
    }

    fn missing(&mut self, _: u64, count: u64) {
        self.missing += count;
    }
}

/// A session with so many hops before each of its pieces, in batches of so many.
fn messages(before: &[u64], size: u64) -> (Vec<Vec<u8>>, Vec<Context>) {
    let mut batch = Batch::new().unwrap();
    let all = before.last().copied().unwrap_or_default();
    let mut hops = Vec::new();
    for first in (0..all).step_by(size as usize) {
        let end = all.min(first + size);
        for ts_ns in first..end {
            let tap = Tap {
                interface: 0,
                direction: Direction::Egress,
                cgroup: 0,
                vlan_tci: None,
                link: 1,
            };
            let hop = Hop {
                ts_ns,
                tap,
                wire_len: 3,
                gso_segments: 0,
                captured: &[1, 2, 3],
            };
            batch.push(&hop).unwrap();
        }
        let message = HopsMessage {
            session: "session",
            first,
            count: (end - first) as u32,
            batch: &batch.finish().unwrap(),
        };
        hops.push(message.write());
    }
    let contexts = (0..).zip(before).map(|(number, hops)| Context {
        session: "session".to_owned(),
        number,
        buckets: 1,
        is_last: number as usize + 1 == before.len(),
        unpublished: Vec::new(),
        pieces: vec![Piece {
            before: vec![*hops],
            blocks: vec![number as u8],
        }],
    });
    (hops, contexts.collect())
}

proptest! {
    /// In any order, some of them twice, and whatever was taken before.
    #[test]
    fn session_comes_out_as_it_went_in(
        steps in prop::collection::vec(0..20_u64, 1..8),
        size in 1..9_u64,
        done in prop::collection::vec(0..60_u64, 0..60),
        order in prop::collection::vec(any::<(bool, prop::sample::Index)>(), 60),
    ) {
        let before: Vec<u64> = steps.iter().scan(0, |all, step| {
            *all += step;
            Some(*all)
        }).collect();
        let all = before.last().copied().unwrap();
        let (mut hops, mut contexts) = messages(&before, size);
        let mut known = Done::default();
        done.iter().filter(|number| **number < all).for_each(|number| known.add(*number));
        let stored = Done::from(known.stored());
        prop_assert_eq!(&stored, &known);
        let mut relay = Relay::new(0, stored);
        let mut decoder = Decoder::new(Limits::default()).unwrap();
        let mut taken = Taken::default();
        let mut given = Vec::new();
        for (is_context, at) in order {
            if is_context && !contexts.is_empty() {
                let context = contexts.remove(at.index(contexts.len()));
                let read = Context::read(&context.write().unwrap()).unwrap();
                prop_assert_eq!(&read, &context);
                relay.add_context(Arc::new(read));
            } else if !hops.is_empty() && at.index(4) > 0 {
                given.push(hops.remove(at.index(hops.len())));
                relay.add_hops(&HopsMessage::read(given.last().unwrap()).unwrap());
            } else if !given.is_empty() {
                let again = &given[at.index(given.len())];
                relay.add_hops(&HopsMessage::read(again).unwrap());
            }
            while relay.step(&mut decoder, &mut taken) {}
        }
        for context in contexts {
            relay.add_context(Arc::new(context));
        }
        for message in &hops {
            relay.add_hops(&HopsMessage::read(message).unwrap());
        }
        while relay.step(&mut decoder, &mut taken) {}
        let expected: Vec<_> = (0..all).filter(|number| !known.contains(*number)).collect();
        prop_assert_eq!(&taken.hops, &expected);
        prop_assert_eq!(taken.blocks.len(), before.len());
        let at = before.iter().map(|end| {
            expected.iter().filter(|number| *number < end).count()
        });
        prop_assert_eq!(taken.at, at.collect::<Vec<_>>());
        prop_assert!(relay.has_ended() && taken.missing == 0);
    }

    /// What never comes is given up, and the rest goes on.
    #[test]
    fn what_never_comes_is_counted(lost in 0..5_usize) {
        let (mut hops, contexts) = messages(&[10, 50], 10);
        hops.remove(lost);
        let mut relay = Relay::new(0, Done::default());
        let mut decoder = Decoder::new(Limits::default()).unwrap();
        let mut taken = Taken::default();
        contexts.into_iter().for_each(|context| relay.add_context(Arc::new(context)));
        for message in &hops {
            relay.add_hops(&HopsMessage::read(message).unwrap());
        }
        while relay.step(&mut decoder, &mut taken) {}
        prop_assert_eq!(relay.waits_for_hops(), Some(if lost == 0 { 10 } else { 50 }));
        relay.give_up();
        while relay.step(&mut decoder, &mut taken) {}
        prop_assert_eq!((taken.missing, taken.hops.len()), (10, 40));
        prop_assert!(relay.has_ended());
    }
}
