//! A reader that works ahead, on a thread of its own: a file is read and decoded
//! while what is in it is stitched and shown. What it gives, and in which order, is
//! what the reader gives.
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

/// Things that are handed over at once.
const BATCH: usize = 1024;
/// Batches that wait at most.
const QUEUE: usize = 8;

/// One thing that the reader gave.
enum Given {
    Event(Event),
    Item(Box<Item>),
    /// What was found before the next item.
    Damage(Vec<Damage>),
    Unread(Unread),
}

type Batch = Result<Vec<Given>, InputError>;

/// A file that is read to its end.
pub struct Ahead {
    path: PathBuf,
    batches: Receiver<Batch>,
    batch: Vec<Given>,
    /// How much of the batch was taken.
    taken: usize,
    damage: Vec<Damage>,
    unread: Unread,
}

impl Ahead {
    /// Reads on a thread of its own from now on.
    ///
    /// # Errors
    /// When there is no thread to be had.
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

    /// [`Reader::next_item`], and behind the end of the file what
    /// [`Reader::finish`] adds.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_item(&mut self) -> Result<Option<Item>, InputError> {
        loop {
            let Some(given) = self.batch.get_mut(self.taken) else {
                // When the thread has ended, all is read.
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
                Given::Unread(unread) => self.unread = *unread,
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

    /// Blocks that gave nothing before the last item.
    #[must_use]
    pub fn unread(&self) -> Unread {
        self.unread
    }
}

/// Ends early when nobody takes the batches any more.
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
        if *unread != reader.unread() {
            *unread = reader.unread();
            batch.push(Given::Unread(*unread));
        }
        match item {
            None => return (Ok(batch), true),
            Some(Item::Event) => batch.extend(reader.take_event().map(Given::Event)),
            Some(item) => batch.push(Given::Item(Box::new(item))),
        }
    }
    (Ok(batch), false)
}
