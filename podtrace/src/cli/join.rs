//! Options of `publish` and `join`.
use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{
    Color, StoreArgs,
    parse::{duration, number, pool},
};
use crate::bucket::BUCKETS_MAX;

/// Which queue.
#[derive(Clone, Debug, Args)]
pub struct QueueArgs {
    /// The NATS server, which needs JetStream
    #[arg(long, value_name = "URL", default_value = "nats://127.0.0.1:4222")]
    pub nats: String,
    /// Name of the trace, the same for all nodes and joiners: letters, digits, - and _
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = run_name)]
    pub run: String,
}

/// Options of `publish`.
#[derive(Clone, Debug, Args)]
pub struct PublishArgs {
    /// The recording of one node, or - for one that is written meanwhile: podtrace record -w -
    #[arg(value_name = "FILE|-")]
    pub file: PathBuf,
    /// Where to.
    #[command(flatten)]
    pub queue: QueueArgs,
    /// Divide the hops among so many buckets, 1 to 256, the same for all nodes of a trace
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = number(1..=BUCKETS_MAX))]
    pub buckets: u16,
}

/// Options of `join`.
#[derive(Clone, Debug, Args)]
pub struct JoinArgs {
    /// Where from.
    #[command(flatten)]
    pub queue: QueueArgs,
    /// Begin once so many nodes do
    #[arg(long, value_name = "N")]
    pub nodes: usize,
    /// Join these buckets only, of 0 to the number of buckets less one [default: all]
    #[arg(long, value_name = "FIRST-LAST", value_parser = range)]
    pub buckets: Option<RangeInclusive<u16>>,
    /// Write the paths to files in this directory, each path once whatever happens [default: to
    /// standard output, where what was written before a crash comes again]
    #[arg(short, long, value_name = "DIR")]
    pub write: Option<PathBuf>,
    /// Write a file so often [default: 5s, with --lake 1m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub every: Option<Duration>,
    /// Write hops and paths into a lake instead, as export --lake does, each once whatever happens:
    /// s3://bucket/prefix, gs://, az:// or a folder. The directory of --write has what is known of
    /// them, and files on their way
    #[arg(long, value_name = "URL", requires = "write")]
    pub lake: Option<String>,
    /// With --lake: the name of the nodes' pool
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = pool)]
    pub pool: String,
    /// How the lake is reached.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Output format of standard output: files are in JSON
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "text",
        conflicts_with = "write"
    )]
    pub output: JoinFormat,
    /// When to use colours; NO_COLOR turns them off
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Print addresses without pod names
    #[arg(short, long, overrides_with = "numeric")]
    pub numeric: bool,
}

/// Output formats of `join`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum JoinFormat {
    /// Paths for humans, with TCP's numbers as they are: a bucket does not see where they begin
    Text,
    /// One JSON object for each path
    Json,
}

fn run_name(name: &str) -> Result<String, String> {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    match !name.is_empty() && name.chars().all(is_plain) {
        true => Ok(name.to_owned()),
        false => Err("a name has letters, digits, - and _ only".to_owned()),
    }
}

fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || "two numbers, such as 0-3, or one".to_owned();
    let number = |text: &str| text.parse::<u16>().map_err(|_error| wrong());
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(first..=last).ok_or_else(wrong)
}
