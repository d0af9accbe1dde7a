//! What each stage from record to text takes per event.
//!
//! `PODTRACE_STAGE=TRAFFIC/NAME/PARTS` runs one stage over a part of a fixed
//! stream, for `cargo xtask guard` to count its instructions.
//!
//! `PODTRACE_STAGES=DIR` writes a million events to DIR instead: as
//! `stream.pcap`, to time other tools by, as `stream.pcapng`, a session, as
//! `worker1.pcapng` and `worker2.pcapng`, those of its nodes, and what
//! the pipeline makes of them as `stream.text` and `stream.json`.
mod compare;
mod guard;
mod joiner;
mod sent;
mod stages;
mod stream;
mod world;

use std::{collections::BTreeMap, io};

use anyhow::Context as _;
use criterion::{Criterion, Throughput};
use podtrace::{
    output::{
        json::Json,
        printer::Printer,
        render::Render,
        text::{Text, TextOptions},
    },
    pipeline::{Pipeline, consumer::Consumer},
    probe::batch::Batch,
    sink::TextSink,
};
use stages::{Input, STAGES};
use stream::Traffic;

/// UTC nanoseconds at the stream's zero.
const EPOCH_NS: i128 = 1_700_000_000_000_000_000;
/// How long a packet may stay between two hops.
const TIMEOUT_NS: u64 = 500_000_000;
/// Records in a batch: about as many as the ring reader hands on.
const BATCH: usize = 1200;
/// Events of the measured stream.
const EVENTS: usize = 100_000;

fn text() -> Box<dyn Render> {
    let options = TextOptions {
        epoch_ns: EPOCH_NS,
        ..TextOptions::default()
    };
    Box::new(Text::new(options, jiff::tz::TimeZone::UTC))
}

fn json() -> Box<dyn Render> {
    Box::new(Json::new(EPOCH_NS))
}

/// A pipeline that knows both nodes.
fn pipeline(consumer: Box<dyn Consumer>) -> Pipeline {
    let mut pipeline = Pipeline::new(stream::options(), TIMEOUT_NS, None);
    pipeline.add(consumer);
    *pipeline.world_mut() = world::world();
    pipeline
}

/// Prints to `sink`.
fn printer(format: Box<dyn Render>, sink: impl TextSink + 'static) -> Box<Printer> {
    Box::new(Printer::new(format, Box::new(sink)))
}

/// Runs the batches through it as a session does.
fn run(mut pipeline: Pipeline, batches: &[Batch]) -> io::Result<()> {
    let counters = BTreeMap::new();
    // A batch is some five milliseconds of the stream.
    for (number, batch) in batches.iter().enumerate() {
        pipeline.push(&world::origin(), batch);
        if number % 10 == 9 {
            let now_ns = pipeline.newest_ns().saturating_sub(20_000_000);
            pipeline.count(&counters);
            pipeline.tick(now_ns);
        }
        pipeline.flush()?;
    }
    pipeline.finish(&counters, 1);
    pipeline.close()
}

fn batches(records: &[Vec<u8>]) -> Vec<Batch> {
    let batch = |records: &[Vec<u8>]| Batch::of(records.iter().map(Vec::as_slice));
    records.chunks(BATCH).map(batch).collect()
}

fn measure(criterion: &mut Criterion) -> anyhow::Result<()> {
    for traffic in [
        Traffic::Ping,
        Traffic::Flood,
        Traffic::Lossy,
        Traffic::Tcp,
        Traffic::Service,
        Traffic::Segments,
        Traffic::Mixed,
    ] {
        let input = Input::new(traffic, EVENTS);
        let mut group = criterion.benchmark_group(format!("{traffic:?}").to_lowercase());
        group.sample_size(10);
        group.throughput(Throughput::Elements(EVENTS as u64));
        for (name, prepare) in STAGES {
            let mut run = prepare(&input)?;
            group.bench_function(name, |bench| bench.iter(|| run(EVENTS)));
        }
        group.finish();
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    if let Some(dir) = std::env::var_os("PODTRACE_STAGES") {
        return compare::write(dir.as_ref());
    }
    if let Some(stage) = std::env::var_os("PODTRACE_STAGE") {
        return guard::run(stage.to_str().context("a stage is named in UTF-8")?);
    }
    let mut criterion = Criterion::default().configure_from_args();
    measure(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
