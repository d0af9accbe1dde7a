//! The paths that can be looked at, newest last, and which of them a filter lets through.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use super::{entry::Entry, headers::Headers, shared::lock};
use crate::filter::Filter;

/// Paths that are compared with a filter while the pipeline waits for the headers.
const AT_ONCE: usize = 128;
/// Paths that are compared between two looks at the keyboard.
const PER_TURN: usize = 16_384;

/// Paths by their places, which are never reused.
pub(super) struct Store {
    entries: VecDeque<Entry>,
    /// The place of the oldest.
    first: u64,
    bytes: usize,
    limit: usize,
    chosen: Option<Chosen>,
}

/// Where a time leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landing {
    /// To the shown path of this number: the first that begins then or later.
    At(usize),
    /// To what was dropped.
    Dropped,
    /// To paths of which the filter lets none through.
    Unmatched,
    /// Behind all paths, of which the last one began then.
    Behind(u64),
    /// There is no path yet.
    Nowhere,
}

/// What a filter lets through.
struct Chosen {
    filter: Arc<Filter>,
    /// The places of those that match, or of which that is not known.
    places: VecDeque<u64>,
    /// Those of which it is not known, as their headers are not there.
    unknown: VecDeque<u64>,
    /// The first place that was not looked at.
    next: u64,
}

impl Store {
    /// Keeps this many bytes at most.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            first: 0,
            bytes: 0,
            limit,
            chosen: None,
        }
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        while self.bytes > self.limit && self.entries.len() > 1 {
            if let Some(oldest) = self.entries.pop_front() {
                self.bytes -= oldest.bytes();
                self.first += 1;
            }
        }
        if let Some(chosen) = &mut self.chosen {
            chosen.forget_before(self.first);
        }
    }

    /// Drops all, and keeps the filter.
    pub(super) fn clear(&mut self) {
        let filter = self.chosen.take().map(|chosen| chosen.filter);
        *self = Self::new(self.limit);
        self.set_filter(filter);
    }

    /// Whether about as many are kept as there is room for.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.limit - self.limit / 8
    }

    /// How many were dropped, the oldest.
    pub(super) fn dropped(&self) -> u64 {
        self.first
    }

    /// How many there are, shown or not.
    pub(super) fn kept(&self) -> usize {
        self.entries.len()
    }

    /// How many are shown.
    pub(super) fn len(&self) -> usize {
        match &self.chosen {
            Some(chosen) => chosen.places.len(),
            None => self.entries.len(),
        }
    }

    /// How many are shown although their headers are not there to be looked at.
    pub(super) fn unknown(&self) -> usize {
        self.chosen
            .as_ref()
            .map_or(0, |chosen| chosen.unknown.len())
    }

    /// The place of the shown path number `number`, from 0.
    pub(super) fn place(&self, number: usize) -> Option<u64> {
        match &self.chosen {
            Some(chosen) => chosen.places.get(number).copied(),
            None => (number < self.entries.len()).then(|| self.first + number as u64),
        }
    }

    /// The number of the first shown path at a place or behind it.
    pub(super) fn number(&self, place: u64) -> usize {
        match &self.chosen {
            Some(chosen) => chosen.places.partition_point(|one| *one < place),
            None => usize::try_from(place.saturating_sub(self.first)).unwrap_or(usize::MAX),
        }
    }

    pub(super) fn get(&self, place: u64) -> Option<&Entry> {
        let number = usize::try_from(place.checked_sub(self.first)?).ok()?;
        self.entries.get(number)
    }

    /// The shown path number `number`.
    pub(super) fn shown(&self, number: usize) -> Option<&Entry> {
        self.get(self.place(number)?)
    }

    /// The paths up to a place, the newest first, shown or not.
    pub(super) fn until(&self, place: u64) -> impl Iterator<Item = &Entry> {
        let end = place.saturating_sub(self.first).saturating_add(1);
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        self.entries.range(..end.min(self.entries.len())).rev()
    }

    /// Where a time leads, in nanoseconds since 1970 (UTC). Whether a filter lets a path through does
    /// not change which times there are.
    pub(super) fn at(&self, utc_ns: u64) -> Landing {
        let Some((first_ns, last_ns)) = self.span() else {
            return Landing::Nowhere;
        };
        if utc_ns < first_ns && self.first > 0 {
            return Landing::Dropped;
        }
        // They end in another order than they begin.
        let found = (0..self.len()).find(|number| {
            let entry = self.shown(*number);
            entry.is_some_and(|entry| entry.utc_ns >= utc_ns)
        });
        match found {
            Some(number) => Landing::At(number),
            None if utc_ns <= last_ns => Landing::Unmatched,
            None => Landing::Behind(last_ns),
        }
    }

    /// When the first and the last shown path begin.
    pub(super) fn span(&self) -> Option<(u64, u64)> {
        let first = self.entries.front()?.utc_ns;
        let last = self.entries.back()?.utc_ns;
        Some((first, last))
    }

    pub(super) fn filter(&self) -> Option<&Arc<Filter>> {
        self.chosen.as_ref().map(|chosen| &chosen.filter)
    }

    /// Shows only what matches from now on; none for all.
    pub(super) fn set_filter(&mut self, filter: Option<Arc<Filter>>) {
        self.chosen = filter.map(|filter| Chosen {
            filter,
            places: VecDeque::new(),
            unknown: VecDeque::new(),
            next: self.first,
        });
    }

    /// Looks at all paths that were not looked at.
    pub(super) fn choose_all(&mut self, headers: &Mutex<Headers>) {
        let end = self.first + self.entries.len() as u64;
        while self.chosen.as_ref().is_some_and(|chosen| chosen.next < end) {
            self.choose(headers);
        }
    }

    /// Looks at paths that were not looked at; returns whether anything has changed.
    pub(super) fn choose(&mut self, headers: &Mutex<Headers>) -> bool {
        let end = self.first + self.entries.len() as u64;
        let Some(chosen) = &mut self.chosen else {
            return false;
        };
        chosen.next = chosen.next.max(self.first);
        chosen.unknown.retain(|place| *place >= self.first);
        let stop = end.min(chosen.next + PER_TURN as u64);
        let mut has_changed = chosen.next < stop || !chosen.unknown.is_empty();
        let entry = |place: u64| self.entries.get((place - self.first) as usize);
        for _ in 0..chosen.unknown.len().min(AT_ONCE) {
            let Some(place) = chosen.unknown.pop_front() else {
                break;
            };
            let id = entry(place).map_or(0, |entry| entry.id);
            match lock(headers).matches(id, &chosen.filter) {
                Some(true) => {}
                Some(false) => chosen.remove(place),
                None => chosen.unknown.push_back(place),
            }
        }
        while chosen.next < stop {
            let headers = lock(headers);
            for _ in 0..AT_ONCE.min((stop - chosen.next) as usize) {
                let place = chosen.next;
                chosen.next += 1;
                let id = entry(place).map_or(0, |entry| entry.id);
                let verdict = headers.matches(id, &chosen.filter);
                if verdict.is_none() {
                    chosen.unknown.push_back(place);
                }
                if verdict != Some(false) {
                    chosen.places.push_back(place);
                }
                has_changed = true;
            }
        }
        has_changed
    }
}

impl Chosen {
    fn forget_before(&mut self, first: u64) {
        while self.places.front().is_some_and(|place| *place < first) {
            self.places.pop_front();
        }
    }

    fn remove(&mut self, place: u64) {
        if let Ok(number) = self.places.binary_search(&place) {
            self.places.remove(number);
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
