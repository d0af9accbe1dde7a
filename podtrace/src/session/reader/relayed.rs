//! A session whose packets come apart from all else that is in it, in order.
use std::{
    collections::VecDeque,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
};

use super::{
    Ahead, Item, Reader, ReaderOptions, Watch,
    ahead::{Batch, Given},
};
use crate::{
    model::{
        event::{Event, TapPoints},
        loss::LostSpan,
    },
    session::input::{self, InputError, Source},
    update::Update,
};

/// Bytes that one side puts in and the other reads; without any, it has read all so far.
#[derive(Clone, Default)]
struct Bytes(Arc<Mutex<VecDeque<u8>>>);

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.read(buffer)
    }
}

impl Source for Bytes {}

/// The interfaces of a session, as far as they are known.
pub type Taps = TapPoints;

/// What puts such a session together again, for an [`Ahead`] elsewhere.
pub struct Relayed {
    path: PathBuf,
    bytes: Bytes,
    options: ReaderOptions,
    /// None before the first bytes.
    reader: Option<Reader>,
    taps: Taps,
    watch: Watch,
    sender: Sender<Batch>,
    /// The items that were read and not handed on.
    batch: Vec<Given>,
    last_ns: u64,
}

impl Relayed {
    /// Nothing yet. `name` stands for a path; `watch` sees each item first.
    #[must_use]
    pub fn new(name: &str, options: ReaderOptions, watch: Watch) -> (Self, Ahead) {
        let (sender, batches) = channel();
        let path = PathBuf::from(name);
        let relayed = Self {
            path: path.clone(),
            bytes: Bytes::default(),
            options,
            reader: None,
            taps: Taps::default(),
            watch,
            sender,
            batch: Vec::new(),
            last_ns: 0,
        };
        (relayed, Ahead::of(path, batches))
    }

    /// Adds what is no packet: blocks of the session.
    ///
    /// # Errors
    /// When they are not of a session.
    pub fn add(&mut self, blocks: &[u8]) -> Result<(), InputError> {
        let mut bytes = self.bytes.0.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.extend(blocks);
        drop(bytes);
        if self.reader.is_none() {
            self.reader = Some(open(&self.path, &self.bytes, &self.options)?);
        }
        let Some(reader) = &mut self.reader else {
            return Ok(());
        };
        while let Some(item) = reader.next_item()? {
            if let Item::Update(_, Update::TapPoint { number, point }) = &item {
                // Those between were retired before the section began.
                while self.taps.next_number() < *number {
                    let between = self.taps.next_number();
                    self.taps.set(between, point.clone());
                }
                self.taps.set(*number, point.clone());
            }
            if let Item::Tick(tick) = &item {
                self.last_ns = self.last_ns.max(tick.now_ns);
            }
            (self.watch)(&item, None);
            self.batch.push(Given::Item(Box::new(item)));
        }
        Ok(())
    }

    /// Adds a packet, as a record of the kernel with the time in UTC; returns whether it can be
    /// read. `number`: the last bits of its number among the packets.
    pub fn add_packet(&mut self, record: &[u8], number: u32) -> bool {
        let Some(reader) = &self.reader else {
            return false;
        };
        let Ok(mut event) = Event::decode(record, &self.taps, &reader.decode) else {
            return false;
        };
        event.number = number;
        self.last_ns = self.last_ns.max(event.ts_ns);
        (self.watch)(&Item::Event, Some(&event));
        self.batch.push(Given::Event(event));
        true
    }

    /// Adds that packets are missing which came after the last one.
    pub fn add_lost(&mut self, packets: u64, to_ns: u64) {
        let lost = LostSpan {
            from_ns: self.last_ns,
            to_ns: to_ns.max(self.last_ns),
            events: packets,
        };
        self.batch
            .push(Given::Item(Box::new(Item::NotRecorded(lost))));
    }

    /// Hands on what was added. Returns whether somebody takes it.
    pub fn flush(&mut self) -> bool {
        let batch = std::mem::take(&mut self.batch);
        batch.is_empty() || self.sender.send(Ok(batch)).is_ok()
    }

    /// Time of the last packet or tick.
    #[must_use]
    pub fn last_ns(&self) -> u64 {
        self.last_ns
    }
}

fn open(path: &Path, bytes: &Bytes, options: &ReaderOptions) -> Result<Reader, InputError> {
    let opened = input::unpack(Box::new(bytes.clone()));
    let opened = opened.map_err(|source| InputError::Read {
        path: path.to_owned(),
        source,
    })?;
    Reader::new(path, opened, options.clone())
}
