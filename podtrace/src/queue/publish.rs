//! Publishes a session.
use std::{
    mem,
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use tokio::{runtime::Runtime, task::JoinHandle};

use super::{
    Queue,
    outbox::{Fates, Outbox, Outgoing},
};
use crate::{
    bucket::Buckets,
    model::event::Event,
    session::{
        format::SectionInfo,
        input::{InputError, named},
        reader::{Item, Reader},
    },
    signals::Stop,
    wire::{
        Batch, Hop, Refused,
        message::{Context, HopsMessage, Piece, Unpublished},
    },
};

/// How long a hop waits for others of its bucket, and how much context there is in a message.
const LINGER: Duration = Duration::from_millis(100);
const CONTEXT_BYTES: usize = 128 << 10;
/// Packets that wait for the publisher at most.
const WAITING: usize = 4096;

/// What was published.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Published {
    /// Hops of the session.
    pub(crate) hops: u64,
    /// The same in all buckets that need them.
    pub(crate) copies: u64,
    /// How many of these were lost, as nobody took them.
    pub(crate) lost: u64,
    /// Hops that no batch can hold.
    pub(crate) too_long: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

/// Publishes a session to its end, or until it is stopped. `can_wait`: whether who writes it may be
/// held up.
///
/// # Errors
/// When it cannot be read or is no session of podtrace.
pub(crate) fn publish(
    queue: Queue,
    mut reader: Reader,
    (buckets, can_wait): (Buckets, bool),
    (runtime, stop): (&Runtime, &Stop),
) -> anyhow::Result<Published> {
    reader.keep_beside();
    let info = first_section(&mut reader)?;
    let subject = queue.context_of(&info.nodes.join("+"));
    let (outbox, fates, sending) = Outbox::open(queue.clone(), can_wait, (runtime, stop));
    let mut publisher = Publisher {
        fill: Vec::new(),
        before: vec![0; buckets.count().into()],
        context: Context {
            session: info.session,
            buckets: buckets.count(),
            ..Context::default()
        },
        context_bytes: 0,
        since: None,
        published: Published::default(),
        queue,
        subject,
        outbox,
        fates,
        sending,
    };
    for _ in 0..buckets.count() {
        publisher.fill.push((Batch::new()?, 0));
    }
    let (sender, steps) = sync_channel(WAITING);
    let reading = thread::Builder::new().name("reader".into());
    let reading = reading.spawn(move || read(reader, &sender))?;
    loop {
        match steps.recv_timeout(LINGER) {
            Ok(Step { blocks, event }) => {
                publisher.add_context(&blocks)?;
                if let Some(event) = event {
                    publisher.add(&Hop::from(&event), &buckets.of(&event))?;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        publisher.flush_if_due()?;
    }
    match reading.join() {
        Ok(read) => read?,
        Err(_panicked) => anyhow::bail!("a thread has failed"),
    }
    publisher.finish((runtime, stop))
}

fn first_section(reader: &mut Reader) -> anyhow::Result<SectionInfo> {
    match reader.next_item()? {
        Some(Item::Section(info)) if info.nodes.len() == 1 => Ok(info),
        Some(Item::Section(_)) => anyhow::bail!(
            "{} is of several nodes\nhint: publish what each has recorded",
            named(reader.path())
        ),
        _ => anyhow::bail!("{} is no session of podtrace", named(reader.path())),
    }
}

/// Blocks of a session, and the packet behind them.
struct Step {
    blocks: Vec<u8>,
    event: Option<Event>,
}

/// Reads a session to its end. The next packet may be long in coming, and those before it are not to
/// wait for it.
fn read(mut reader: Reader, sender: &SyncSender<Step>) -> Result<(), InputError> {
    for is_over in [false, true] {
        if is_over {
            reader.finish();
        }
        while let Some(item) = reader.next_item()? {
            let blocks = reader.take_beside();
            let event = match item {
                Item::Event => reader.take_event(),
                _ => None,
            };
            if sender.send(Step { blocks, event }).is_err() {
                return Ok(());
            }
        }
        let blocks = reader.take_beside();
        let _nobody = sender.send(Step {
            blocks,
            event: None,
        });
    }
    Ok(())
}

struct Publisher {
    queue: Queue,
    subject: String,
    outbox: Outbox,
    fates: Fates,
    sending: JoinHandle<()>,
    /// Of each bucket the batch that is filled, and the number of its first hop.
    fill: Vec<(Batch, u64)>,
    /// How many hops of each bucket there were.
    before: Vec<u64>,
    context: Context,
    context_bytes: usize,
    /// Since when something waits.
    since: Option<Instant>,
    published: Published,
}

impl Publisher {
    fn add(&mut self, hop: &Hop<'_>, numbers: &[u16]) -> anyhow::Result<()> {
        self.published.hops += 1;
        self.since.get_or_insert_with(Instant::now);
        for number in numbers {
            let number = usize::from(*number);
            let mut pushed = self.fill[number].0.push(hop);
            if pushed == Err(Refused::Full) {
                self.send_hops(number)?;
                pushed = self.fill[number].0.push(hop);
            }
            if pushed.is_err() {
                self.published.too_long += 1;
                continue;
            }
            self.published.copies += 1;
            self.before[number] += 1;
        }
        Ok(())
    }

    fn add_context(&mut self, blocks: &[u8]) -> anyhow::Result<()> {
        for blocks in blocks.chunks(CONTEXT_BYTES) {
            self.since.get_or_insert_with(Instant::now);
            self.context_bytes += blocks.len();
            match self.context.pieces.last_mut() {
                Some(piece) if piece.before == self.before => piece.blocks.extend(blocks),
                _ => self.context.pieces.push(Piece {
                    before: self.before.clone(),
                    blocks: blocks.to_vec(),
                }),
            }
            if self.context_bytes >= CONTEXT_BYTES {
                self.send_context()?;
            }
        }
        Ok(())
    }

    fn flush_if_due(&mut self) -> anyhow::Result<()> {
        match self.since {
            Some(since) if since.elapsed() >= LINGER => self.flush(),
            _ => Ok(()),
        }
    }

    /// Sends all that waits.
    fn flush(&mut self) -> anyhow::Result<()> {
        self.since = None;
        for number in 0..self.fill.len() {
            self.send_hops(number)?;
        }
        self.send_context()
    }

    fn send_hops(&mut self, number: usize) -> anyhow::Result<()> {
        let (batch, first) = &mut self.fill[number];
        let count = batch.len();
        if count == 0 {
            return Ok(());
        }
        let message = HopsMessage {
            session: &self.context.session,
            first: *first,
            count: count as u32,
            batch: &batch.finish()?,
        };
        let bucket = number as u16;
        let outgoing = Outgoing {
            subject: self.queue.hops_of(bucket),
            payload: Bytes::from(message.write()),
            hops: Some(Unpublished {
                bucket,
                first: *first,
                count: count as u64,
            }),
        };
        *first += count as u64;
        self.put(outgoing)
    }

    fn send_context(&mut self) -> anyhow::Result<()> {
        self.context.unpublished = self.fates.take_unpublished();
        let lost = self.context.unpublished.iter().map(|hops| hops.count);
        self.published.lost += lost.sum::<u64>();
        let is_empty = self.context.pieces.is_empty() && self.context.unpublished.is_empty();
        if is_empty && !self.context.is_last {
            return Ok(());
        }
        let payload = Bytes::from(self.context.write()?);
        self.context.number += 1;
        self.context.pieces.clear();
        self.context_bytes = 0;
        let outgoing = Outgoing {
            subject: self.subject.clone(),
            payload,
            hops: None,
        };
        self.put(outgoing)
    }

    fn put(&self, outgoing: Outgoing) -> anyhow::Result<()> {
        anyhow::ensure!(self.outbox.put(outgoing), "nothing is published any more");
        Ok(())
    }

    /// Sends the rest, and tells that it was that once it is known what became of all hops.
    fn finish(mut self, (runtime, stop): (&Runtime, &Stop)) -> anyhow::Result<Published> {
        self.flush()?;
        let can_wait = false;
        let (outbox, fates, sending) = Outbox::open(self.queue.clone(), can_wait, (runtime, stop));
        drop(mem::replace(&mut self.outbox, outbox));
        let sent = mem::replace(&mut self.sending, sending);
        runtime.block_on(sent).context("publishing failed")?;
        let before = mem::replace(&mut self.fates, fates);
        let unpublished = before.take_unpublished();
        unpublished
            .into_iter()
            .for_each(|hops| self.fates.lose(hops));
        // How many hops there were of each bucket.
        self.context.pieces.push(Piece {
            before: self.before.clone(),
            blocks: Vec::new(),
        });
        self.context.is_last = true;
        self.send_context()?;
        let Self {
            outbox,
            fates,
            sending,
            mut published,
            ..
        } = self;
        drop(outbox);
        runtime.block_on(sending).context("publishing failed")?;
        let counts = [before.published(), fates.published()];
        published.messages = counts.iter().map(|(messages, _)| messages).sum();
        published.bytes = counts.iter().map(|(_, bytes)| bytes).sum();
        Ok(published)
    }
}
