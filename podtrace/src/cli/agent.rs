//! Options of `agent`, and of the commands that ask agents.
use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::{NamingArgs, parse::number};
use crate::agent::Address;

/// Options of `agent`.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("where").required(true))]
pub struct AgentArgs {
    /// Listen at this Unix socket, to which only the user of the agent may connect
    #[arg(long, value_name = "PATH", group = "where")]
    pub listen: Option<PathBuf>,
    /// Serve one console over standard input and output, as ssh and kubectl exec carry them
    #[arg(long, group = "where")]
    pub stdio: bool,
    /// Also give out what TCP and UDP packets carry [default: their headers]
    #[arg(long)]
    pub payload: bool,
    /// Also send packets for podtrace diagnose --probe, from the network namespaces of the node and
    /// its pods [default: nothing is sent]
    #[arg(long)]
    pub probe: bool,
    /// Run at most this many traces at a time, 1 to 100
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = number(1..=100_u32))]
    pub max_traces: u32,
    /// Trace the node in this network namespace, a name in /run/netns or a path (repeatable)
    #[arg(long, value_name = "NETNS")]
    pub netns: Vec<PathBuf>,
    /// Name remote pods and nodes by the Kubernetes API [default: KUBECONFIG, or in a pod its
    /// service account]
    #[arg(long, value_name = "FILE", help_heading = "Names")]
    pub kubeconfig: Option<PathBuf>,
    /// Where names come from.
    #[command(flatten)]
    pub naming: NamingArgs,
}

/// Which agents are asked.
#[derive(Clone, Debug, Args)]
pub struct ClusterArgs {
    /// Trace on another node instead of this one (repeatable; all as one): ssh://worker1, which
    /// runs podtrace there by sudo; unix:PATH of an agent; exec:COMMAND that leads to podtrace
    /// agent --stdio
    #[arg(long = "agent", value_name = "ADDRESS", help_heading = "Other nodes",
          conflicts_with_all = ["netns", "cri_socket", "pods", "node_name", "kubeconfig", "attach",
          "without", "buffer", "cpu_limit", "trace_rules", "ready_fd", "command", "verbose"])]
    pub agents: Vec<Address>,
    /// Also take what TCP and UDP packets carry, if the agents give it out [default: their headers]
    #[arg(
        long,
        requires = "agents",
        conflicts_with = "headers_only",
        help_heading = "Other nodes"
    )]
    pub payload: bool,
}
