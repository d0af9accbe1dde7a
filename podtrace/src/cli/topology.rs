//! Options of the picture of the pod network.
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Color, NamingArgs};

/// Options of `topology`.
#[derive(Clone, Debug, Args)]
pub struct TopologyArgs {
    /// Show the topology in these session files instead of this node's
    #[arg(value_name = "FILE|DIR", conflicts_with_all = ["netns", "cri_socket", "pods", "node_name"])]
    pub files: Vec<PathBuf>,
    /// Show the node in this network namespace, a name in /run/netns or a path (repeatable)
    #[arg(long, value_name = "NETNS")]
    pub netns: Vec<PathBuf>,
    /// Where names come from.
    #[command(flatten)]
    pub naming: NamingArgs,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: TopologyFormat,
    /// When to use colours; NO_COLOR turns them off
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Exit with status 1 if there are problems
    #[arg(long)]
    pub check: bool,
}

/// Output formats of `topology`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TopologyFormat {
    /// A tree, for humans
    Text,
    /// One JSON document
    Json,
    /// A picture: SVG, which browsers show
    Svg,
    /// A graph for Graphviz: dot -Tpdf
    Dot,
}
