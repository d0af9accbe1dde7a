//! The items of a file, apart from interfaces.
use serde::de::DeserializeOwned;

use super::{
    Wrong,
    options::{options, ours},
    passed_over::PassedOver,
};
use crate::{
    model::{loss::LostSpan, origin::Origin, snapshot::Snapshot},
    session::{
        format::{ENTRY_MAGIC, Entry, InterfaceCounts, SectionEnd, SectionInfo, Tick},
        input::Frame,
    },
    update::Update,
};

/// One item of a file.
#[derive(Debug)]
pub enum Item {
    /// A section of a session begins.
    Section(SectionInfo),
    /// An update of the session.
    Update(Origin, Update),
    /// The end of what the section repeats from earlier ones.
    Ready,
    /// A packet at one tap point: [`super::Reader::event`].
    Event,
    /// Packets that were passed over.
    PassedOver(PassedOver),
    /// All events until this time have come, except for the lost ones.
    Tick(Tick),
    /// Events were lost.
    Loss(LostSpan),
    /// Events were not recorded.
    NotRecorded(LostSpan),
    /// The counts since the section began, or since the last complete section.
    Counts(InterfaceCounts),
    /// The section is complete.
    End(SectionEnd),
}

impl Item {
    /// Whether it tells the time of packets, or until when they have come.
    #[must_use]
    pub fn has_time(&self) -> bool {
        matches!(self, Self::Event | Self::PassedOver(_) | Self::Tick(_))
    }

    /// An update of a file that holds one session.
    pub(super) fn here(update: Update) -> Self {
        Self::Update(Origin::default(), update)
    }
}

const CHECKSUM: Wrong = "a block that its checksum does not fit";
const UNSEALED: Wrong = "a block without its checksum";
const JSON: Wrong = "a block whose JSON cannot be read";

/// The JSON in a block's custom option, if it has one.
pub(super) fn sealed_json<T: DeserializeOwned>(
    frame: &Frame<'_>,
    options_at: usize,
) -> Result<Option<T>, Wrong> {
    for (code, value) in options(frame, options_at) {
        let Some(ours) = ours(code, value, frame.endian) else {
            continue;
        };
        if !ours.is_intact(frame) {
            return Err(CHECKSUM);
        }
        if ours.letter == b'J' {
            return serde_json::from_slice(ours.value)
                .map(Some)
                .map_err(|_error| JSON);
        }
    }
    Ok(None)
}

/// [`sealed_json`] of a block in a section of podtrace, where every block is sealed.
pub(super) fn own_json<T: DeserializeOwned>(
    frame: &Frame<'_>,
    options_at: usize,
    is_own: bool,
) -> Result<Option<T>, Wrong> {
    match sealed_json(frame, options_at)? {
        None if is_own => Err(UNSEALED),
        json => Ok(json),
    }
}

/// The data of podtrace in a section header.
pub(super) fn section(frame: &Frame<'_>) -> Result<Option<SectionInfo>, Wrong> {
    sealed_json(frame, 24)
}

/// Interface statistics.
pub(super) fn statistics(
    frame: &Frame<'_>,
    is_own: bool,
) -> Result<Option<InterfaceCounts>, Wrong> {
    own_json(frame, 20, is_own)
}

/// Checks that a name resolution block is intact; it gives no item.
pub(super) fn names(frame: &Frame<'_>, is_own: bool) -> Result<(), Wrong> {
    if !is_own {
        return Ok(());
    }
    let records = options(frame, 8);
    // The options follow the record that ends the names.
    let records = records.map(|(_, value)| 4 + value.len().next_multiple_of(4));
    let options_at = 8 + records.sum::<usize>() + 4;
    own_json::<()>(frame, options_at, true).map(|_| ())
}

/// A block of a type that podtrace does not write.
pub(super) fn other(is_own: bool) -> Result<(), Wrong> {
    if is_own {
        Err("a block of a type that is not podtrace's")
    } else {
        Ok(())
    }
}

/// An entry; none if this version does not know it.
pub(super) fn entry(frame: &Frame<'_>, is_own: bool) -> Result<Option<Entry>, Wrong> {
    let bytes = frame.bytes;
    let body = bytes.get(8..8 + ENTRY_MAGIC.len());
    if body != Some(&ENTRY_MAGIC[..]) {
        // A block of another tool with the same type.
        return other(is_own).map(|()| None);
    }
    let (Some(len), Some(checksum)) = (
        frame.endian.u32(bytes, 16),
        frame.endian.u32(bytes, bytes.len() - 8),
    ) else {
        return Err(CHECKSUM);
    };
    if crc32fast::hash(&bytes[..bytes.len() - 8]) != checksum {
        return Err(CHECKSUM);
    }
    let json = bytes.get(20..).and_then(|json| json.get(..len as usize));
    Ok(serde_json::from_slice(json.ok_or(CHECKSUM)?).ok())
}

/// The item of an entry, with its times in UTC. `snapshots`: the last snapshots.
pub(super) fn item(entry: Entry, epoch_ns: i64, snapshots: &mut Vec<Snapshot>) -> Option<Item> {
    let utc = |ns: u64| ns.saturating_add_signed(epoch_ns);
    let update_item = |origin: Origin, mut update: Update, snapshots: &mut Vec<Snapshot>| {
        update.map_times(utc);
        update.make_safe();
        if let Update::Snapshot(snapshot) = &update {
            let snapshot = Snapshot {
                held_since: Vec::new(),
                ..(**snapshot).clone()
            };
            let is_next = origin.session == snapshots.len();
            match snapshots.get_mut(origin.session) {
                Some(known) => *known = snapshot,
                None if is_next => snapshots.push(snapshot),
                None => {}
            }
        }
        Some(Item::Update(origin, update))
    };
    match entry {
        Entry::Update(update) => update_item(Origin::default(), update, snapshots),
        Entry::UpdateOf { origin, update } => update_item(origin, update, snapshots),
        Entry::SnapshotAgain { origin, mut time } => {
            time.map_times(utc);
            let mut snapshot = snapshots.get(origin.session)?.clone();
            snapshot.time = time;
            Some(Item::Update(origin, Update::Snapshot(Box::new(snapshot))))
        }
        Entry::Ready => Some(Item::Ready),
        Entry::Tick(tick) => Some(Item::Tick(Tick {
            now_ns: utc(tick.now_ns),
            ..tick
        })),
        Entry::Loss(mut lost) => {
            lost.map_times(utc);
            Some(Item::Loss(lost))
        }
        Entry::NotRecorded(mut missed) => {
            missed.map_times(utc);
            Some(Item::NotRecorded(missed))
        }
        Entry::Clock { .. } => None,
        Entry::Topology(topology) => {
            let mut update = Update::Topology(topology);
            update.make_safe();
            Some(Item::here(update))
        }
        Entry::End(end) => Some(Item::End(end)),
    }
}
