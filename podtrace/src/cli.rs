//! The command line: types and help, no logic.
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use podtrace_ebpf::config::{SNAPLEN_DEFAULT, SNAPLEN_MAX, SNAPLEN_MIN};

/// Follow every packet of a Kubernetes node, hop by hop, named by pod.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Exit status: 0 fine, 1 problems were found (topology --check), 2 error,
4 events were lost (trace --strict)."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the road of each packet, live
    ///
    /// Watches every veth, bridge, VXLAN and uplink interface of this node,
    /// eth0 and lo of every pod, and the sockets of the pods' cgroup, which tell
    /// the container that sends or receives. Interfaces that come and go are
    /// followed. Pods and containers are named by the container runtime, pods
    /// elsewhere by the Kubernetes API when a kubeconfig is given. Changes
    /// nothing on the node; Ctrl-C ends it with a summary.
    #[command(after_help = "Examples:
  sudo podtrace trace                      every packet, with its hops
  sudo podtrace trace --count 10           the first ten
  sudo podtrace trace -i cni0 -i flannel.1 only these interfaces
  sudo podtrace trace -o json | jq .       for other programs
  sudo podtrace trace --kubeconfig admin.conf   name pods and nodes elsewhere too
  sudo podtrace trace --cri-socket /run/k3s/containerd/containerd.sock
  sudo podtrace trace --netns a --netns b  two nodes in namespaces of one machine")]
    Trace(Box<TraceArgs>),
    /// Show the node's pod network, and what is broken in it
    ///
    /// One look at uplink, flannel.1, bridges, routes, pods and containers: who is plugged in
    /// where, which VTEP serves which subnet, which namespaces the containers of a pod share.
    /// Finds routes without neighbour or forwarding entry, veths outside of the bridge, MTUs that
    /// do not fit, forwarding that is off, addresses held twice. Reads only.
    ///
    /// In place of: ctr container ls; ctr container info ID | jq .Spec.linux.namespaces;
    /// nsenter -t PID -n ip addr; brctl show; bridge fdb show dev flannel.1; ip neigh; ip route.
    #[command(after_help = "Examples:
  sudo podtrace topology                       the tree of this node
  sudo podtrace topology --check               exit status 1 if something is broken
  sudo podtrace topology -o json | jq .problems
  sudo podtrace topology -o json | jq '.nodes[].pods[] | {name, addresses}'
  sudo podtrace topology -o dot | dot -Tsvg > node.svg
  sudo podtrace topology --netns a --netns b   two nodes in namespaces of one machine")]
    Topology(TopologyArgs),
    /// Show it: make a network of two nodes in namespaces, ping, print the hops
    Demo(DemoArgs),
    /// Make a network of nodes and pods in namespaces, keep it until Ctrl-C
    Lab(LabArgs),
}

/// Options of `trace`.
#[derive(Clone, Debug, Args)]
pub struct TraceArgs {
    /// Tap only interfaces of this name, on the node and in pods (repeatable)
    #[arg(short, long = "interface", value_name = "NAME")]
    pub interfaces: Vec<String>,
    /// Stop after this many packets
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Stop after this time, for example 500ms, 10s, 2m
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<std::time::Duration>,
    /// Trace the node in this network namespace, a name in /run/netns or a path (repeatable)
    #[arg(long, value_name = "NETNS")]
    pub netns: Vec<String>,
    /// Where names come from.
    #[command(flatten)]
    pub naming: NamingArgs,
    /// Name remote pods and nodes by the Kubernetes API; else KUBECONFIG or,
    /// in a pod, its service account is used
    #[arg(long, value_name = "FILE", help_heading = "Names")]
    pub kubeconfig: Option<PathBuf>,
    /// Bytes captured of each packet, at most
    #[arg(long, value_name = "BYTES", default_value_t = SNAPLEN_DEFAULT,
          value_parser = clap::value_parser!(u32).range(i64::from(SNAPLEN_MIN)..=i64::from(SNAPLEN_MAX)))]
    pub snaplen: u32,
    /// How long a packet may stay between two hops before it is said not to be seen further
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = parse_duration)]
    pub hop_timeout: std::time::Duration,
    /// Ring buffer between kernel and podtrace, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 8, value_parser = parse_mebibytes)]
    pub buffer: u32,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Format,
    /// When to use colours; NO_COLOR is honoured
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Print addresses without pod names
    #[arg(short, long)]
    pub numeric: bool,
    /// Exit with status 4 if events were lost
    #[arg(long)]
    pub strict: bool,
    /// Print diagnostics of the kernel side too
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}

/// Where names come from.
#[derive(Clone, Debug, Args)]
pub struct NamingArgs {
    /// Ask the container runtime at this socket (repeatable, one for each node); else those of
    /// containerd, CRI-O, k3s, rke2, k0s and MicroK8s are tried
    #[arg(long, value_name = "PATH", help_heading = "Names")]
    pub cri_socket: Vec<PathBuf>,
    /// Name pods by this table: lines of `NETNS NAMESPACE/POD`
    #[arg(long, value_name = "FILE", help_heading = "Names")]
    pub pods: Option<PathBuf>,
    /// Call the node so, not by its hostname (repeatable, in the order of --netns)
    #[arg(long, value_name = "NAME", help_heading = "Names")]
    pub node_name: Vec<String>,
}

/// Options of `topology`.
#[derive(Clone, Debug, Args)]
pub struct TopologyArgs {
    /// Look at the node in this network namespace, a name in /run/netns or a path (repeatable)
    #[arg(long, value_name = "NETNS")]
    pub netns: Vec<String>,
    /// Where names come from.
    #[command(flatten)]
    pub naming: NamingArgs,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: TopologyFormat,
    /// When to use colours; NO_COLOR is honoured
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Exit with status 1 if problems were found
    #[arg(long)]
    pub check: bool,
}

/// Output formats of `topology`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TopologyFormat {
    /// A tree, for people
    Text,
    /// One JSON document
    Json,
    /// A graph for Graphviz: dot -Tsvg
    Dot,
}

/// Options of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Pings along each road
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub pings: u16,
    /// When to use colours; NO_COLOR is honoured
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// Options of `lab`.
#[derive(Clone, Debug, Args)]
pub struct LabArgs {
    /// Nodes
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub nodes: u8,
    /// Pods on each node
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub pods: u8,
}

/// Output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One JSON object per line: per event, per path, and a summary
    Json,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unknown unit `{unit}`: use ms, s, m or h")),
    };
    let number: f64 = number
        .parse()
        .map_err(|error| format!("`{number}` is no number: {error}"))?;
    std::time::Duration::try_from_secs_f64(number * factor)
        .ok()
        .filter(|duration| !duration.is_zero() && duration.as_secs() < 365 * 86_400)
        .ok_or_else(|| "must be more than nothing and less than a year".into())
}

fn parse_mebibytes(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|mib: &u32| mib.is_power_of_two() && *mib <= 1024)
        .ok_or_else(|| "must be a power of two from 1 to 1024".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(parse_duration("500ms").unwrap().as_millis(), 500);
        assert_eq!(parse_duration("1.5").unwrap().as_millis(), 1500);
        assert_eq!(parse_duration("2m").unwrap().as_secs(), 120);
        for bad in ["", "s", "1x", "0", "-1s", "1.2.3s", "9999999h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn buffer_sizes_are_powers_of_two() {
        assert_eq!(parse_mebibytes("16"), Ok(16));
        for bad in ["0", "3", "2048", "x"] {
            assert!(parse_mebibytes(bad).is_err(), "{bad}");
        }
    }
}
