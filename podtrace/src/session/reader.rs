//! From a file to what happened: events, updates and counts, in order.
//!
//! Reads podtrace's own sessions in full and captures of other tools as far as
//! they tell. Times of all items are nanoseconds since 1970 (UTC) by the clock
//! of the node that recorded.
mod ahead;
mod blocks;
mod capture;
mod items;
mod options;
mod packet;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    format::SectionInfo,
    input::{self, Damage, Frames, InputError, Source},
};
use crate::{
    model::{event::Event, snapshot::Snapshot},
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
/// What looks like a block behind damage is looked into up to this length, in
/// bytes: not longer, so that many do not take long.
const REJECT_MAX: u64 = 64 << 10;
/// UDP port that carries VXLAN where nothing tells another: flannel's.
const VXLAN_PORT: u16 = 8472;

/// What a reader is to give.
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
    /// What goes into decoding packets of this section.
    decode: DecodeOptions,
    section: Option<SectionInfo>,
    /// UTC nanoseconds at zero of the clock of the entries' times.
    epoch_ns: i64,
    /// Begin and length of a section header that says nothing of a session.
    plain_header: Option<(u64, u64)>,
    /// Where the last block ended.
    end: u64,
    /// A section has begun.
    has_header: bool,
    /// Tap points that were handed out.
    known: HashSet<u32>,
    interfaces: Vec<Option<Interface>>,
    /// How many interfaces of other tools' captures there were.
    captures: u32,
    /// The last snapshots, by session.
    snapshots: Vec<Snapshot>,
    /// Anything was recognised.
    has_blocks: bool,
    unread: Unread,
    /// The last event: too large to be handed around.
    event: Option<Event>,
}

enum Kind {
    Pcapng(Frames),
    Pcap(Capture),
}

/// Whole blocks that give nothing.
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
    /// When it cannot be opened or is no capture.
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
        let (source, first) = input::begin(Box::new(std::io::Cursor::new(bytes)), path)?;
        Self::new(path, source, first, options)
    }

    /// What the current section says of itself; none in other tools' captures.
    #[must_use]
    pub fn section(&self) -> Option<&SectionInfo> {
        self.section.as_ref()
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next item; none when the file has no more for now.
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

    /// The file is over: what is left in it is damage. To be called when it has
    /// no more; [`Self::next_item`] then gives what is behind the damage.
    pub fn finish(&mut self) {
        match &mut self.kind {
            Kind::Pcapng(frames) => frames.finish(),
            Kind::Pcap(capture) => capture.finish(),
        }
    }

    /// Whether anything in it was recognised so far: if not, it may be no
    /// capture at all.
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

    /// Blocks that gave nothing so far.
    #[must_use]
    pub fn unread(&self) -> Unread {
        self.unread
    }
}

/// What a block comes to.
enum More {
    Item(Item),
    /// Nothing yet.
    Queued,
    End,
}

/// What is wrong with a whole block.
type Wrong = &'static str;
