//! The counts of a recording by section, so that each section adds up.
use std::collections::BTreeSet;

use podtrace_ebpf::record::Direction;

use crate::{
    map::Map,
    model::tap::{TapCount, TapCounts},
    session::files::EventCounts,
};

type Tap = (u32, Direction);

/// All counts, and the part of them reported in earlier sections.
#[derive(Default)]
pub(super) struct RecordedCounts {
    /// All counts upstream of the recording, since the session began.
    taken: TapCounts,
    /// Events written and not written since the session began.
    written: Map<Tap, Written>,
    /// Taps that have events in the current chunk.
    in_chunk: Vec<Tap>,
    /// Counts reported in complete sections.
    reported: TapCounts,
    /// Tap points whose other counts have changed since they were last written.
    changed: BTreeSet<u32>,
    not_recorded: u64,
    /// Events written, at all tap points so far.
    recorded: u64,
}

/// The events of a tap, written and not written: one look-up per event.
#[derive(Default)]
struct Written {
    count: TapCount,
    /// Events in the current chunk.
    in_chunk: u64,
    /// Whether it has changed since it was last written.
    has_changed: bool,
}

impl RecordedCounts {
    /// Counts an event written to the current chunk.
    pub(super) fn recorded(&mut self, tap: Tap) {
        let written = self.written.entry(tap).or_default();
        written.count.emitted += 1;
        self.recorded += 1;
        written.has_changed = true;
        if written.in_chunk == 0 {
            self.in_chunk.push(tap);
        }
        written.in_chunk += 1;
    }

    /// Whether the current chunk has events.
    pub(super) fn has_events(&self) -> bool {
        !self.in_chunk.is_empty()
    }

    /// Moves the events of the current chunk to `events`.
    pub(super) fn take_events(&mut self, events: &mut EventCounts) {
        for tap in self.in_chunk.drain(..) {
            if let Some(written) = self.written.get_mut(&tap) {
                let (interface, direction) = tap;
                events.add(interface, direction, written.in_chunk);
                written.in_chunk = 0;
            }
        }
    }

    /// Counts events that were not written.
    pub(super) fn not_recorded(&mut self, tap: Tap, events: u64) {
        let written = self.written.entry(tap).or_default();
        written.count.unrecorded += events;
        written.has_changed = true;
        self.not_recorded += events;
    }

    /// Moves events from written to not written.
    pub(super) fn take_back(&mut self, tap: Tap, events: u64) {
        let count = &mut self.written.entry(tap).or_default().count;
        count.emitted = count.emitted.saturating_sub(events);
        self.recorded = self.recorded.saturating_sub(events);
        self.not_recorded(tap, events);
    }

    /// Events not recorded since the session began.
    pub(super) fn not_recorded_in_all(&self) -> u64 {
        self.not_recorded
    }

    /// Events recorded since the session began.
    pub(super) fn recorded_in_all(&self) -> u64 {
        self.recorded
    }

    /// Retires a tap point, which has no events in the current chunk.
    pub(super) fn retire(&mut self, point: u32) {
        for tap in Direction::ALL.map(|direction| (point, direction)) {
            self.taken.remove(&tap);
            self.reported.remove(&tap);
            self.written.remove(&tap);
        }
        self.changed.remove(&point);
    }

    /// Takes over the counts; returns how many more events of each tap are missing.
    pub(super) fn take(&mut self, taps: &TapCounts) -> Vec<(Tap, u64)> {
        let mut grown = Vec::new();
        for (tap, count) in taps {
            let known = self.taken.entry(*tap).or_default();
            if known == count {
                continue;
            }
            let more = count.missing().saturating_sub(known.missing());
            if more > 0 {
                grown.push((*tap, more));
            }
            self.changed.insert(tap.0);
            *known = *count;
        }
        grown
    }

    /// The tap points that changed since the last call.
    pub(super) fn take_changed(&mut self) -> BTreeSet<u32> {
        let mut tap_points = std::mem::take(&mut self.changed);
        for ((point, _), written) in &mut self.written {
            if std::mem::take(&mut written.has_changed) {
                tap_points.insert(*point);
            }
        }
        tap_points
    }

    /// Every tap point with counts.
    pub(super) fn tap_points(&self) -> BTreeSet<u32> {
        let taps = self.taken.keys().chain(self.written.keys());
        taps.map(|(point, _)| *point).collect()
    }

    /// The counts of a tap point since the last complete section. At the end, `seen` is the
    /// kernel's count; before that, events are still under way, so only accounted packets
    /// count as seen.
    pub(super) fn since(&self, point: u32, is_end: bool) -> TapCounts {
        let taps = Direction::ALL.map(|direction| (point, direction));
        let counts = taps.into_iter().map(|tap| (tap, self.of(tap, is_end)));
        counts.collect()
    }

    fn of(&self, tap: Tap, is_end: bool) -> TapCount {
        let get = |map: &TapCounts| map.get(&tap).copied().unwrap_or_default();
        let (taken, reported) = (get(&self.taken), get(&self.reported));
        let written = self.written.get(&tap);
        let written = written.map_or_else(TapCount::default, |written| written.count);
        let mut count = TapCount {
            seen: 0,
            emitted: written.emitted.saturating_sub(reported.emitted),
            filtered: taken.filtered.saturating_sub(reported.filtered),
            lost_ring: taken.lost_ring.saturating_sub(reported.lost_ring),
            undecodable: taken.undecodable.saturating_sub(reported.undecodable),
            unrecorded: (taken.unrecorded.saturating_add(written.unrecorded))
                .saturating_sub(reported.unrecorded),
        };
        count.seen = if is_end {
            taken.seen.saturating_sub(reported.seen)
        } else {
            count.accounted()
        };
        count
    }

    /// Records that the section is broken off: the next one reports everything again.
    pub(super) fn report_again(&mut self) {
        self.changed = self.tap_points();
    }

    /// Records that the section is complete: the next one counts from here.
    pub(super) fn close_section(&mut self) {
        for point in self.tap_points() {
            for (tap, count) in self.since(point, false) {
                self.reported.entry(tap).or_default().add(&count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAP: Tap = (3, Direction::Egress);

    fn kernel(seen: u64, lost_ring: u64) -> TapCounts {
        let count = TapCount {
            seen,
            lost_ring,
            ..TapCount::default()
        };
        TapCounts::from([(TAP, count)])
    }

    #[test]
    fn sections_add_up_to_what_the_kernel_has_seen() {
        let mut counts = RecordedCounts::default();
        counts.take(&kernel(10, 2));
        for _ in 0..5 {
            counts.recorded(TAP);
        }
        counts.not_recorded(TAP, 1);
        let first = counts.since(3, false)[&TAP];
        assert_eq!((first.seen, first.emitted, first.missing()), (8, 5, 3));
        assert!(first.is_conserved());
        counts.close_section();
        assert_eq!(counts.take(&kernel(14, 3)), [(TAP, 1)]);
        for _ in 0..5 {
            counts.recorded(TAP);
        }
        let last = counts.since(3, true)[&TAP];
        assert_eq!((last.seen, last.emitted, last.missing()), (6, 5, 1));
        assert!(last.is_conserved());
    }

    #[test]
    fn events_that_did_not_reach_the_disk_are_not_recorded() {
        let mut counts = RecordedCounts::default();
        counts.recorded(TAP);
        counts.recorded(TAP);
        counts.take_back(TAP, 2);
        let count = counts.since(3, false)[&TAP];
        assert_eq!((count.emitted, count.unrecorded), (0, 2));
        assert_eq!(counts.not_recorded_in_all(), 2);
    }
}
