//! Which hops of a session are done.
use std::{collections::VecDeque, ops::Range};

use serde::{Deserialize, Serialize};

/// Numbers from 0 of which nearly all below a certain one are in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// All below this one are.
    base: u64,
    /// Whether those from there on are.
    beyond: VecDeque<bool>,
}

/// The same, to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredDone {
    /// All below this one.
    pub all_below: u64,
    /// And these: the first, and the one behind the last.
    pub beyond: Vec<(u64, u64)>,
}

impl Done {
    /// All below this one are in it.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The number with these last bits, near the base.
    #[must_use]
    pub fn whole(&self, last: u32) -> u64 {
        let distance = last.wrapping_sub(self.base as u32).cast_signed();
        self.base.saturating_add_signed(distance.into())
    }

    /// Adds a number.
    pub fn add(&mut self, number: u64) {
        self.add_all(number..number.saturating_add(1));
    }

    /// Adds all numbers of a range.
    pub fn add_all(&mut self, numbers: Range<u64>) {
        if numbers.start <= self.base {
            let skipped = numbers.end.saturating_sub(self.base);
            let known = self.beyond.len().min(skipped as usize);
            self.beyond.drain(..known);
            self.base += skipped;
        } else {
            let at = |number: u64| (number - self.base) as usize;
            let (start, end) = (at(numbers.start), at(numbers.end));
            if self.beyond.len() < end {
                self.beyond.resize(end, false);
            }
            self.beyond.range_mut(start..end).for_each(|is| *is = true);
        }
        while self.beyond.front() == Some(&true) {
            self.beyond.pop_front();
            self.base += 1;
        }
    }

    /// Whether a number is in it.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        match number.checked_sub(self.base) {
            None => true,
            Some(at) => self.beyond.get(at as usize).copied().unwrap_or_default(),
        }
    }

    /// To be stored.
    #[must_use]
    pub fn stored(&self) -> StoredDone {
        let mut beyond: Vec<(u64, u64)> = Vec::new();
        for (number, _) in (self.base..).zip(&self.beyond).filter(|(_, is)| **is) {
            match beyond.last_mut() {
                Some((_, end)) if *end == number => *end += 1,
                _ => beyond.push((number, number + 1)),
            }
        }
        StoredDone {
            all_below: self.base,
            beyond,
        }
    }
}

impl From<StoredDone> for Done {
    fn from(stored: StoredDone) -> Self {
        let mut done = Self {
            base: stored.all_below,
            beyond: VecDeque::new(),
        };
        for (start, end) in stored.beyond {
            done.add_all(start..end);
        }
        done
    }
}
