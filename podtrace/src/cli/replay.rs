//! Options of what is read from files.
use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{
    Color, ViewArgs, WriteArgs,
    parse::{duration, factor, moment, offset, span, vantage},
};
use crate::replay::options::{Moment, Span, Vantage};

/// What is read, and which part of it.
#[derive(Clone, Debug, Args)]
pub struct InputArgs {
    /// Session files, or directories of them, of one node or several; pcap and pcapng files of
    /// other tools; - for standard input
    #[arg(value_name = "FILE|DIR", required = true)]
    pub files: Vec<PathBuf>,
    /// Only interfaces of this name, on the node and in pods (repeatable)
    #[arg(short, long = "interface", value_name = "NAME")]
    pub interfaces: Vec<String>,
    /// From this time on: 2026-11-24T12:00:00Z, 12:00:00 (local time, on the first day, or after
    /// midnight if the recording begins in the evening), or +10s after the begin
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    pub since: Option<Moment>,
    /// Until this time, in the same forms
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    pub until: Option<Moment>,
    /// Only the first packets, for example 100, or the first time span, for example 10s
    #[arg(long, value_name = "N|TIME", value_parser = span)]
    pub first: Option<Span>,
    /// Only the last packets or time span
    #[arg(long, value_name = "N|TIME", value_parser = span, conflicts_with = "first")]
    pub last: Option<Span>,
    /// A node's clock is ahead of the first file's by this much, for example worker2=-1.5ms; else
    /// offset and drift are estimated from the packets that both have seen (repeatable)
    #[arg(long, value_name = "NODE=TIME", value_parser = offset, allow_hyphen_values = true)]
    pub clock_offset: Vec<(String, i64)>,
    /// How long a packet may stay between two hops; else as recorded
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub hop_timeout: Option<Duration>,
}

/// Options of `replay`.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// What is read.
    #[command(flatten)]
    pub input: InputArgs,
    /// How to show it.
    #[command(flatten)]
    pub view: ViewArgs,
    /// Replay so many times as fast as it was recorded, for example 1 or 0.5; else as fast as
    /// possible
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    pub speed: Option<f64>,
    /// Wait for more while the recording goes on
    #[arg(short, long, conflicts_with = "last")]
    pub follow: bool,
    /// Exit with status 4 if events were lost or a file is damaged
    #[arg(long)]
    pub strict: bool,
}

/// Options of `stats`.
#[derive(Clone, Debug, Args)]
pub struct StatsArgs {
    /// What is read.
    #[command(flatten)]
    pub input: InputArgs,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: super::Format,
    /// When to use colours; NO_COLOR is honoured
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// How many of the top talkers
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub top: u16,
}

/// Options of `export`.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// What is read.
    #[command(flatten)]
    pub input: InputArgs,
    /// Format to write
    #[arg(long, value_name = "FORMAT")]
    pub format: ExportFormat,
    /// File to write; else standard output
    #[arg(short, long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// How it is written.
    #[command(flatten)]
    pub how: WriteArgs,
    /// Only what one tap point has seen, so that no packet is there twice: NODE/veth12,
    /// NAMESPACE/POD/eth0, or the interface's name alone if there is one only
    #[arg(long, value_name = "PLACE", value_parser = vantage)]
    pub vantage: Option<Vantage>,
}

/// Formats of `export`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A session, for podtrace, Wireshark and others
    Pcapng,
    /// Lines as of replay -o json
    Json,
    /// A row per hop
    Csv,
    /// A row per hop, for DuckDB, Spark, pandas
    Parquet,
}
