//! Which packets are shown: tcpdump's expressions, and selectors.
mod select;

use clap::Args;

pub use select::SelectArgs;

use super::{ControlArgs, Flow};

/// How an expression is applied.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ScopeArgs {
    /// The expression is about the outermost headers, not also about those in tunnels
    #[arg(long, help_heading = "Filter", conflicts_with = "inner")]
    pub outer: bool,
    /// The expression is about the innermost headers of what is in tunnels
    #[arg(long, help_heading = "Filter")]
    pub inner: bool,
    /// Only packets that an interface sees in this direction: those of the expression that are
    /// also inbound, or outbound
    #[arg(
        short = 'Q',
        long,
        value_name = "in|out|inout",
        help_heading = "Filter"
    )]
    pub direction: Option<Flow>,
    /// Show only the hops that match, not all those of a packet that matches at one
    #[arg(long, help_heading = "Filter")]
    pub only_matching: bool,
}

/// Which packets are shown, beside the words of an expression.
#[derive(Clone, Debug, Default, Args)]
pub struct ChosenArgs {
    /// How it is applied.
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Whether control traffic is shown.
    #[command(flatten)]
    pub control: ControlArgs,
    /// Selectors.
    #[command(flatten)]
    pub select: SelectArgs,
}

/// The expression of the live commands, last on the line.
#[derive(Clone, Debug, Default, Args)]
pub struct LiveFilterArgs {
    /// Only packets that match this pcap-filter expression at one hop at least, with all their
    /// hops: icmp and host 10.244.2.7; in quotes where it has signs of the shell:
    /// 'tcp[tcpflags] & tcp-syn != 0'
    #[arg(value_name = "EXPRESSION", help_heading = "Filter")]
    pub expression: Vec<String>,
    /// The rest.
    #[command(flatten)]
    pub chosen: ChosenArgs,
    /// Wait for pods, namespaces, containers, Services and nodes of selectors that do not exist
    /// yet, instead of refusing their names
    #[arg(long, help_heading = "Selectors")]
    pub wait: bool,
}

/// The expression of the commands that read files, behind `--`.
#[derive(Clone, Debug, Default, Args)]
pub struct FileFilterArgs {
    /// Only packets that match this pcap-filter expression at one hop at least, with all their
    /// hops: -- icmp and host 10.244.2.7
    #[arg(last = true, value_name = "EXPRESSION", help_heading = "Filter")]
    pub expression: Vec<String>,
    /// The rest.
    #[command(flatten)]
    pub chosen: ChosenArgs,
}
