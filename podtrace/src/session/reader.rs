//! Reads a file as items in order: events, updates and counts.
//!
//! It reads podtrace's own sessions in full, and from captures of other tools whatever they
//! hold. Times of all items are nanoseconds since 1970 (UTC) by the clock of the node that
//! recorded.
mod ahead;
mod capture;
mod items;
mod options;
mod packet;

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    format::{
        ENHANCED_PACKET, ENTRY_BLOCK, Entry, FORMAT, INTERFACE_DESCRIPTION, INTERFACE_STATISTICS,
        InterfaceCounts, NAME_RESOLUTION, SECTION_HEADER, SectionInfo,
    },
    input::{self, Damage, Frames, InputError, Source},
};
use crate::{
    model::{event::Event, snapshot::Snapshot},
    packet::{DecodeOptions, key_payload},
    text::sanitize::sanitize,
    update::Update,
};
pub use ahead::Ahead;
use capture::Capture;
pub use items::Item;
use packet::{Described, Interface};

/// Packet block, an older kind that is not read, and simple packet block, which
/// has no time.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
/// Upper bound of a possible block behind damage that the reader examines, in bytes: the
/// limit bounds the time that many of them take.
const REJECT_MAX: u64 = 64 << 10;
/// The default UDP port of VXLAN: flannel's.
const VXLAN_PORT: u16 = 8472;

/// Options of a reader.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReaderOptions {
    /// Payload bytes that go into the packets' keys.
    pub key_payload: usize,
    /// Whether events hold the captured bytes.
    pub keep_captured: bool,
}

/// A file being read.
pub struct Reader {
    path: PathBuf,
    /// The file's name, in place of a node's.
    name: Arc<str>,
    kind: Kind,
    options: ReaderOptions,
    /// How to decode packets of this section.
    decode: DecodeOptions,
    section: Option<SectionInfo>,
    /// UTC nanoseconds at zero of the clock of the entries' times.
    epoch_ns: i64,
    /// Offset and length of a section header without the data of a session.
    plain_header: Option<(u64, u64)>,
    /// Where the last block ended.
    end: u64,
    /// Whether a section has begun.
    has_header: bool,
    /// Tap points that were handed out.
    known: HashSet<u32>,
    interfaces: Vec<Option<Interface>>,
    /// How many interfaces of other tools' captures there were.
    captures: u32,
    /// The last snapshots, by session.
    snapshots: Vec<Snapshot>,
    /// Whether it has recognised anything.
    has_blocks: bool,
    unread: Unread,
    /// The last event, kept here because it is large to move.
    event: Option<Event>,
}

enum Kind {
    Pcapng(Frames),
    Pcap(Capture),
}

/// Complete blocks that give no item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// Packets without a time, without an interface, or of a link layer that is
    /// not known.
    pub packets: u64,
    /// Entries of a newer podtrace.
    pub entries: u64,
}

impl Reader {
    /// Opens a file, or standard input for `-`.
    ///
    /// # Errors
    /// When it cannot be opened or is not a capture.
    pub fn open(path: &Path, options: ReaderOptions) -> Result<Self, InputError> {
        let (source, first) = input::open(path)?;
        Self::new(path, source, first, options)
    }

    /// `first`: bytes that were taken from the source before.
    fn new(
        path: &Path,
        source: Box<dyn Source>,
        first: Vec<u8>,
        options: ReaderOptions,
    ) -> Result<Self, InputError> {
        let kind = if Capture::is_one(&first) {
            let read = |source| InputError::Read {
                path: path.to_owned(),
                source,
            };
            Kind::Pcap(Capture::new(source, first).map_err(read)?)
        } else {
            Kind::Pcapng(Frames::new(source, first))
        };
        Ok(Self {
            path: path.to_owned(),
            name: sanitize(
                &path
                    .file_name()
                    .unwrap_or(path.as_os_str())
                    .to_string_lossy(),
            )
            .into(),
            kind,
            options,
            decode: DecodeOptions {
                vxlan_ports: vec![VXLAN_PORT],
                key_payload: options.key_payload,
            },
            section: None,
            epoch_ns: 0,
            plain_header: None,
            end: 0,
            has_header: false,
            known: HashSet::new(),
            interfaces: Vec::new(),
            captures: 0,
            snapshots: Vec::new(),
            has_blocks: false,
            unread: Unread::default(),
            event: None,
        })
    }

    /// The event that was the last item.
    pub fn event(&mut self) -> Option<&mut Event> {
        self.event.as_mut()
    }

    /// Takes the event that was the last item.
    fn take_event(&mut self) -> Option<Event> {
        self.event.take()
    }

    /// Reads bytes as if they were a file.
    #[cfg(test)]
    pub(crate) fn of(bytes: Vec<u8>, options: ReaderOptions) -> Result<Self, InputError> {
        let path = Path::new("bytes");
        let (source, first) = input::begin(Box::new(io::Cursor::new(bytes)), path)?;
        Self::new(path, source, first, options)
    }

    /// The header of the current section; none in captures of other tools.
    #[must_use]
    pub fn section(&self) -> Option<&SectionInfo> {
        self.section.as_ref()
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next item; none if the file has no more for now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_item(&mut self) -> Result<Option<Item>, InputError> {
        loop {
            let more = match &mut self.kind {
                Kind::Pcapng(_) => self.block(),
                Kind::Pcap(_) => self.record(),
            };
            match more {
                Ok(More::Item(item)) => return Ok(Some(item)),
                Ok(More::Queued) => {}
                Ok(More::End) => return Ok(None),
                Err(source) => {
                    let path = self.path.clone();
                    return Err(InputError::Read { path, source });
                }
            }
        }
    }

    /// Notes that the file no longer grows: the rest of it is damage. Call it once there
    /// are no more items; [`Self::next_item`] then gives the items behind the damage.
    pub fn finish(&mut self) {
        match &mut self.kind {
            Kind::Pcapng(frames) => frames.finish(),
            Kind::Pcap(capture) => capture.finish(),
        }
    }

    /// Whether it has recognised anything so far: if not, the file may not be a capture at
    /// all.
    #[must_use]
    pub fn is_capture(&self) -> bool {
        self.has_blocks || matches!(self.kind, Kind::Pcap(_))
    }

    /// Whether damage was found since it was last taken.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        match &self.kind {
            Kind::Pcapng(frames) => frames.is_damaged(),
            Kind::Pcap(capture) => capture.is_damaged(),
        }
    }

    /// Takes the damage found since the last call.
    pub fn take_damage(&mut self) -> Vec<Damage> {
        match &mut self.kind {
            Kind::Pcapng(frames) => frames.take_damage(),
            Kind::Pcap(capture) => capture.take_damage(),
        }
    }

    /// Blocks that gave no item so far.
    #[must_use]
    pub fn unread(&self) -> Unread {
        self.unread
    }
}

/// The result of reading a block.
enum More {
    Item(Item),
    /// Nothing yet.
    Queued,
    End,
}

/// What is wrong with a complete block.
type Wrong = &'static str;

/// The content of a block.
enum Read {
    /// It is in [`Reader::event`].
    Event,
    Section(Option<SectionInfo>),
    Interface(Described),
    Counts(InterfaceCounts),
    Entry(Entry),
    UnreadPacket,
    UnreadEntry,
    Nothing,
}

impl Reader {
    /// Reads one block of a pcapng file.
    fn block(&mut self) -> io::Result<More> {
        let Kind::Pcapng(frames) = &mut self.kind else {
            return Ok(More::End);
        };
        let Some(frame) = frames.next_block()? else {
            return Ok(More::End);
        };
        self.has_blocks = true;
        let keep = self.options.keep_captured;
        let section = self.section.as_ref();
        // Every block of this version of podtrace is sealed; a newer version may write
        // others.
        let is_own = section.is_some_and(|info| info.format <= FORMAT);
        let read = match frame.kind {
            ENHANCED_PACKET => {
                match packet::event(&frame, &self.interfaces, &self.decode, keep, is_own) {
                    Ok(Some(event)) => {
                        self.event = Some(event);
                        Ok(Read::Event)
                    }
                    Ok(None) => Ok(Read::UnreadPacket),
                    Err(wrong) => Err(wrong),
                }
            }
            SECTION_HEADER => items::section(&frame).map(Read::Section),
            INTERFACE_DESCRIPTION => {
                let node = Arc::clone(&self.name);
                packet::interface(&frame, node, &mut self.captures, is_own).map(Read::Interface)
            }
            INTERFACE_STATISTICS => items::statistics(&frame, is_own)
                .map(|counts| counts.map_or(Read::Nothing, Read::Counts)),
            ENTRY_BLOCK => items::entry(&frame, is_own)
                .map(|entry| entry.map_or(Read::UnreadEntry, Read::Entry)),
            NAME_RESOLUTION => items::names(&frame, is_own).map(|()| Read::Nothing),
            PACKET | SIMPLE_PACKET => items::other(is_own).map(|()| Read::UnreadPacket),
            _ => items::other(is_own || !self.has_header).map(|()| Read::Nothing),
        };
        self.has_header |= frame.kind == SECTION_HEADER;
        let (kind, offset, len) = (frame.kind, frame.offset, frame.bytes.len() as u64);
        let is_behind_damage = offset != self.end;
        if is_behind_damage {
            // The skipped bytes may have held a snapshot.
            self.snapshots.clear();
        }
        self.end = offset + len;
        match read {
            Ok(read) => Ok(self.take(read, (offset, len))),
            Err(wrong) if len <= REJECT_MAX && (is_behind_damage || !frames.goes_on()) => {
                frames.reject(len, wrong);
                self.end = offset;
                Ok(More::Queued)
            }
            Err(wrong) => {
                frames.damaged(offset, len, wrong);
                self.forget(kind);
                Ok(More::Queued)
            }
        }
    }

    /// Forgets what is uncertain once a block of that type is damaged.
    fn forget(&mut self, kind: u32) {
        if matches!(kind, SECTION_HEADER | ENTRY_BLOCK) {
            self.snapshots.clear();
        }
        if kind == SECTION_HEADER {
            self.interfaces.clear();
        }
    }

    /// `at`: where the block begins, and its length.
    fn take(&mut self, read: Read, at: (u64, u64)) -> More {
        match read {
            Read::Event => return More::Item(Item::Event),
            Read::Counts(counts) => return More::Item(Item::Counts(counts)),
            Read::Entry(entry) => return self.entry(entry),
            Read::Section(section) => {
                self.forget(SECTION_HEADER);
                self.plain_header = section.is_none().then_some(at);
                self.section.clone_from(&section);
                if let Some(info) = section {
                    self.epoch_ns = info.epoch_ns;
                    let fits = key_payload(info.snaplen);
                    self.decode.key_payload = self.options.key_payload.min(fits);
                    return More::Item(Item::Section(info));
                }
            }
            Read::Interface((index, interface, update)) => {
                packet::put(&mut self.interfaces, index, interface);
                if let Some(mut update) = update
                    && self.is_new_place(&update)
                {
                    update.make_safe();
                    return More::Item(Item::here(update));
                }
            }
            Read::UnreadPacket => self.unread.packets += 1,
            Read::UnreadEntry => self.unread.entries += 1,
            Read::Nothing => {}
        }
        More::Queued
    }

    /// Whether the update describes a tap point that was not handed out yet.
    fn is_new_place(&mut self, update: &Update) -> bool {
        matches!(update, Update::TapPoint { number, .. } if self.known.insert(*number))
    }

    /// Takes over an entry; its times become UTC.
    fn entry(&mut self, entry: Entry) -> More {
        if let (Kind::Pcapng(frames), Some((offset, len))) =
            (&mut self.kind, self.plain_header.take())
        {
            frames.damaged(offset, len, "a section header without its checksum");
        }
        if let (
            None,
            Entry::Clock {
                monotonic_ns,
                utc_ns,
            },
        ) = (&self.section, &entry)
        {
            // Replaces the value of the damaged header.
            self.epoch_ns = utc_ns.saturating_sub_unsigned(*monotonic_ns);
        }
        let Some(item) = items::item(entry, self.epoch_ns, &mut self.snapshots) else {
            return More::Queued;
        };
        if let Item::Update(_, update) = &item {
            self.is_new_place(update);
        }
        if let Some(ports) = item.vxlan_ports() {
            self.decode.vxlan_ports.clone_from(ports);
        }
        More::Item(item)
    }

    /// Reads one packet of a pcap file.
    fn record(&mut self) -> io::Result<More> {
        let Kind::Pcap(capture) = &mut self.kind else {
            return Ok(More::End);
        };
        if self.captures == 0 {
            self.captures = 1;
            let point = packet::captured_at(Arc::clone(&self.name), "capture", 0);
            return Ok(More::Item(Item::here(Update::TapPoint {
                number: 0,
                point,
            })));
        }
        let link = capture.link;
        let Some(captured) = capture.next_packet()? else {
            return Ok(More::End);
        };
        let Some(link) = link else {
            self.unread.packets += 1;
            return Ok(More::Queued);
        };
        let packet = link.decode(captured.data, captured.wire_len, &self.decode);
        let data = if self.options.keep_captured {
            Bytes::copy_from_slice(captured.data)
        } else {
            Bytes::new()
        };
        let event = packet::bare_event(0, captured.ts_ns, packet, captured.wire_len, data);
        self.event = Some(event);
        Ok(More::Item(Item::Event))
    }
}
