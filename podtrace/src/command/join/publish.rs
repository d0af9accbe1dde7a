//! `podtrace publish`.
use crate::{
    bucket::Buckets,
    cli::PublishArgs,
    command::{FINE, LOST, stop::stop_on_signal},
    packet::key_payload,
    queue::{Queue, publish::publish},
    session::{
        input::is_stream,
        reader::{Reader, ReaderOptions},
    },
    sink,
    text::count::counted,
};

/// Runs `publish`; returns the exit code.
pub(crate) fn run(args: &PublishArgs) -> anyhow::Result<u8> {
    let stop = stop_on_signal()?;
    let runtime = super::runtime()?;
    let queue = runtime.block_on(Queue::connect(&args.queue.nats, &args.queue.run))?;
    let options = ReaderOptions {
        key_payload: key_payload(u32::MAX),
        keep_captured: true,
        stop: stop.clone(),
        ..ReaderOptions::default()
    };
    let reader = Reader::open(&args.file, options)?;
    // A file is read as fast as it is taken; who writes to a pipe must not wait.
    let can_wait = !is_stream(&args.file);
    let how = (Buckets::new(args.buckets), can_wait);
    let published = publish(queue, reader, how, (&runtime, &stop))?;
    sink::tell(&format!(
        "{} published, as {} in {}, {} bytes; {} lost, {} too long",
        counted(published.hops, "hop"),
        published.copies,
        counted(published.messages, "message"),
        published.bytes,
        published.lost,
        published.too_long,
    ));
    Ok(if published.lost > 0 { LOST } else { FINE })
}
