//! Options of live tracing and of its output.
use std::{ffi::OsString, path::PathBuf};

use clap::{ArgAction, Args, ValueEnum};
use podtrace_ebpf::config::SNAPLEN_DEFAULT;

use super::{
    Color, Format, HabitArgs, ScreenArgs, TimeStyle,
    parse::{count, duration, interface, mebibytes, number, port, rate, share, snaplen},
    rules::RulesArgs,
};
use crate::model::tap_name::TapName;

/// Options of live tracing.
#[derive(Clone, Debug, Args)]
pub struct CaptureArgs {
    /// Tap only interfaces of this name, on the node and in pods: cni0, 'veth*', default/web/eth0,
    /// worker1/eth0 (repeatable) [default: any]
    #[arg(short, long = "interface", value_name = "NAME", value_parser = interface())]
    pub interfaces: Vec<TapName>,
    /// Stop after this many packets
    #[arg(short, long, value_name = "N", value_parser = count)]
    pub count: Option<u64>,
    /// Stop after this time, for example 500ms, 10s, 2m
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<std::time::Duration>,
    /// Trace the node in this network namespace, a name in /run/netns or a path (repeatable)
    #[arg(long, value_name = "NETNS")]
    pub netns: Vec<PathBuf>,
    /// Where names come from.
    #[command(flatten)]
    pub naming: NamingArgs,
    /// Name remote pods and nodes by the Kubernetes API [default: KUBECONFIG, or in a pod its
    /// service account]
    #[arg(long, value_name = "FILE", help_heading = "Names")]
    pub kubeconfig: Option<PathBuf>,
    /// Capture at most this many bytes of each packet, 132 to 9216, or 0 for 9216
    #[arg(short, long, visible_alias = "snapshot-length", value_name = "BYTES",
          default_value_t = SNAPLEN_DEFAULT, value_parser = snaplen)]
    pub snaplen: u32,
    /// Report a packet as not seen further when no tap sees it for this long
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = duration)]
    pub hop_timeout: std::time::Duration,
    /// Look for VXLAN at this UDP port too, beside those of the node's VXLAN interfaces
    /// (repeatable, 4 at most)
    #[arg(long, value_name = "PORT", value_parser = port)]
    pub vxlan_port: Vec<u16>,
    /// Limits of the load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Which kernel features are used.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// Which rules drop packets.
    #[command(flatten)]
    pub rules: RulesArgs,
    /// Exit with status 4 if events were lost, not recorded or not shown, or if interfaces were
    /// not traced or only in part
    #[arg(long)]
    pub strict: bool,
    /// Write a line to this file descriptor, 2 to 65535, once packets are traced: 2 is standard error
    #[arg(long, value_name = "FD", value_parser = number(2..=65_535_u32))]
    pub ready_fd: Option<u32>,
    /// Run this command with podtrace's privileges, trace until it ends and its packets have
    /// arrived, and exit with its status. If the trace ends first, so does the command (SIGTERM)
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
    /// Also print each copy of a packet that a bridge sends to many ports, and diagnostics of the
    /// kernel side
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}

impl CaptureArgs {
    /// The interfaces to tap; none for the usual ones, which tcpdump calls `any`.
    #[must_use]
    pub fn chosen(&self) -> &[TapName] {
        TapName::chosen(&self.interfaces)
    }
}

/// Which kernel features are used.
#[derive(Clone, Debug, Args)]
pub struct KernelArgs {
    /// How programs are attached to interfaces
    #[arg(
        long,
        value_name = "HOW",
        default_value = "auto",
        help_heading = "Kernel"
    )]
    pub attach: Attach,
    /// Do as on a kernel without these features, to test what stands in for them
    #[arg(long, value_name = "FEATURE", value_delimiter = ',', hide = true)]
    pub without: Vec<Feature>,
}

/// How programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Attach {
    /// TCX where the kernel has it, otherwise clsact
    Auto,
    /// TCX links (Linux 6.6, RHEL 9): they touch nothing else, and end with podtrace
    Tcx,
    /// Filters of a clsact qdisc, which podtrace creates where there is none, and removes at the
    /// end. After SIGKILL they remain but do nothing; the next start or podtrace cleanup removes
    /// them
    Clsact,
}

/// A feature that kernels may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Feature {
    /// Atomic operations that return a value (Linux 5.12).
    Atomics,
    /// `bpf_cast_to_kern_ctx` (Linux 6.2).
    Cast,
    /// Values of arrays above 4 MiB (Linux 5.16).
    LargeValues,
    /// `SO_NETNS_COOKIE` (Linux 5.14).
    Cookie,
}

/// Limits of the load that tracing causes.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// Total size in MiB, a power of two up to 1024, of the ring buffers between kernel and podtrace, one
    /// for each CPU [default: 4 to 64, depending on free memory; at least 256 KiB for each CPU]
    #[arg(long, value_name = "MIB", value_parser = mebibytes, help_heading = "Load")]
    pub buffer: Option<u32>,
    /// Trace one in N packets: the same ones at every interface of every node, and an echo
    /// request together with its reply. The kernel skips the others
    #[arg(long, value_name = "1/N", value_parser = share, help_heading = "Load")]
    pub sample: Option<u32>,
    /// Sample as needed to stay below about this many events per second, for example 50k. With --agent
    /// or --cluster: of all nodes together [default with these: 200k; with record: none]
    #[arg(long, value_name = "EVENTS", value_parser = rate, help_heading = "Load")]
    pub max_rate: Option<u64>,
    /// Use at most this much processor time, in percent of one processor, 1 to 100000. Beyond it, packets
    /// wait in the rings; those that find no room there are lost and counted
    #[arg(long, value_name = "PERCENT", help_heading = "Load",
          value_parser = number(1..=100_000_u32))]
    pub cpu_limit: Option<u32>,
    /// Of TCP and UDP packets, capture only the headers and the 16 bytes after them, which tell
    /// equal headers apart
    #[arg(long, help_heading = "Load")]
    pub headers_only: bool,
    /// Do not ask the kernel which packets it drops, and why
    #[arg(long, help_heading = "Load")]
    pub no_drops: bool,
}

/// Options of the output.
#[derive(Clone, Copy, Debug, Args)]
pub struct ViewArgs {
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Format,
    /// When to use colours; NO_COLOR turns them off
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Print addresses without pod names
    #[arg(short, long, overrides_with = "numeric")]
    pub numeric: bool,
    /// How times are shown, in all formats but JSON
    #[arg(long, value_name = "HOW", default_value = "local")]
    pub time: TimeStyle,
    /// Leave out the hops of packets that arrived, or left the node
    #[arg(long)]
    pub quiet_hops: bool,
    /// What is shown of packets.
    #[command(flatten)]
    pub habits: HabitArgs,
    /// Whether there is a screen.
    #[command(flatten)]
    pub screen: ScreenArgs,
}

/// Where names come from.
#[derive(Clone, Debug, Args)]
pub struct NamingArgs {
    /// Ask the container runtime at this socket (repeatable, one for each node) [default: the
    /// usual sockets of containerd, CRI-O, k3s, rke2, k0s, MicroK8s and cri-dockerd]
    #[arg(long, value_name = "PATH", help_heading = "Names")]
    pub cri_socket: Vec<PathBuf>,
    /// Also name pods by this table of lines `NETNS NAMESPACE/POD`, which comes before what the
    /// container runtime says
    #[arg(long, value_name = "FILE", help_heading = "Names")]
    pub pods: Option<PathBuf>,
    /// Name of the node, instead of its hostname (repeatable, in the order of --netns)
    #[arg(long, value_name = "NAME", help_heading = "Names")]
    pub node_name: Vec<String>,
}
