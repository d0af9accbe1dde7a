//! Options of the server for language models.
use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};

use super::parse::duration;
use crate::text::escape::shown;

/// Options of `mcp`.
#[derive(Clone, Debug, Args)]
#[command(group(ArgGroup::new("source").required(true)))]
pub struct McpArgs {
    /// Session files of one node or several; pcap and pcapng files of other tools; directories,
    /// of which all captures are read. May be compressed by zstd or gzip
    #[arg(value_name = "FILE|DIR", group = "source")]
    pub files: Vec<PathBuf>,
    /// Answer SQL about a lake instead, as export --lake makes it: s3://bucket/prefix, with the
    /// variables AWS_*, gs://, az:// or a folder
    #[arg(long, value_name = "URL", group = "source")]
    pub lake: Option<String>,
    /// Answer about this node instead, or about others (-- --agent ssh://worker1, -- --cluster): each
    /// call records for some seconds, headers only
    #[arg(long, group = "source")]
    pub live: bool,
    /// With --live: let a model ask for packets that podtrace diagnose --probe sends
    #[arg(long)]
    pub allow_probe: bool,
    /// How long one answer may take, beside the seconds that are recorded for it
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
    /// With --live: options of podtrace record: which nodes and interfaces, and what bounds it
    #[arg(last = true, value_name = "OPTIONS")]
    pub options: Vec<OsString>,
}

impl McpArgs {
    /// What is said of nodes where none are asked about.
    pub(super) fn contradiction(&self) -> Option<String> {
        let needless = match (self.live, self.allow_probe, self.options.first()) {
            (false, true, _) => "--allow-probe".to_owned(),
            (false, false, Some(option)) => shown(option),
            _ => return None,
        };
        Some(format!(
            "{needless} is for nodes, which --live asks about\nhint: podtrace mcp --live -- --agent \
             ssh://worker1"
        ))
    }
}
