//! Options of `agent`, and of the commands that ask agents.
use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use clap::{ArgGroup, Args};

use super::{
    NamingArgs,
    parse::{number, rate},
};
use crate::agent::Address;

/// Where an agent listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A Unix socket.
    Path(PathBuf),
    /// Address and port.
    Port(String),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = ["tcp://", "tls://"]
            .iter()
            .find_map(|begin| text.strip_prefix(begin));
        let Some(port) = port else {
            return match text.strip_prefix("unix:").unwrap_or(text) {
                "" => Err("must be a path, or tcp://ADDRESS:PORT".to_owned()),
                path => Ok(Self::Path(path.into())),
            };
        };
        let port = port.trim_end_matches('/');
        match port.parse::<SocketAddr>() {
            Ok(_) => Ok(Self::Port(port.to_owned())),
            Err(_) => Err(
                "must be tcp:// with an address and a port, as tcp://0.0.0.0:9465 or \
                           tcp://[::]:9465"
                    .to_owned(),
            ),
        }
    }
}

/// Options of `agent`.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("where").required(true))]
pub struct AgentArgs {
    /// Listen at this Unix socket, to which only the user of the agent may connect, or at a port:
    /// tcp://ADDRESS:PORT, which takes --tls (repeatable)
    #[arg(long, value_name = "PATH|ADDRESS", group = "where")]
    pub listen: Vec<Place>,
    /// Serve one console over standard input and output, as ssh and kubectl exec carry them
    #[arg(long, group = "where")]
    pub stdio: bool,
    /// What TLS takes at a port: tls.crt and tls.key of the agent, and ca.crt, the authority whose
    /// certificates consoles have. Read again when they change
    #[arg(long, value_name = "FOLDER", requires = "listen")]
    pub tls: Option<PathBuf>,
    /// Which consoles may ask for what, by the names of their certificates and by user: a TOML file
    /// with [[console]] tables [default: headers for all that can connect]
    #[arg(long, value_name = "FILE")]
    pub consoles: Option<PathBuf>,
    /// Also give out what TCP and UDP packets carry, to all but consoles at a port [default: their
    /// headers]
    #[arg(long, conflicts_with = "consoles")]
    pub payload: bool,
    /// Also send packets for podtrace diagnose --probe, from the network namespaces of the node and
    /// its pods [default: nothing is sent]
    #[arg(long)]
    pub probe: bool,
    /// Sample beyond about this many events per second of a trace, for example 50k [default: as
    /// the console asks]
    #[arg(long, value_name = "EVENTS", value_parser = rate)]
    pub max_rate: Option<u64>,
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
    /// runs podtrace there by sudo; tls://worker1:9465, the port of an agent; unix:PATH of one;
    /// exec:COMMAND that leads to podtrace agent --stdio
    #[arg(long = "agent", value_name = "ADDRESS", help_heading = "Other nodes", group = "elsewhere",
          conflicts_with_all = ["netns", "cri_socket", "pods", "node_name", "kubeconfig", "attach",
          "without", "buffer", "cpu_limit", "trace_rules", "ready_fd", "command", "verbose"])]
    pub agents: Vec<Address>,
    /// What TLS takes for agents at tls://: tls.crt and tls.key of this console, and ca.crt, the
    /// authority whose certificates agents have
    #[arg(
        long,
        value_name = "FOLDER",
        requires = "agents",
        help_heading = "Other nodes"
    )]
    pub tls: Option<PathBuf>,
    /// Trace on the nodes of a Kubernetes cluster instead of this one, all as one: in the pods of
    /// podtrace manifest, as kubectl exec would (--kubeconfig says in which cluster)
    #[arg(long, help_heading = "Other nodes", group = "elsewhere",
          conflicts_with_all = ["netns", "cri_socket", "pods", "node_name", "attach", "without",
          "buffer", "cpu_limit", "trace_rules", "ready_fd", "command", "verbose"])]
    pub cluster: bool,
    /// The namespace of these pods
    #[arg(
        long,
        value_name = "NS",
        default_value = "podtrace",
        requires = "cluster",
        help_heading = "Other nodes"
    )]
    pub agents_namespace: String,
    /// Also take what TCP and UDP packets carry, if the agents give it out [default: their headers]
    #[arg(
        long,
        requires = "elsewhere",
        conflicts_with = "headers_only",
        help_heading = "Other nodes"
    )]
    pub payload: bool,
}

impl ClusterArgs {
    /// Where the agents are, and what it takes to reach them.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        let mut addresses = self.agents.clone();
        for address in &mut addresses {
            if let Address::Tls { folder, .. } = address {
                folder.clone_from(&self.tls);
            }
        }
        addresses
    }

    /// The option by which other nodes are asked for, if they are.
    #[must_use]
    pub fn elsewhere(&self) -> Option<&'static str> {
        match self.cluster {
            true => Some("--cluster"),
            false => (!self.agents.is_empty()).then_some("--agent"),
        }
    }
}
