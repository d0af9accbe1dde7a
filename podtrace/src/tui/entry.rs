//! What the screen keeps of a path: its words, made while the names are at hand.
use std::sync::Arc;

use podtrace_ebpf::record::Direction;

use super::{Words, paint};
use crate::{
    field::TimeNs,
    output::text::{Text, TextOptions},
    path::{Outcome, Path, flood::Copies},
    world::World,
};

/// What a block of memory takes beside its bytes, at most.
pub(super) const ALLOCATED: usize = 24;

/// What bytes take in a block of memory of their own.
pub(super) fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        bytes => bytes + ALLOCATED,
    }
}

/// An interface and a direction.
pub(super) type Tap = (u32, Direction);

/// A path in words.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Number of its packet.
    pub(super) id: u64,
    /// When it was first seen, in nanoseconds of the hops' clock.
    pub(super) first_ns: u64,
    /// The same in nanoseconds since 1970 (UTC).
    pub(super) utc_ns: u64,
    /// The same for people.
    pub(super) time: Box<str>,
    /// What the packet is.
    pub(super) what: Box<str>,
    /// Its sender and its receiver.
    pub(super) ends: Box<str>,
    pub(super) outcome: Outcome,
    /// Nanoseconds from the first hop to the last.
    pub(super) duration_ns: u64,
    /// The line that the text view begins with, painted.
    pub(super) head: Box<str>,
    pub(super) hops: Box<[HopEntry]>,
    /// What the text view ends with, painted.
    pub(super) tail: Box<str>,
}

/// A hop in words.
#[derive(Clone, Debug)]
pub(super) struct HopEntry {
    pub(super) ts_ns: u64,
    pub(super) tap: Tap,
    /// The pod or the node.
    pub(super) owner: Arc<str>,
    /// The interface.
    pub(super) name: Arc<str>,
    pub(super) in_pod: bool,
    /// What is remarkable.
    pub(super) words: Box<str>,
}

impl Entry {
    /// Its size in memory, in bytes: in a list, which has room for up to twice as many.
    pub(super) fn bytes(&self) -> usize {
        let texts = [&self.time, &self.what, &self.ends, &self.head, &self.tail];
        let texts: usize = texts.iter().map(|text| allocated(text.len())).sum();
        let words = self.hops.iter().map(|hop| allocated(hop.words.len()));
        let words: usize = words.sum();
        2 * size_of::<Self>() + texts + words + allocated(size_of_val(&*self.hops))
    }

    /// The times from each hop to the next.
    pub(super) fn legs(&self) -> impl Iterator<Item = ((Tap, Tap), u64)> {
        self.hops.windows(2).filter_map(|pair| match pair {
            [from, to] => Some(((from.tap, to.tap), to.ts_ns.saturating_sub(from.ts_ns))),
            _ => None,
        })
    }
}

/// Makes entries.
pub(super) struct Writer {
    /// For the list, which paints by itself.
    plain: Text,
    /// For what is shown as in the text view.
    painted: Text,
    epoch_ns: i128,
    /// The text being written; kept for its memory.
    scratch: String,
}

impl Writer {
    pub(super) fn new(words: Words, zone: &jiff::tz::TimeZone) -> Self {
        let text = |color| {
            let options = TextOptions {
                color,
                numeric: words.numeric,
                epoch_ns: words.epoch_ns,
                time: words.time,
                ..TextOptions::default()
            };
            Text::new(options, zone.clone())
        };
        Self {
            plain: text(false),
            painted: text(words.color),
            epoch_ns: words.epoch_ns,
            scratch: String::new(),
        }
    }

    /// The text view, for what is no path.
    pub(super) fn text(&mut self) -> &mut Text {
        &mut self.plain
    }

    /// A path of which no words are needed.
    pub(super) fn pass_over(&mut self, path: &Path) {
        self.plain.pass_over(path);
        self.painted.pass_over(path);
    }

    /// The path in words; none if it has no hop.
    pub(super) fn entry(&mut self, path: &Path, world: &World) -> Option<Entry> {
        let first = path.hops.first()?;
        let Self {
            plain,
            painted,
            epoch_ns,
            scratch,
        } = self;
        let copies = Copies::of(path, world);
        let hops = plain.each_hop(scratch, path, &copies, world, |hop, point, owner, words| {
            HopEntry {
                ts_ns: hop.ts_ns,
                tap: (hop.interface, hop.direction),
                owner,
                name: Arc::clone(&point.name),
                in_pod: point.in_pod,
                words: paint::safe(words).trim().into(),
            }
        });
        let mut text = |write: &mut dyn FnMut(&mut String)| {
            scratch.clear();
            write(scratch);
            paint::safe(scratch).trim_end_matches(' ').into()
        };
        let head = text(&mut |out| painted.header(out, path, world));
        let tail = text(&mut |out| painted.tail(out, path, &copies, world));
        Some(Entry {
            id: path.id,
            first_ns: first.ts_ns,
            utc_ns: TimeNs::new(*epoch_ns, first.ts_ns).0,
            time: text(&mut |out| plain.time(out, first.ts_ns)),
            what: text(&mut |out| plain.words(out, &path.packet, path.ends())),
            ends: text(&mut |out| plain.ends(out, path, false, world)),
            outcome: path.outcome,
            duration_ns: path.duration_ns(),
            head,
            hops,
            tail,
        })
    }
}
