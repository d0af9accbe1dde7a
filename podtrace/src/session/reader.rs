//! Reads a file as items in order: events, updates and counts.
//!
//! It reads podtrace's own sessions in full, and from captures of other tools whatever they
//! hold. Times of all items are nanoseconds since 1970 (UTC) by the clock of the node that
//! recorded.
mod ahead;
mod blocks;
mod capture;
mod items;
mod options;
mod packet;

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    format::SectionInfo,
    input::{self, Damage, Frames, InputError, Source},
};
use crate::{
    model::{event::Event, snapshot::Snapshot, tap_point::TapPoint},
    packet::DecodeOptions,
    text::sanitize::sanitize,
};
pub use ahead::Ahead;
use capture::Capture;
pub use items::Item;
use packet::Interface;

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
    /// Those that an interface description has, and no entry so far.
    unannounced: HashMap<u32, TapPoint>,
    /// The item behind the last one, if it is read already.
    next: Option<Item>,
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
            unannounced: HashMap::new(),
            next: None,
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
        let (source, first) = input::begin(Box::new(std::io::Cursor::new(bytes)), path)?;
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
