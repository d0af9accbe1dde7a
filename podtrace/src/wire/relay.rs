//! Puts a session together again, for one bucket, from messages in any order, each any number of
//! times.
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{
    Decoder, Hop, Hops,
    done::Done,
    message::{Context, HopsMessage},
};

/// What takes the session, in order.
pub trait Takes {
    /// Blocks of the session.
    fn blocks(&mut self, blocks: &[u8]);
    /// The hop of this number.
    fn hop(&mut self, hop: &Hop<'_>, number: u64);
    /// Hops that never come: the number of the first, and how many.
    fn missing(&mut self, first: u64, count: u64);
}

/// A session that is put together.
pub struct Relay {
    bucket: usize,
    /// The hops that were taken before.
    done: Done,
    contexts: BTreeMap<u64, Arc<Context>>,
    next_context: u64,
    /// The pieces that come next.
    pieces: VecDeque<(Arc<Context>, usize)>,
    /// Batches by the number of their first hop, with the one behind their last.
    batches: BTreeMap<u64, (u64, Vec<u8>)>,
    /// What is left of the one that is read.
    hops: Option<Hops>,
    next_hop: u64,
    /// Ranges that never come: the one behind the last, by the first.
    missing: BTreeMap<u64, u64>,
    has_last: bool,
}

impl Relay {
    /// For a bucket. `done`: the hops that were taken before.
    #[must_use]
    pub fn new(bucket: u16, done: Done) -> Self {
        Self {
            bucket: bucket.into(),
            done,
            contexts: BTreeMap::new(),
            next_context: 0,
            pieces: VecDeque::new(),
            batches: BTreeMap::new(),
            hops: None,
            next_hop: 0,
            missing: BTreeMap::new(),
            has_last: false,
        }
    }

    /// Adds a context.
    pub fn add_context(&mut self, context: Arc<Context>) {
        if context.number >= self.next_context {
            self.contexts.insert(context.number, context);
        }
    }

    /// Adds a batch.
    pub fn add_hops(&mut self, message: &HopsMessage<'_>) {
        let end = message.first.saturating_add(message.count.into());
        if end > self.next_hop.max(self.done.base()) {
            let batch = (end, message.batch.to_vec());
            self.batches.insert(message.first, batch);
        }
    }

    /// How many hops were taken, or never come.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.next_hop
    }

    /// Whether all of the session was taken.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.has_last && self.pieces.is_empty()
    }

    /// Takes a step; returns false if nothing can be taken before there is more.
    pub fn step(&mut self, decoder: &mut Decoder, to: &mut dyn Takes) -> bool {
        self.take_contexts();
        let Some((context, at)) = self.pieces.front() else {
            return false;
        };
        let (context, at) = (Arc::clone(context), *at);
        let Some(piece) = context.pieces.get(at) else {
            self.pieces.pop_front();
            return true;
        };
        let before = piece.before.get(self.bucket).copied().unwrap_or_default();
        if self.next_hop < before {
            return self.step_hops(before, decoder, to);
        }
        to.blocks(&piece.blocks);
        self.pieces.pop_front();
        true
    }

    /// What it waits for, if that is hops: how many there have to be.
    #[must_use]
    pub fn waits_for_hops(&self) -> Option<u64> {
        let (context, at) = self.pieces.front()?;
        let before = context.pieces.get(*at)?.before.get(self.bucket).copied()?;
        (self.next_hop < before).then_some(before)
    }

    /// Gives up the hops that it waits for.
    pub fn give_up(&mut self) {
        if let Some(before) = self.waits_for_hops() {
            let next = self.batches.range(self.next_hop..).next();
            let end = next.map_or(before, |(first, _)| before.min(*first));
            self.missing.insert(self.next_hop, end);
        }
    }

    fn take_contexts(&mut self) {
        while let Some(context) = self.contexts.remove(&self.next_context) {
            self.next_context += 1;
            for hops in &context.unpublished {
                if usize::from(hops.bucket) == self.bucket {
                    self.missing.insert(hops.first, hops.first + hops.count);
                }
            }
            self.has_last |= context.is_last;
            let count = context.pieces.len();
            let pieces = (0..count).map(|piece| (Arc::clone(&context), piece));
            self.pieces.extend(pieces);
        }
    }

    /// Takes hops up to `before`.
    fn step_hops(&mut self, before: u64, decoder: &mut Decoder, to: &mut dyn Takes) -> bool {
        if let Some(hops) = &mut self.hops {
            while self.next_hop < before
                && let Some(hop) = hops.next()
            {
                if !self.done.contains(self.next_hop) {
                    to.hop(&hop, self.next_hop);
                }
                self.next_hop += 1;
            }
            if hops.is_empty() {
                self.hops = None;
            }
            return true;
        }
        // What was taken before need not come again.
        if self.next_hop < self.done.base() {
            self.next_hop = before.min(self.done.base());
            return true;
        }
        if let Some(end) = self.missing.remove(&self.next_hop) {
            let count = end.saturating_sub(self.next_hop);
            if !self.done.contains(self.next_hop) {
                to.missing(self.next_hop, count);
            }
            self.next_hop = end.max(self.next_hop);
            return true;
        }
        let Some((first, batch)) = self.take_batch() else {
            return false;
        };
        match decoder.decode(&batch) {
            Ok(mut hops) => {
                for _ in first..self.next_hop {
                    hops.next();
                }
                self.hops = Some(hops);
            }
            // Nobody can read it.
            Err(_) => self.give_up(),
        }
        true
    }

    /// The batch with the next hop, and the number of its first.
    fn take_batch(&mut self) -> Option<(u64, Vec<u8>)> {
        while let Some(entry) = self.batches.first_entry()
            && *entry.key() <= self.next_hop
        {
            let (first, (end, batch)) = entry.remove_entry();
            if end > self.next_hop {
                return Some((first, batch));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
