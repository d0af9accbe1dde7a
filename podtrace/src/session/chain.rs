//! Reads the files of one session in order.
mod counts;
mod parts;
mod source;

use std::{
    collections::{HashSet, VecDeque},
    path::{Path, PathBuf},
};

use super::{
    format::SectionInfo,
    input::{Damage, InputError, count_events},
    reader::{Ahead, Item, Reader, ReaderOptions, Unread},
};
use crate::model::{event::Event, tap::TapCounts};
use counts::SectionCounts;
use parts::Parts;
use source::Source;

/// Upper bound of the kept places of damage; the others are counted.
const DAMAGE_MAX: usize = 1000;

/// A session being read.
pub struct Chain {
    source: Source,
    options: ReaderOptions,
    /// The interfaces of a capture in parts.
    parts: Option<Parts>,
    /// Files still to be read.
    next: VecDeque<PathBuf>,
    /// The last section, and how it ended.
    section: Option<(SectionInfo, Ending)>,
    /// Whether the section repeats the content of the section before it.
    is_repeating: bool,
    /// Sessions and numbers of the sections so far.
    sections: HashSet<(String, u64)>,
    /// Whether the section was read before.
    is_read: bool,
    /// How many sections were read before.
    repeated: u64,
    counts: SectionCounts,
    damage: Vec<(PathBuf, Damage)>,
    damaged: usize,
    /// Unread blocks of the files before this one.
    unread: Unread,
    /// Whether the file being read has ended.
    is_file_over: bool,
    /// Whether the other files have ended too.
    is_over: bool,
    /// Whether it is recorded meanwhile.
    is_live: bool,
    /// Packets of the file being read that gave no event until the last item.
    left_out: u64,
    /// Whether something before the next item is missing: it was damaged, left out or not
    /// recorded, or its file is not among the given ones.
    has_gap: bool,
    duration_ns: u64,
    /// Whether a section was not followed by the one that it goes on in.
    was_interrupted: bool,
    /// Whether the format of the first file has interfaces of different link layers.
    is_pcapng: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The section is being read, or was interrupted.
    None,
    Continues,
    Last,
}

impl Chain {
    /// A session whose first file is open; `next`: the others, in order.
    #[must_use]
    pub fn new(reader: Reader, options: ReaderOptions, next: VecDeque<PathBuf>) -> Self {
        let is_pcapng = reader.is_pcapng();
        let source = Source::InStep(Box::new(reader));
        Self::of((source, is_pcapng), options, next)
    }

    fn of(
        (source, is_pcapng): (Source, bool),
        options: ReaderOptions,
        next: VecDeque<PathBuf>,
    ) -> Self {
        Self {
            source,
            is_pcapng,
            options,
            parts: None,
            next,
            section: None,
            is_repeating: false,
            sections: HashSet::new(),
            is_read: false,
            repeated: 0,
            counts: SectionCounts::default(),
            damage: Vec::new(),
            damaged: 0,
            unread: Unread::default(),
            is_file_over: false,
            is_over: false,
            is_live: false,
            left_out: 0,
            has_gap: false,
            duration_ns: 0,
            was_interrupted: false,
        }
    }

    /// As [`Self::new`], for files that do not grow: another thread reads each ahead.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn ahead(
        reader: Reader,
        options: ReaderOptions,
        next: VecDeque<PathBuf>,
    ) -> Result<Self, InputError> {
        let is_pcapng = reader.is_pcapng();
        let source = Source::Ahead(Ahead::new(reader)?);
        Ok(Self::of((source, is_pcapng), options, next))
    }

    /// A session that is recorded meanwhile.
    #[must_use]
    pub fn live(session: Ahead, options: ReaderOptions) -> Self {
        let mut chain = Self::of((Source::Ahead(session), true), options, VecDeque::new());
        chain.is_over = true;
        chain.is_live = true;
        chain
    }

    /// Takes the files for parts of one capture of another tool: each numbers the interfaces
    /// anew.
    #[must_use]
    pub fn in_parts(mut self) -> Self {
        self.parts = Some(Parts::default());
        self
    }

    /// Whether its interfaces may have different link layers.
    #[must_use]
    pub fn is_pcapng(&self) -> bool {
        self.is_pcapng
    }

    /// The path of the file being read.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// Whether the section being read is podtrace's.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.section.is_some()
    }

    /// The event that was the last item.
    pub fn event(&mut self) -> Option<&mut Event> {
        self.source.event()
    }

    /// Whether the next item is not read yet.
    pub fn would_wait(&mut self) -> bool {
        match &mut self.source {
            Source::InStep(_) => false,
            Source::Ahead(ahead) => ahead.would_wait(),
        }
    }

    /// The next item; none if there are no more for now.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn next_item(&mut self) -> Result<Option<Item>, InputError> {
        loop {
            let item = self.source.next_item()?;
            self.take_damage();
            self.note_left_out();
            let Some(mut item) = item else {
                if !self.end_file() {
                    let Some(next) = self.next.pop_front() else {
                        return Ok(None);
                    };
                    self.open(&next)?;
                }
                continue;
            };
            if let Some(parts) = &mut self.parts {
                parts.renumber(&mut item, self.source.event());
            }
            match &item {
                Item::Event => count_events(1),
                Item::PassedOver(passed_over) => count_events(passed_over.packets()),
                _ => {}
            }
            match self.pass(item) {
                // Who asks knows only of this item that it has come: the next one may take long.
                None if self.is_live => return Ok(Some(Item::Ready)),
                None => {}
                passed => return Ok(passed),
            }
        }
    }

    /// Tells the reader that no more bytes will come, once that is certain: it may then return
    /// items behind damage.
    fn end_file(&mut self) -> bool {
        let ends_now = !self.is_file_over && (self.is_over || !self.next.is_empty());
        if ends_now {
            self.is_file_over = true;
            self.source.finish();
            self.take_damage();
        }
        ends_now
    }

    fn open(&mut self, path: &Path) -> Result<(), InputError> {
        self.unread = self.unread();
        let reader = Reader::open(path, self.options.clone())?;
        self.source = match &self.source {
            Source::InStep(_) => Source::InStep(Box::new(reader)),
            Source::Ahead(_) => Source::Ahead(Ahead::new(reader)?),
        };
        if let Some(parts) = &mut self.parts {
            parts.begin();
        }
        self.is_file_over = false;
        self.left_out = 0;
        Ok(())
    }

    fn note_left_out(&mut self) {
        let packets = self.source.unread().packets.total();
        self.has_gap |= packets > self.left_out;
        self.left_out = packets;
    }

    fn take_damage(&mut self) {
        let found = self.source.take_damage();
        if found.is_empty() {
            return;
        }
        let path = self.path().to_owned();
        self.damaged += found.len();
        let room = DAMAGE_MAX.saturating_sub(self.damage.len());
        let kept = found.into_iter().take(room);
        self.damage
            .extend(kept.map(|damage| (path.clone(), damage)));
        self.has_gap = true;
        // The section may have no more than the repeated items.
        self.is_repeating = false;
    }

    /// Passes an item on, unless it repeats an earlier one.
    fn pass(&mut self, item: Item) -> Option<Item> {
        match item {
            Item::Section(info) => {
                let id = (info.session.clone(), info.section);
                self.is_read = !self.sections.insert(id);
                if self.is_read {
                    self.repeated += 1;
                    return None;
                }
                self.begin(&info);
                return Some(Item::Section(info));
            }
            // The files have it twice.
            _ if self.is_read => return None,
            Item::Update(..) if self.is_repeating => return None,
            Item::Ready => {
                self.is_repeating = false;
                return None;
            }
            // Without its header, nothing tells which interfaces and packets it was to have.
            Item::Tick(_) => self.has_gap |= self.section.is_none(),
            Item::Counts(counts) => {
                self.counts.current.extend(counts.taps());
                return None;
            }
            Item::End(end) => {
                self.counts.close();
                self.duration_ns = self.duration_ns.max(end.duration_ns);
                if let Some((_, ending)) = &mut self.section {
                    *ending = if end.continues {
                        Ending::Continues
                    } else {
                        Ending::Last
                    };
                }
                return None;
            }
            _ => {}
        }
        Some(item)
    }

    fn begin(&mut self, info: &SectionInfo) {
        let goes_on = self.section.as_ref().is_some_and(|(before, ending)| {
            let is_next = before.session == info.session && before.section + 1 == info.section;
            is_next && *ending == Ending::Continues
        });
        self.is_repeating = goes_on;
        self.was_interrupted |= self.section.is_some() && !goes_on;
        self.has_gap |= self.section.is_some() && !goes_on;
        // The next section counts the events of an interrupted one again.
        self.counts.current.clear();
        self.section = Some((info.clone(), Ending::None));
    }

    /// Whether something before the last item is missing, as far as that was not taken before.
    pub fn take_gap(&mut self) -> bool {
        std::mem::take(&mut self.has_gap)
    }

    /// Whether the session has recorded its end.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.section, Some((_, Ending::Last)))
    }

    /// Whether the session says that another file follows.
    #[must_use]
    pub fn continues(&self) -> Option<&SectionInfo> {
        match &self.section {
            Some((info, Ending::Continues)) => Some(info),
            _ => None,
        }
    }

    /// Whether a session that was read to its end was interrupted: its last section does
    /// not end.
    #[must_use]
    pub fn was_broken_off(&self) -> bool {
        self.is_over() && matches!(self.section, Some((_, Ending::None)))
    }

    /// Whether all sections were read undamaged to their ends, with all that they counted.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let has_end = matches!(self.section, Some((_, Ending::Last | Ending::Continues)));
        self.is_over() && has_end && self.damaged == 0 && !self.was_interrupted
    }

    /// Adds a file to be read.
    pub fn add(&mut self, path: PathBuf) {
        self.next.push_back(path);
    }

    /// Records that its files no longer grow: incomplete blocks are damage, and
    /// [`Self::next_item`] gives the items behind them.
    pub fn end(&mut self) {
        self.is_over = true;
    }

    /// How many sections were skipped because they were read before.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Whether its files were read to the end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over && self.is_file_over && self.next.is_empty()
    }

    /// Ends the reading, which makes the counts final.
    pub fn finish(&mut self) {
        self.counts.close();
    }

    /// The counts of the complete sections so far, by number in the session.
    #[must_use]
    pub fn counts(&self) -> &TapCounts {
        &self.counts.whole
    }

    /// Nanoseconds from beginning to end, if the session states it.
    #[must_use]
    pub fn duration_ns(&self) -> u64 {
        self.duration_ns
    }

    /// The number of places that could not be read.
    #[must_use]
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// The first places of damage.
    #[must_use]
    pub fn damage(&self) -> &[(PathBuf, Damage)] {
        &self.damage
    }

    /// Blocks that gave no item.
    #[must_use]
    pub fn unread(&self) -> Unread {
        let here = self.source.unread();
        let mut unread = self.unread.clone();
        unread.packets.add_all(&here.packets);
        unread.entries += here.entries;
        unread
    }
}
