//! Reading ahead gives the same items as reading in step.
use std::collections::VecDeque;

use super::sample::*;
use crate::session::{
    chain::Chain,
    reader::{Item, Reader},
};

/// All that a chain gives, as text.
fn given(mut chain: Chain) -> Vec<String> {
    let mut given = Vec::new();
    for is_over in [false, true] {
        if is_over {
            chain.end();
        }
        while let Some(item) = chain.next_item().unwrap() {
            if let (Item::Event, Some(event)) = (&item, chain.event()) {
                given.push(format!("{event:?}"));
            }
            let gap = chain.take_gap();
            given.push(format!("{gap:?} {} {:?}", in_order(item), chain.unread()));
        }
    }
    given.push(format!("{:?} {:?}", chain.damage(), chain.counts()));
    given.push(format!("{} {}", chain.was_broken_off(), chain.is_over()));
    given
}

#[test]
fn damaged_files_read_alike_ahead_and_in_place() {
    let recorded = small(How::default());
    let whole = recorded.bytes();
    let directory = tempfile::TempDir::new().unwrap();
    let mut dice = Dice(7);
    for damages in 0..40 {
        let mut files = VecDeque::new();
        for number in 0..2 {
            let mut bytes = whole.clone();
            for _ in 0..damages {
                let at = dice.below(bytes.len());
                bytes[at] ^= 1 << dice.below(8);
            }
            bytes.truncate(bytes.len() - dice.below(1 + damages * 20));
            let path = directory.path().join(format!("{damages}-{number}.pcapng"));
            std::fs::write(&path, bytes).unwrap();
            files.push_back(path);
        }
        let first = files.pop_front().unwrap();
        let Ok(in_step) = Reader::open(&first, options()) else {
            continue;
        };
        let ahead = Reader::open(&first, options()).unwrap();
        let ahead = Chain::ahead(ahead, options(), files.clone()).unwrap();
        let in_step = Chain::new(in_step, options(), files);
        assert_eq!(given(ahead), given(in_step));
    }
}
