//! The pure stages, each to be run over any part of a stream.
use std::{hint::black_box, io, path::Path as FilePath};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use podtrace::{
    model::{event::Event, loss::Missing, origin::Origin, tap::TapCounts},
    output::render::Render,
    packet::key_payload,
    path::{
        Path,
        builder::Builder,
        ends::{ends, sending},
    },
    pipeline::{
        Pipeline,
        consumer::{Consumer as _, Tick},
    },
    session::{
        files::{FileOptions, Keep, SessionFiles, Target},
        format::{FORMAT, SectionInfo},
        reader::{Item, Reader, ReaderOptions},
        recorder::{Outline, Recorder, RecorderOptions},
    },
    sink::TextSink,
    update::Update,
    wire::{Batch, Decoder, Hop, Limits, Refused},
    world::World,
};
use podtrace_ebpf::{config::SNAPLEN_DEFAULT, record::Record};
use tempfile::TempDir;

use crate::{
    BATCH, EPOCH_NS, TIMEOUT_NS, joiner, json,
    stream::{self, Traffic},
    text, world,
};

/// How often a recording tells until when its packets have come, in nanoseconds.
const TICK_NS: u64 = 50_000_000;

/// Prepares a stage: all that is not to be measured.
pub(crate) type Prepare = fn(&Input) -> Result<Run>;
/// Runs a stage over the first so many events.
pub(crate) type Run = Box<dyn FnMut(usize) -> Result<()>>;

/// The stages by name.
pub(crate) const STAGES: [(&str, Prepare); 12] = [
    ("decode", decode),
    ("identify", identify),
    ("join", join_all),
    ("text", |input| show(input, text())),
    ("json", |input| show(input, json())),
    ("pcapng write", write),
    ("pcapng read", read),
    ("wire encode", encode),
    ("wire decode", decode_wire),
    ("wire to paths", joiner::wire_to_paths),
    ("pipeline to text", pipeline_to_text),
    ("pipeline to session", pipeline_to_session),
];

/// What is known of a stream before a stage is measured.
pub(crate) struct Input {
    pub(crate) records: Vec<Vec<u8>>,
    events: Vec<Event>,
}

impl Input {
    pub(crate) fn new(traffic: Traffic, events: usize) -> Self {
        let records = stream::records(traffic, events);
        let events = stream::events(&records, &world::world().tap_points);
        Self { records, events }
    }
}

fn decode(input: &Input) -> Result<Run> {
    let (records, world) = (input.records.clone(), world::world());
    let options = stream::options();
    Ok(Box::new(move |events| {
        for record in &records[..events] {
            let _ = black_box(Event::decode(record, &world.tap_points, &options));
        }
        Ok(())
    }))
}

/// What a pipeline does with a path's events and paths.
fn join(events: &[Event], world: &World, mut show: impl FnMut(&Path)) {
    let mut builder = Builder::new(TIMEOUT_NS);
    let mut shown = Vec::new();
    for events in events.chunks(BATCH) {
        for event in events {
            builder.push(event, world);
            if builder.has_finished() {
                shown.extend(builder.take_finished());
                for path in shown.drain(..) {
                    show(&path);
                    builder.keep(path);
                }
            }
        }
        if let Some(last) = events.last() {
            builder.expire(last.ts_ns.saturating_sub(20_000_000));
        }
    }
    builder.finish();
    builder.take_finished().for_each(|path| show(&path));
}

fn join_all(input: &Input) -> Result<Run> {
    let (all, world) = (input.events.clone(), world::world());
    Ok(Box::new(move |events| {
        join(&all[..events], &world, |path| {
            black_box(path);
        });
        Ok(())
    }))
}

/// Paths, and of how many events they are.
fn paths(input: &Input) -> (Vec<Path>, usize) {
    let mut paths = Vec::new();
    join(&input.events, &world::world(), |path| {
        paths.push(path.clone())
    });
    (paths, input.events.len())
}

fn identify(input: &Input) -> Result<Run> {
    let (world, (paths, all)) = (world::world(), paths(input));
    Ok(Box::new(move |events| {
        for path in &paths[..paths.len() * events / all] {
            black_box((ends(path, &world), sending(path, &world)));
        }
        Ok(())
    }))
}

fn show(input: &Input, mut format: Box<dyn Render>) -> Result<Run> {
    let (world, (paths, all)) = (world::world(), paths(input));
    let mut out = String::new();
    Ok(Box::new(move |events| {
        for path in &paths[..paths.len() * events / all] {
            format.path(&mut out, path, &world);
            if out.len() > 1 << 18 {
                out.clear();
            }
        }
        black_box(&out);
        Ok(())
    }))
}

fn recorder(path: &FilePath) -> Result<Recorder> {
    recorder_of(path, "stages", &world::NODE_NAMES)
}

fn recorder_of(path: &FilePath, session: &str, nodes: &[&str]) -> Result<Recorder> {
    let files = SessionFiles::open(FileOptions {
        target: Target::Path(path.to_owned()),
        rotates: false,
        keep: Keep::default(),
        max_file_bytes: None,
        zstd: false,
        force: false,
        node: "k8s-worker1".to_owned(),
        start: jiff::Timestamp::UNIX_EPOCH,
        recorder: None,
    })?;
    let info = SectionInfo {
        format: FORMAT,
        session: session.to_owned(),
        sessions: 1,
        nodes: nodes.iter().map(ToString::to_string).collect(),
        epoch_ns: EPOCH_NS as i64,
        snaplen: SNAPLEN_DEFAULT,
        hop_timeout_ns: TIMEOUT_NS,
        ..SectionInfo::default()
    };
    let options = RecorderOptions {
        info,
        kernel: String::new(),
        command: String::new(),
        rotate_bytes: None,
        rotate_ns: None,
        flush_ns: u64::MAX,
        ticks_always: false,
        outline: Outline::ethernet(),
    };
    Ok(Recorder::new(options, files, 0))
}

/// Events as a pipeline hands them to a recorder, with their bytes.
fn captured(input: &Input) -> Vec<Event> {
    let captured = |(record, event): (&Vec<u8>, &Event)| Event {
        captured: Record::decode(record)
            .map(|record| Bytes::copy_from_slice(record.data))
            .unwrap_or_default(),
        ..event.clone()
    };
    input
        .records
        .iter()
        .zip(&input.events)
        .map(captured)
        .collect()
}

fn write(input: &Input) -> Result<Run> {
    let (all, world) = (captured(input), world::world());
    Ok(Box::new(move |events| {
        let mut recorder = recorder(FilePath::new("/dev/null"))?;
        for (packet, event) in (0..).zip(&all[..events]) {
            recorder.event(event, packet / 10, &world);
        }
        recorder.finish(&TapCounts::new(), 1, &world);
        Ok(())
    }))
}

/// Writes a session with all events.
pub(crate) fn record(input: &Input, path: &FilePath) -> Result<()> {
    finish(recorder(path)?, captured(input).iter(), &world::world())
}

/// Writes a session with the events of one node, as that records them.
pub(crate) fn record_of(node: usize, input: &Input, path: &FilePath) -> Result<()> {
    let name = world::NODE_NAMES[node];
    let recorder = recorder_of(path, name, &[name])?;
    let taps = world::number(node, 0)..world::number(node + 1, 0);
    let mut events = captured(input);
    events.retain(|event| taps.contains(&event.interface));
    for event in &mut events {
        event.interface -= taps.start;
    }
    finish(recorder, events.iter(), &world::of(&[node]))
}

fn finish<'a>(
    recorder: Recorder,
    events: impl Iterator<Item = &'a Event>,
    world: &World,
) -> Result<()> {
    let mut recorder = recorder.patient();
    let taps = (0..).map_while(|number| Some((number, world.tap_points.get(number)?.clone())));
    for (number, point) in taps {
        let update = Update::TapPoint { number, point };
        recorder.on_update(&Origin::default(), &update, world);
    }
    let (taps, mut next_ns) = (TapCounts::new(), 0);
    for (packet, event) in (0..).zip(events) {
        if event.ts_ns >= next_ns {
            next_ns = event.ts_ns + TICK_NS;
            let tick = Tick {
                now_ns: event.ts_ns,
                missing: Missing::default(),
                taps: &taps,
            };
            recorder.on_tick(&tick, world);
        }
        recorder.event(event, packet / 10, world);
    }
    recorder.finish(&taps, 1, world);
    ensure!(recorder.not_recorded() == 0, "not all is recorded");
    Ok(())
}

/// Name of the session that is read.
pub(crate) const FILE: &str = "stages.pcapng";

fn read(input: &Input) -> Result<Run> {
    let directory = TempDir::new()?;
    record(input, &directory.path().join(FILE))?;
    let options = ReaderOptions {
        key_payload: key_payload(SNAPLEN_DEFAULT),
        ..ReaderOptions::default()
    };
    Ok(Box::new(move |events| {
        let mut reader = Reader::open(&directory.path().join(FILE), options.clone())?;
        let mut read = 0;
        while read < events {
            let item = reader.next_item()?.context("events are missing")?;
            if matches!(item, Item::Event) {
                black_box(reader.event());
                read += 1;
            }
        }
        Ok(())
    }))
}

/// Hands the events, as one node's agent does, to `take` in batches.
fn batches(batch: &mut Batch, events: &[Event], mut take: impl FnMut(Vec<u8>)) -> Result<()> {
    for event in events {
        let hop = Hop::from(event);
        if batch.push(&hop) == Err(Refused::Full) {
            take(batch.finish()?);
            ensure!(batch.push(&hop).is_ok(), "an empty batch is full");
        }
    }
    take(batch.finish()?);
    Ok(())
}

fn encode(input: &Input) -> Result<Run> {
    let (all, mut batch) = (captured(input), Batch::new()?);
    Ok(Box::new(move |events| {
        batches(&mut batch, &all[..events], |message| {
            black_box(message);
        })
    }))
}

fn decode_wire(input: &Input) -> Result<Run> {
    let mut messages = Vec::new();
    batches(&mut Batch::new()?, &captured(input), |message| {
        messages.push(message);
    })?;
    let mut decoder = Decoder::new(Limits::default())?;
    Ok(Box::new(move |events| {
        let mut read = 0;
        for message in &messages {
            let mut hops = decoder.decode(message)?;
            while let Some(hop) = hops.next() {
                black_box(hop);
                read += 1;
                if read == events {
                    return Ok(());
                }
            }
        }
        bail!("events are missing")
    }))
}

/// Takes text, and makes nothing of it.
struct Void;

impl TextSink for Void {
    fn take(&mut self, text: &str) -> io::Result<()> {
        black_box(text.len());
        Ok(())
    }
}

fn pipeline_to_text(input: &Input) -> Result<Run> {
    pipeline(input, || Ok(crate::pipeline(crate::printer(text(), Void))))
}

/// What `podtrace record` does.
fn pipeline_to_session(input: &Input) -> Result<Run> {
    pipeline(input, || {
        let recorder = recorder(FilePath::new("/dev/null"))?;
        Ok(crate::pipeline(Box::new(recorder)))
    })
}

fn pipeline(input: &Input, make: impl Fn() -> Result<Pipeline> + 'static) -> Result<Run> {
    let batches = crate::batches(&input.records);
    Ok(Box::new(move |events| {
        crate::run(make()?, &batches[..events / BATCH])?;
        Ok(())
    }))
}
