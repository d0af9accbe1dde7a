//! Options of the report.
use std::path::PathBuf;

use clap::Args;

use super::{InputArgs, parse::number};

/// Options of `report`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  podtrace report session.pcapng -o report.html
  podtrace report -o report.html worker1.pcapng worker2.pcapng
  podtrace report -o dns.html --last 10m /var/log/podtrace/ -- port 53
  podtrace report session.pcapng -o - | gzip > report.html.gz")]
pub struct ReportArgs {
    /// The files to read.
    #[command(flatten)]
    pub input: InputArgs,
    /// File to write, or - for standard output
    #[arg(
        short,
        long,
        visible_short_alias = 'o',
        visible_alias = "output",
        value_name = "PAGE"
    )]
    pub write: PathBuf,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
    /// How many paths the report holds, 0 to 100000: losses first, then refusals, of the others an
    /// even sample. All else in it is of all packets
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = number(0..=100_000_u32))]
    pub paths: u32,
}
