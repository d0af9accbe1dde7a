//! Options of the networks in namespaces.
use clap::Args;

use super::{Color, KernelArgs, parse::number};

/// Options of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Pings on each way, 1 to 100
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = number(1..=100_u16))]
    pub pings: u16,
    /// Show all packets, also those that the network sends for itself: ARP, neighbour discovery,
    /// MLD
    #[arg(short, long)]
    pub verbose: bool,
    /// Which kernel features are used.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// When to use colours; NO_COLOR turns them off
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// Options of `lab`.
#[derive(Clone, Debug, Args)]
pub struct LabArgs {
    /// Number of nodes, 1 to 9
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = number(1..=9_u8))]
    pub nodes: u8,
    /// Number of pods on each node, 1 to 100
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = number(1..=100_u8))]
    pub pods: u8,
}
