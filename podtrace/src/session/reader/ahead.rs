//! A reader that works ahead, on a thread of its own: it reads and decodes a file while the
//! caller joins and shows its events. It gives the same items in the same order as the
//! reader.
use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use super::{Item, Reader, Unread};
use crate::{
    model::event::Event,
    session::input::{Damage, InputError},
};

/// Items handed over at a time.
const BATCH: usize = 1024;
/// Upper bound of the waiting batches.
const QUEUE: usize = 8;

/// One result of the reader.
enum Given {
    Event(Event),
    Item(Box<Item>),
    /// The damage found before the next item.
    Damage(Vec<Damage>),
    Unread(Unread),
}

type Batch = Result<Vec<Given>, InputError>;

/// A file being read to its end.
pub struct Ahead {
    path: PathBuf,
    batches: Receiver<Batch>,
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
        let path = reader.path().to_owned();
        let (sender, batches) = sync_channel(QUEUE);
        let thread = thread::Builder::new().name("reader".into());
        let spawned = thread.spawn(move || read(reader, &sender));
        if let Err(source) = spawned {
            return Err(InputError::Read { path, source });
        }
        Ok(Self {
            path,
            batches,
            batch: Vec::new(),
            taken: 0,
            damage: Vec::new(),
            unread: Unread::default(),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// [`Reader::next_item`] and, at the end of the file, the items that [`Reader::finish`]
    /// adds.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_item(&mut self) -> Result<Option<Item>, InputError> {
        loop {
            let Some(given) = self.batch.get_mut(self.taken) else {
                // Once the thread has ended, everything is read.
                let Ok(batch) = self.batches.recv() else {
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

/// Reads all batches; ends early once nobody takes them any more.
fn read(mut reader: Reader, sender: &SyncSender<Batch>) {
    let mut unread = Unread::default();
    for is_over in [false, true] {
        if is_over {
            reader.finish();
        }
        loop {
            let (batch, is_last) = fill(&mut reader, &mut unread);
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
fn fill(reader: &mut Reader, unread: &mut Unread) -> (Batch, bool) {
    let mut batch = Vec::with_capacity(BATCH + 2);
    while batch.len() < BATCH {
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
        match item {
            None => return (Ok(batch), true),
            Some(Item::Event) => batch.extend(reader.take_event().map(Given::Event)),
            Some(item) => batch.push(Given::Item(Box::new(item))),
        }
    }
    (Ok(batch), false)
}
