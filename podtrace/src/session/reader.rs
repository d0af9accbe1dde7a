//! Reads a file as a sequence of items: events, updates and counts.
//!
//! It reads podtrace's own sessions in full, and all that captures of other tools contain.
//! Times of all items are nanoseconds since 1970 (UTC) by the clock of the recording node.
mod ahead;
mod begin;
mod blocks;
mod capture;
mod items;
mod link_type;
mod options;
mod packet;
mod packet_interfaces;
mod passed_over;
mod relayed;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    format::SectionInfo,
    input::{self, Damage, Frames, InputError, Opened},
};
use crate::{
    filter::{Filter, Protocols},
    model::{event::Event, left_out::LeftOut, snapshot::Snapshot, tap_point::TapPoint},
    packet::{DecodeOptions, FLANNEL_PORT, VXLAN_PORT, VxlanPorts},
    signals::Stop,
    text::escape::shown,
};
pub use ahead::{Ahead, Watch};
use begin::Format;
use capture::Capture;
pub use items::Item;
use packet::Interface;
use packet_interfaces::PacketInterfaces;
pub use packet_interfaces::UNNAMED;
pub use passed_over::PassedOver;
pub use relayed::{Relayed, Taps};

/// Packet block, an older kind, and simple packet block, which has no time.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
/// Upper bound of a possible block behind damage that the reader examines, in bytes: the
/// limit bounds the time that many of them take.
const REJECT_MAX: u64 = 64 << 10;
/// UDP ports of VXLAN if no session states them.
pub(crate) const VXLAN_PORTS: [u16; 2] = [FLANNEL_PORT, VXLAN_PORT];

/// Options of a reader.
#[derive(Clone, Debug, Default)]
pub struct ReaderOptions {
    /// Payload bytes that go into the packets' keys.
    pub key_payload: usize,
    /// Whether events hold the captured bytes.
    pub keep_captured: bool,
    /// UDP ports of VXLAN in addition to those stated by a session.
    pub vxlan_ports: VxlanPorts,
    /// What packets have to match.
    pub filter: Option<Arc<Filter>>,
    /// Whether packets that the filter cannot accept at any hop are counted instead of read.
    pub passes_over: bool,
    /// What stands in for the name of a capture's node; by default the file's name.
    pub name: Option<Arc<str>>,
    /// Ends the reading early.
    pub stop: Stop,
}

/// A file being read.
pub struct Reader {
    path: PathBuf,
    /// What stands in for the name of a capture's node.
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
    /// Tap points that were returned.
    known: HashSet<u32>,
    /// Tap points with an interface description, whose entry has not come yet.
    unannounced: HashMap<u32, TapPoint>,
    /// The items after the last one that are read already.
    next: VecDeque<Item>,
    /// Of these protocols a packet has to be one, or it is passed over.
    wanted: Option<Protocols>,
    /// The last packets, if they were passed over.
    passed_over: Option<PassedOver>,
    interfaces: Vec<Option<Interface>>,
    /// Whether another tool's interfaces are numbered in the order of their descriptions: none
    /// of the section is missing.
    are_numbered: bool,
    /// How many interfaces of other tools' captures there were.
    captures: u32,
    packet_interfaces: PacketInterfaces,
    /// The last snapshots, by session.
    snapshots: Vec<Snapshot>,
    /// Whether anything was recognised, or the begin of it.
    is_capture: bool,
    /// Whether no more bytes will come.
    is_over: bool,
    /// Whether damage was taken.
    had_damage: bool,
    unread: Unread,
    /// The last event, kept here because it is large to move.
    event: Option<Event>,
    /// The blocks that are no packets, if somebody wants them.
    beside: Option<Vec<u8>>,
}

enum Kind {
    Pcapng(Frames),
    Pcap(Capture),
}

/// Complete blocks that give no item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// Packets by the reason why they give no item.
    pub packets: LeftOut,
    /// Entries of a newer podtrace.
    pub entries: u64,
}

impl Reader {
    /// Opens a file, or standard input for `-`.
    ///
    /// # Errors
    /// When it cannot be opened or is not a capture.
    pub fn open(path: &Path, options: ReaderOptions) -> Result<Self, InputError> {
        Self::new(path, input::open(path, &options.stop)?, options)
    }

    /// Reads a session that comes by a pipe whose reading never waits; `name` stands for its path.
    ///
    /// # Errors
    /// When it cannot be read or is not a capture.
    pub fn over(name: &Path, pipe: File, options: ReaderOptions) -> Result<Self, InputError> {
        Self::new(name, input::over(name, pipe, &options.stop)?, options)
    }

    fn new(path: &Path, opened: Opened, options: ReaderOptions) -> Result<Self, InputError> {
        let format = begin::format(&opened.first);
        // Damage before the first decompressed byte shows when it is read.
        let is_hidden = opened.first.is_empty() && (opened.is_packed || options.stop.is_set());
        if format.is_none() && !is_hidden {
            return Err(begin::no_capture(path, &opened));
        }
        let Opened { source, first, .. } = opened;
        let is_capture = format.is_some();
        let kind = if let Some(Format::Pcap(magic)) = format {
            let capture = Capture::new(source, first, magic);
            Kind::Pcap(capture.map_err(|source| read_error(path, source))?)
        } else {
            Kind::Pcapng(Frames::new(source, first))
        };
        let filter = options.filter.as_ref().filter(|_| options.passes_over);
        let wanted = filter.and_then(|filter| filter.protocols());
        Ok(Self {
            path: path.to_owned(),
            name: options
                .name
                .clone()
                .unwrap_or_else(|| shown(path.file_name().unwrap_or(path.as_os_str())).into()),
            kind,
            decode: DecodeOptions {
                vxlan_ports: options.vxlan_ports.with(&VXLAN_PORTS),
                key_payload: options.key_payload,
                filter: options.filter.clone(),
            },
            options,
            section: None,
            epoch_ns: 0,
            plain_header: None,
            end: 0,
            has_header: false,
            known: HashSet::new(),
            unannounced: HashMap::new(),
            next: VecDeque::new(),
            wanted,
            passed_over: None,
            interfaces: Vec::new(),
            are_numbered: true,
            captures: 0,
            packet_interfaces: PacketInterfaces::default(),
            snapshots: Vec::new(),
            is_capture,
            is_over: false,
            had_damage: false,
            unread: Unread::default(),
            event: None,
            beside: None,
        })
    }

    /// Keeps the blocks that are no packets, as they are, for [`Self::take_beside`].
    pub fn keep_beside(&mut self) {
        self.beside.get_or_insert_default();
    }

    /// Takes the blocks that are no packets and were read since the last call.
    pub fn take_beside(&mut self) -> Vec<u8> {
        self.beside.as_mut().map_or_else(Vec::new, std::mem::take)
    }

    /// The event that was the last item.
    pub fn event(&mut self) -> Option<&mut Event> {
        self.event.as_mut()
    }

    /// Takes the event that was the last item.
    pub fn take_event(&mut self) -> Option<Event> {
        self.event.take()
    }

    /// Reads bytes as a file.
    #[cfg(test)]
    pub(crate) fn of(bytes: Vec<u8>, options: ReaderOptions) -> Result<Self, InputError> {
        let path = Path::new("bytes");
        let opened = input::unpack(Box::new(io::Cursor::new(bytes)));
        Self::new(
            path,
            opened.map_err(|source| read_error(path, source))?,
            options,
        )
    }

    /// The header of the current section; none in captures of other tools.
    #[must_use]
    pub fn section(&self) -> Option<&SectionInfo> {
        self.section.as_ref()
    }

    /// Whether it is pcapng, not pcap.
    pub(super) fn is_pcapng(&self) -> bool {
        matches!(self.kind, Kind::Pcapng(_))
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
        if let Some(item) = self.next.pop_front() {
            return Ok(Some(item));
        }
        if self.packet_interfaces.take_event() {
            return Ok(Some(Item::Event));
        }
        loop {
            let more = match &mut self.kind {
                Kind::Pcapng(_) => self.block(),
                Kind::Pcap(_) => self.record(),
            };
            // Matched as it is, since it is large to move.
            match more {
                Err(source) => return Err(read_error(&self.path, source)),
                Ok(More::Item(item)) => return Ok(Some(self.in_order(item))),
                Ok(More::Queued) => {}
                Ok(More::End) if self.passed_over.is_some() => {
                    return Ok(self.passed_over.take().map(Item::PassedOver));
                }
                Ok(More::End) if self.holds_nothing() => {
                    return Err(InputError::Format {
                        path: self.path.clone(),
                        hint: ": there is nothing in it".to_owned(),
                    });
                }
                Ok(More::End) if self.is_over => return Ok(self.without_packets()),
                Ok(More::End) => return Ok(None),
            }
        }
    }

    /// The next item, now that this one was read: what was passed over comes before it.
    fn in_order(&mut self, item: Item) -> Item {
        match (self.passed_over.take(), &item) {
            (Some(passed_over), Item::PassedOver(_)) => {
                self.passed_over = Some(passed_over);
                item
            }
            (Some(passed_over), _) => {
                self.next.push_front(item);
                Item::PassedOver(passed_over)
            }
            (None, _) => item,
        }
    }

    /// Whether the file was read to its end and is neither a capture nor a damaged one.
    fn holds_nothing(&self) -> bool {
        self.is_over && !self.is_capture && !self.had_damage && !self.is_damaged()
    }

    /// Records that the file no longer grows: the rest of it is damage. Call it once there
    /// are no more items; [`Self::next_item`] then gives the items behind the damage.
    ///
    /// If the reading ended early, the rest is not damage but unread.
    pub fn finish(&mut self) {
        if self.options.stop.is_set() {
            return;
        }
        self.is_over = true;
        match &mut self.kind {
            Kind::Pcapng(frames) => frames.finish(),
            Kind::Pcap(capture) => capture.finish(),
        }
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
        self.had_damage |= self.is_damaged();
        match &mut self.kind {
            Kind::Pcapng(frames) => frames.take_damage(),
            Kind::Pcap(capture) => capture.take_damage(),
        }
    }

    /// Blocks that gave no item so far.
    #[must_use]
    pub fn unread(&self) -> &Unread {
        &self.unread
    }
}

fn read_error(path: &Path, source: io::Error) -> InputError {
    let path = path.to_owned();
    InputError::Read { path, source }
}

/// The result of reading a block.
#[expect(
    clippy::large_enum_variant,
    reason = "it is returned at once and never stored"
)]
enum More {
    Item(Item),
    /// Nothing yet.
    Queued,
    End,
}

/// The fault of a complete block.
type Wrong = &'static str;
