//! What a joiner does with the messages of a session in one bucket, all but writing: it unpacks the
//! batches, decodes the packets, merges them with the rest of the session, and joins them.
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use podtrace::{
    model::{event::Event, origin::Origin},
    path::Path,
    pipeline::{Pipeline, consumer::Consumer},
    replay::merge::{All, Merge, Step, Stream},
    session::{
        chain::Chain,
        reader::{Item, Reader, ReaderOptions, Relayed},
    },
    wire::{
        Batch, Decoder, Hop, Limits, Refused,
        done::Done,
        message::{Context, HopsMessage, Piece},
        relay::{Relay, Takes},
    },
    world::World,
};
use tempfile::TempDir;

use crate::{
    TIMEOUT_NS,
    stages::{FILE, Input, Run, record},
    stream,
};

/// What nobody waits for: all of it is there.
const PATIENCE: Duration = Duration::from_secs(60);

/// A session as it is published, all in one bucket.
struct Published {
    context: Arc<Context>,
    /// Messages, and how many hops there are with each.
    messages: Vec<(Vec<u8>, usize)>,
}

pub(crate) fn wire_to_paths(input: &Input) -> Result<Run> {
    let published = publish(input)?;
    Ok(Box::new(move |hops| join(&published, hops)))
}

fn options() -> ReaderOptions {
    ReaderOptions {
        key_payload: stream::options().key_payload,
        ..ReaderOptions::default()
    }
}

fn publish(input: &Input) -> Result<Published> {
    let directory = TempDir::new()?;
    let file = directory.path().join(FILE);
    record(input, &file)?;
    let keeping = ReaderOptions {
        keep_captured: true,
        ..options()
    };
    let mut reader = Reader::open(&file, keeping)?;
    reader.keep_beside();
    let mut messages = Messages {
        batch: Batch::new()?,
        all: Vec::new(),
        hops: 0,
    };
    let mut context = Context {
        session: "stages".to_owned(),
        buckets: 1,
        is_last: true,
        ..Context::default()
    };
    for is_over in [false, true] {
        if is_over {
            reader.finish();
        }
        while let Some(item) = reader.next_item()? {
            context.pieces.push(Piece {
                before: vec![messages.hops as u64],
                blocks: reader.take_beside(),
            });
            if matches!(item, Item::Event)
                && let Some(event) = reader.take_event()
            {
                messages.add(&event)?;
            }
        }
    }
    context.pieces.retain(|piece| !piece.blocks.is_empty());
    messages.end_batch()?;
    // How many hops there are.
    context.pieces.push(Piece {
        before: vec![messages.hops as u64],
        blocks: reader.take_beside(),
    });
    Ok(Published {
        context: Arc::new(context),
        messages: messages.all,
    })
}

struct Messages {
    batch: Batch,
    all: Vec<(Vec<u8>, usize)>,
    hops: usize,
}

impl Messages {
    fn add(&mut self, event: &Event) -> Result<()> {
        let hop = Hop::from(event);
        if self.batch.push(&hop) == Err(Refused::Full) {
            self.end_batch()?;
            ensure!(self.batch.push(&hop).is_ok(), "an empty batch is full");
        }
        self.hops += 1;
        Ok(())
    }

    fn end_batch(&mut self) -> Result<()> {
        let count = self.batch.len();
        let message = HopsMessage {
            session: "stages",
            first: (self.hops - count) as u64,
            count: u32::try_from(count)?,
            batch: &self.batch.finish()?,
        };
        self.all.push((message.write(), self.hops));
        Ok(())
    }
}

/// Hands on the session.
struct Onward<'a> {
    relayed: &'a mut Relayed,
    record: Vec<u8>,
}

impl Takes for Onward<'_> {
    fn blocks(&mut self, blocks: &[u8]) {
        let _damaged = self.relayed.add(blocks);
    }

    fn hop(&mut self, hop: &Hop<'_>, number: u64) {
        self.record.clear();
        hop.write_record(&mut self.record);
        // What is unreadable is missing at the end.
        let _is_readable = self.relayed.add_packet(&self.record, number as u32);
    }

    fn missing(&mut self, _first: u64, _count: u64) {}
}

/// Counts hops that were joined; the paths are let go.
#[derive(Default)]
struct Counts(Arc<AtomicUsize>);

impl Consumer for Counts {
    fn takes_joins(&self) -> bool {
        true
    }

    fn on_joined(&mut self, _: &Event, _: u64, _: &[u64], _: &World) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn on_path(&mut self, path: &Path, _: &World) {
        std::hint::black_box(path);
    }
}

fn join(published: &Published, hops: usize) -> Result<()> {
    let (mut relayed, session) = Relayed::new("stages", options(), Box::new(|_, _| {}));
    let origin = Origin {
        session: 0,
        nodes: 0..2,
    };
    let chain = Chain::live(session, options());
    let mut merge = Merge::live(vec![Stream::new(chain, origin, None)], PATIENCE);
    let mut pipeline = Pipeline::new(stream::options(), TIMEOUT_NS, None);
    let counts = Counts::default();
    let joined = Arc::clone(&counts.0);
    pipeline.add(Box::new(counts));
    let mut relay = Relay::new(0, Done::default());
    relay.add_context(Arc::clone(&published.context));
    let mut decoder = Decoder::new(Limits::default())?;
    for (message, until) in &published.messages {
        let message = HopsMessage::read(message).context("a message is damaged")?;
        relay.add_hops(&message);
        let mut onward = Onward {
            relayed: &mut relayed,
            record: Vec::new(),
        };
        while relay.step(&mut decoder, &mut onward) {}
        relayed.flush();
        while matches!(merge.step(&mut pipeline, &mut All, true)?, Step::At(_)) {}
        if *until >= hops {
            let joined = joined.load(Ordering::Relaxed);
            // Some wait for those that come within their time.
            ensure!(joined + 4096 > hops, "{joined} of {hops} hops are joined");
            return Ok(());
        }
    }
    bail!("hops are missing")
}
