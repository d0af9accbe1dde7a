//! Packets that are passed over are counted, each once, behind their tap points.
use std::collections::HashSet;

use super::sample::Dice;
use crate::{
    filter::{Expression, Filter, Scope},
    session::reader::{Item, Reader, ReaderOptions},
    update::Update,
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/docs/worker1.pcapng");

/// How many packets a reader gives as events, and how many it passes over.
fn count(bytes: &[u8], passes_over: bool) -> Option<(u64, u64)> {
    let filter = Filter {
        expression: Expression::compile("icmp").unwrap(),
        scope: Scope::Both,
    };
    let options = ReaderOptions {
        filter: Some(filter.into()),
        passes_over,
        ..ReaderOptions::default()
    };
    let mut reader = Reader::of(bytes.to_vec(), options).ok()?;
    let (mut events, mut passed_over) = (0, 0);
    let mut known = HashSet::new();
    for is_over in [false, true] {
        if is_over {
            reader.finish();
        }
        while let Some(item) = reader.next_item().unwrap() {
            match item {
                Item::Event => events += 1,
                Item::PassedOver(packets) => {
                    assert!(packets.from_ns <= packets.until_ns);
                    assert!(
                        packets
                            .taps
                            .iter()
                            .all(|((number, _), _)| known.contains(number))
                    );
                    passed_over += packets.packets();
                }
                Item::Update(_, Update::TapPoint { number, .. }) => {
                    known.insert(number);
                }
                _ => {}
            }
        }
    }
    Some((events, passed_over))
}

#[test]
fn each_is_counted_once_also_in_damaged_files() {
    let whole = std::fs::read(FILE).unwrap();
    let mut dice = Dice(9);
    for damages in 0..30 {
        let mut bytes = whole.clone();
        for _ in 0..damages {
            let at = dice.below(bytes.len());
            bytes[at] ^= 1 << dice.below(8);
        }
        let (Some((all, 0)), Some((events, passed_over))) =
            (count(&bytes, false), count(&bytes, true))
        else {
            continue;
        };
        assert_eq!(events + passed_over, all, "{damages}");
        assert!(damages > 0 || (events > 0 && passed_over > 0));
    }
}
