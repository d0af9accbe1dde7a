//! One stage over a part of a fixed stream, for its instructions to be counted.
use anyhow::{Result, bail};

use crate::{
    BATCH,
    stages::{Input, Run, STAGES},
    stream::Traffic,
};

/// Events in one part.
const PART: usize = 8 * BATCH;
/// Parts of the stream.
const PARTS: usize = 2;

/// Runs what `asked` names, as `mixed/join/1`. All that is not the stage is the
/// same for any number of parts, so the difference is what one part takes.
pub(crate) fn run(asked: &str) -> Result<()> {
    let mut words = asked.split('/');
    let (traffic, name, parts) = (words.next(), words.next(), words.next());
    let traffic = match traffic {
        Some("lossy") => Traffic::Lossy,
        Some("flood") => Traffic::Flood,
        Some("ping") => Traffic::Ping,
        Some("tcp") => Traffic::Tcp,
        Some("service") => Traffic::Service,
        Some("segments") => Traffic::Segments,
        _ => Traffic::Mixed,
    };
    let stage = STAGES.iter().find(|(known, _)| Some(*known) == name);
    let parts = parts.and_then(|parts| parts.parse::<usize>().ok());
    let (Some((_, prepare)), Some(parts @ 1..=PARTS)) = (stage, parts) else {
        bail!("not a stage and a number of parts: {asked}");
    };
    counted(prepare(&Input::new(traffic, PARTS * PART))?, parts * PART)
}

/// The stage itself. Callgrind counts this function alone: what comes before takes many
/// times as much, and never twice the same, as maps are seeded at random.
#[inline(never)]
fn counted(mut run: Run, events: usize) -> Result<()> {
    run(events)
}
