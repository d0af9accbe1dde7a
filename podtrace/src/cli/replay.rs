//! Options of the commands that read files.
use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, builder::ArgPredicate};

use super::{
    Color, DetailArgs, FileFilterArgs, IntoLakeArgs, ViewArgs, WriteArgs,
    parse::{self, duration, factor, interface, moment, number, offset, port, span},
};
use crate::{
    export::Endpoint,
    model::tap_name::TapName,
    replay::options::{Moment, Span},
};

/// The files to read, and which part of them.
#[derive(Clone, Debug, Args)]
pub struct InputArgs {
    /// Session files of one node or several; pcap and pcapng files of other tools; directories,
    /// of which all captures are read; - for standard input. May be compressed by zstd or gzip
    #[arg(value_name = "FILE|DIR", required = true)]
    pub files: Vec<PathBuf>,
    /// Only interfaces of this name, on the node and in pods: cni0, 'veth*', default/web/eth0,
    /// worker1/eth0 (repeatable)
    #[arg(short, long = "interface", value_name = "NAME", value_parser = interface())]
    pub interfaces: Vec<TapName>,
    /// Begin at this time: 2026-11-24T12:00:00Z, 12:00:00 (local time on the first day, or after
    /// midnight if the recording begins in the evening), or +10s after the beginning
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    pub since: Option<Moment>,
    /// End at this time, in the same forms
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    pub until: Option<Moment>,
    /// Only the first packets, for example 100, or the first stretch of time, for example 10s
    #[arg(short = 'c', long, value_name = "N|TIME", value_parser = span)]
    pub first: Option<Span>,
    /// Only the last packets, or the last stretch of time
    #[arg(long, value_name = "N|TIME", value_parser = span, conflicts_with = "first")]
    pub last: Option<Span>,
    /// How far a node's clock is ahead of the first file's, for example worker2=-1.5ms
    /// (repeatable) [default: estimated from the packets that both nodes saw]
    #[arg(long, value_name = "NODE=TIME", value_parser = offset, allow_hyphen_values = true)]
    pub clock_offset: Vec<(String, i64)>,
    /// Take each capture of another tool for a node of its own, also those that by names and times
    /// are the parts of one (tcpdump -C and -G, dumpcap -b)
    #[arg(long)]
    pub each_file: bool,
    /// Report a packet as not seen further when no tap sees it for this long [default: as recorded]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub hop_timeout: Option<Duration>,
    /// Look for VXLAN at this UDP port too (repeatable, 4 at most) [default: as recorded; in
    /// captures of other tools 4789 and 8472]
    #[arg(long, value_name = "PORT", value_parser = port)]
    pub vxlan_port: Vec<u16>,
    /// Which packets.
    #[command(flatten)]
    pub filter: FileFilterArgs,
}

impl InputArgs {
    /// The interfaces that are asked for; none for all, which tcpdump calls `any`.
    #[must_use]
    pub fn chosen(&self) -> &[TapName] {
        TapName::chosen(&self.interfaces)
    }
}

/// Options of `replay`.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// The files to read.
    #[command(flatten)]
    pub input: InputArgs,
    /// How to show it.
    #[command(flatten)]
    pub view: ViewArgs,
    /// How much of it to show.
    #[command(flatten)]
    pub detail: DetailArgs,
    /// Speed relative to the recording, for example 1 or 0.5 [default: as fast as possible]
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    pub speed: Option<f64>,
    /// Keep reading while the recording goes on
    #[arg(short, long, conflicts_with = "last")]
    pub follow: bool,
    /// Exit with status 4 if events were lost, a file is damaged, or packets in it gave no event
    #[arg(long)]
    pub strict: bool,
}

/// Options of `stats`.
#[derive(Clone, Debug, Args)]
pub struct StatsArgs {
    /// The files to read.
    #[command(flatten)]
    pub input: InputArgs,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: StatsFormat,
    /// When to use colours; NO_COLOR turns them off
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Number of pairs that the tables show, of those with most packets and most bytes,
    /// 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = number(1..=1000_u16))]
    pub top: u16,
}

/// Output formats of `stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatsFormat {
    /// Tables, for humans
    Text,
    /// One JSON document, with all rows
    Json,
}

/// Options of `export`.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// The files to read.
    #[command(flatten)]
    pub input: InputArgs,
    /// Format to write
    #[arg(
        long,
        value_name = "FORMAT",
        required = false,
        required_unless_present = "lake",
        default_value_if("lake", ArgPredicate::IsPresent, "parquet")
    )]
    pub format: ExportFormat,
    /// The lake to write into.
    #[command(flatten)]
    pub into: IntoLakeArgs,
    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// How it is written.
    #[command(flatten)]
    pub how: WriteArgs,
    /// Only what one tap point saw, both directions without its sockets, so that no packet is
    /// there twice: NODE/veth12, NAMESPACE/POD/eth0, or the interface's name alone if it is unique
    #[arg(long, value_name = "TAP-POINT", value_parser = parse::vantage)]
    pub vantage: Option<String>,
    /// With --format otlp: the collector that takes the traces by gRPC, without TLS, as
    /// http://127.0.0.1:4317 [default: none, they are written]
    #[arg(long, value_name = "URL", conflicts_with = "write")]
    pub to: Option<Endpoint>,
}

/// Formats of `export`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A session, for podtrace, Wireshark and others
    Pcapng,
    /// The lines of replay -o json
    Json,
    /// A row per hop
    Csv,
    /// A row per hop, for DuckDB, Spark, pandas
    Parquet,
    /// A slice per hop on a track per place, as Chrome's trace format (JSON), for ui.perfetto.dev
    Perfetto,
    /// A trace per path with a span per hop, for OpenTelemetry: lines of JSON, or --to a collector
    Otlp,
}
