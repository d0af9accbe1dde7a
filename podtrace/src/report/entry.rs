//! What a page holds of a path: its words, made while the names are at hand.
use jiff::tz::TimeZone;

use crate::{
    output::text::{Text, TextOptions, TimeFormat},
    packet::Protocol,
    path::{Hop, Outcome, Path, RoundTrip, flood::Copies},
    stats::TapPointName,
    text::sanitize::{sanitize, sanitize_lines},
    world::World,
};

/// A path in words, all safe for a terminal.
pub(super) struct Entry {
    /// Number of its packet.
    pub(super) id: u64,
    /// When it was first seen, in nanoseconds since 1970 (UTC).
    pub(super) first_ns: u64,
    pub(super) protocol: Protocol,
    /// What the packet is.
    pub(super) what: Box<str>,
    /// Its sender and its receiver.
    pub(super) ends: Box<str>,
    /// What follows in the line that the text view begins with.
    pub(super) rest: Box<str>,
    pub(super) outcome: Outcome,
    /// Whether hops may be missing, or belong to another packet.
    pub(super) is_doubtful: bool,
    /// Nanoseconds from the first hop to the last.
    pub(super) duration_ns: u64,
    pub(super) round_trip_ns: Option<u64>,
    pub(super) hops: Box<[HopEntry]>,
    /// The lines that the text view ends with.
    pub(super) tail: Box<str>,
}

impl Entry {
    /// Its size in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let texts = [&self.what, &self.ends, &self.rest, &self.tail];
        let texts: usize = texts.iter().map(|text| text.len()).sum();
        let words: usize = self.hops.iter().map(|hop| hop.words.len()).sum();
        size_of::<Self>() + texts + words + size_of_val(&*self.hops)
    }
}

/// A hop in words.
pub(super) struct HopEntry {
    pub(super) ts_ns: u64,
    pub(super) at: TapPointName,
    /// What is remarkable.
    pub(super) words: Box<str>,
}

/// Makes entries.
pub(super) struct Writer {
    text: Text,
    /// The text being written; kept for its memory.
    scratch: String,
}

impl Default for Writer {
    fn default() -> Self {
        let options = TextOptions {
            time: TimeFormat::None,
            ..TextOptions::default()
        };
        Self {
            text: Text::new(options, TimeZone::UTC),
            scratch: String::new(),
        }
    }
}

impl Writer {
    /// A path of which no words may be needed.
    pub(super) fn pass_over(&mut self, path: &Path) {
        self.text.pass_over(path);
    }

    /// The path in words; none if it has no hop.
    pub(super) fn entry(&mut self, path: &Path, world: &World) -> Option<Entry> {
        let first = path.hops.first()?;
        let copies = Copies::of(path, world);
        let hops = self.hops(path, &copies, world);
        let Self { text, scratch } = self;
        let mut words = |write: &mut dyn FnMut(&mut String)| {
            scratch.clear();
            write(scratch);
            sanitize_lines(scratch.trim_end())
        };
        // Two spaces stand behind what the packet is.
        let head = words(&mut |out| text.header(out, path, world));
        let (what, rest) = head.split_once("  ").unwrap_or((&head, ""));
        Some(Entry {
            id: path.id,
            first_ns: first.ts_ns,
            protocol: path.packet.protocol(),
            what: what.into(),
            ends: words(&mut |out| text.ends(out, path, false, world)).into(),
            rest: rest.trim_start().into(),
            outcome: path.outcome,
            is_doubtful: path.incomplete || path.ambiguous,
            duration_ns: path.duration_ns(),
            round_trip_ns: path.measured_trip().map(RoundTrip::total_ns),
            hops,
            tail: words(&mut |out| text.tail(out, path, &copies, world)).into(),
        })
    }

    fn hops(&mut self, path: &Path, copies: &Copies, world: &World) -> Box<[HopEntry]> {
        let make = |hop: &Hop, _: &_, _, words: &str| HopEntry {
            ts_ns: hop.ts_ns,
            at: TapPointName::of(hop, world),
            words: sanitize(words.trim()).into(),
        };
        let scratch = &mut self.scratch;
        self.text.each_hop(scratch, path, copies, world, make)
    }
}

#[cfg(test)]
impl Entry {
    /// An entry of which only number and time count.
    pub(super) fn of_time(id: u64, first_ns: u64) -> Self {
        Self {
            id,
            first_ns,
            protocol: Protocol::Other,
            what: "".into(),
            ends: "".into(),
            rest: "".into(),
            outcome: Outcome::Delivered,
            is_doubtful: false,
            duration_ns: 0,
            round_trip_ns: None,
            hops: [].into(),
            tail: "".into(),
        }
    }
}
