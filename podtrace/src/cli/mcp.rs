//! Options of the server for language models.
use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::parse::duration;

/// Options of `mcp`.
#[derive(Clone, Debug, Args)]
pub struct McpArgs {
    /// Session files of one node or several; pcap and pcapng files of other tools; directories,
    /// of which all captures are read. May be compressed by zstd or gzip
    #[arg(value_name = "FILE|DIR", required = true)]
    pub files: Vec<PathBuf>,
    /// How long one answer may take
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
}
