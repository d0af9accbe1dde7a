//! A reader that works ahead, on a thread of its own: it reads and decodes a file while the
//! caller joins and shows its events. It gives the same items in the same order as the
//! reader.
use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    thread,
};

use super::{Item, Reader, Unread};
use crate::{
    model::event::Event,
    session::{
        format::SectionInfo,
        input::{Damage, InputError, is_stream},
    },
};

/// Items of a file handed over at a time.
const BATCH: usize = 1024;
/// Upper bound of the waiting batches of a file.
const QUEUE: usize = 8;
/// Upper bound of the waiting items of a stream, which come one by one: the next may take long.
const STREAM_QUEUE: usize = BATCH * QUEUE;

/// One result of the reader.
#[expect(clippy::large_enum_variant, reason = "nearly all are events")]
pub(super) enum Given {
    Event(Event),
    Item(Box<Item>),
    /// The damage found before the next item.
    Damage(Vec<Damage>),
    Unread(Unread),
}

pub(super) type Batch = Result<Vec<Given>, InputError>;

/// Sees each item as soon as it was read, before those who ask for it.
pub type Watch = Box<dyn FnMut(&Item, Option<&Event>) + Send>;

/// A file being read to its end.
pub struct Ahead {
    path: PathBuf,
    batches: Receiver<Batch>,
    /// The next batch, if it was received already.
    next: Option<Batch>,
    batch: Vec<Given>,
    /// How many items of the batch were taken.
    taken: usize,
    damage: Vec<Damage>,
    unread: Unread,
}

impl Ahead {
    /// Starts reading on a thread of its own.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn new(reader: Reader) -> Result<Self, InputError> {
        let sizes = if is_stream(reader.path()) {
            (1, STREAM_QUEUE)
        } else {
            (BATCH, QUEUE)
        };
        Self::start(reader, sizes, Box::new(|_, _| {}))
    }

    /// As [`Self::new`], of a session that is recorded meanwhile; `watch` sees its items first.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn live(reader: Reader, watch: Watch) -> Result<Self, InputError> {
        Self::start(reader, (1, STREAM_QUEUE), watch)
    }

    fn start(
        reader: Reader,
        (batch, queue): (usize, usize),
        watch: Watch,
    ) -> Result<Self, InputError> {
        let path = reader.path().to_owned();
        let (sender, batches) = sync_channel(queue);
        let thread = thread::Builder::new().name("reader".into());
        let spawned = thread.spawn(move || read(reader, batch, &sender, watch));
        if let Err(source) = spawned {
            return Err(InputError::Read { path, source });
        }
        Ok(Self::of(path, batches))
    }

    /// Of what somebody else reads.
    pub(super) fn of(path: PathBuf, batches: Receiver<Batch>) -> Self {
        Self {
            path,
            batches,
            next: None,
            batch: Vec::new(),
            taken: 0,
            damage: Vec::new(),
            unread: Unread::default(),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the next item is not read yet.
    pub fn would_wait(&mut self) -> bool {
        if self.taken < self.batch.len() || self.next.is_some() {
            return false;
        }
        match self.batches.try_recv() {
            Ok(batch) => self.next = Some(batch),
            Err(error) => return error == TryRecvError::Empty,
        }
        false
    }

    /// The header of the session, if it is the next item, for which it waits.
    ///
    /// # Errors
    /// When the session cannot be read.
    pub fn peek_section(&mut self) -> Result<Option<&SectionInfo>, InputError> {
        if self.taken == self.batch.len() {
            let next = self.next.take().map_or_else(|| self.batches.recv(), Ok);
            self.batch = next.unwrap_or_else(|_ended| Ok(Vec::new()))?;
            self.taken = 0;
        }
        Ok(match self.batch.get(self.taken) {
            Some(Given::Item(item)) => match &**item {
                Item::Section(info) => Some(info),
                _ => None,
            },
            _ => None,
        })
    }

    /// [`Reader::next_item`] and, at the end of the file, the items that [`Reader::finish`]
    /// adds.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_item(&mut self) -> Result<Option<Item>, InputError> {
        loop {
            let Some(given) = self.batch.get_mut(self.taken) else {
                let next = self.next.take().map_or_else(|| self.batches.recv(), Ok);
                // Once the thread has ended, everything is read.
                let Ok(batch) = next else {
                    return Ok(None);
                };
                self.batch = batch?;
                self.taken = 0;
                continue;
            };
            self.taken += 1;
            match given {
                Given::Event(_) => return Ok(Some(Item::Event)),
                Given::Item(item) => return Ok(Some(std::mem::replace(&mut **item, Item::Ready))),
                Given::Damage(damage) => self.damage.append(damage),
                Given::Unread(unread) => self.unread = std::mem::take(unread),
            }
        }
    }

    /// The event that was the last item.
    pub fn event(&mut self) -> Option<&mut Event> {
        match self.batch.get_mut(self.taken.checked_sub(1)?)? {
            Given::Event(event) => Some(event),
            _ => None,
        }
    }

    /// Takes the damage found before the last item.
    pub fn take_damage(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.damage)
    }

    /// Blocks before the last item that gave no item.
    #[must_use]
    pub fn unread(&self) -> &Unread {
        &self.unread
    }
}

/// Reads all batches; ends early if the receiver is dropped.
fn read(mut reader: Reader, size: usize, sender: &SyncSender<Batch>, mut watch: Watch) {
    let mut unread = Unread::default();
    for is_over in [false, true] {
        if is_over {
            reader.finish();
        }
        loop {
            let (batch, is_last) = fill(&mut reader, size, &mut unread, &mut watch);
            let is_over = is_last || batch.is_err();
            if sender.send(batch).is_err() {
                return;
            }
            if is_over {
                break;
            }
        }
    }
}

/// The next batch, and whether it is the last.
fn fill(reader: &mut Reader, size: usize, unread: &mut Unread, watch: &mut Watch) -> (Batch, bool) {
    let mut batch = Vec::with_capacity(size + 2);
    while batch.len() < size {
        let item = match reader.next_item() {
            Ok(item) => item,
            Err(error) => return (Err(error), true),
        };
        if reader.is_damaged() {
            batch.push(Given::Damage(reader.take_damage()));
        }
        if unread != reader.unread() {
            unread.clone_from(reader.unread());
            batch.push(Given::Unread(unread.clone()));
        }
        if let Some(item) = &item {
            watch(item, reader.event.as_ref());
        }
        match item {
            None => return (Ok(batch), true),
            Some(Item::Event) => batch.extend(reader.take_event().map(Given::Event)),
            Some(item) => batch.push(Given::Item(Box::new(item))),
        }
    }
    (Ok(batch), false)
}
