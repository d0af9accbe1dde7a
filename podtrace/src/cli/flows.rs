//! Options of the table of flows.
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{CaptureArgs, ClusterArgs, Color, LiveFilterArgs, parse::number};

/// Options of `flows`.
#[derive(Clone, Debug, Args)]
pub struct FlowsArgs {
    /// Which packets.
    #[command(flatten)]
    pub filter: LiveFilterArgs,
    /// What to trace.
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// Where else.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Show the flows of this recording instead of this node's, a file or a directory
    /// (repeatable)
    #[arg(short, long, value_name = "FILE|DIR",
          conflicts_with_all = ["count", "duration", "netns", "cri_socket", "pods", "node_name",
                                "kubeconfig", "command", "ready_fd", "wait"])]
    pub read: Vec<PathBuf>,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: FlowsFormat,
    /// Which flows come first
    #[arg(long, value_name = "BY", default_value = "packets")]
    pub sort: FlowsOrder,
    /// Show at most this many flows, 1 to 100000 [default: as many as fit on the terminal, at the
    /// end 20; all with -o json]
    #[arg(long, value_name = "N", value_parser = number(1..=100_000_u32))]
    pub top: Option<u32>,
    /// When to use colours; NO_COLOR turns them off
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// Output formats of `flows`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FlowsFormat {
    /// A table, for humans
    Text,
    /// One JSON object for each flow, at the end
    Json,
}

/// The order of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FlowsOrder {
    /// Most packets
    Packets,
    /// Most bytes
    Bytes,
    /// Longest median round trip
    Rtt,
    /// Most packets sent again
    Retransmitted,
    /// Most packets lost
    Lost,
    /// Newest packet
    Last,
}
