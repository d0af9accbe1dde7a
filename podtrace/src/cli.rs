//! The command line: types and help, no logic.
mod agent;
mod capture;
mod config;
mod control;
mod detail;
mod diagnose;
mod doctor;
mod extcap;
mod files;
mod filter;
mod flows;
mod habits;
mod join;
mod lab;
mod lake;
mod manifest;
mod mcp;
mod metrics;
mod mistakes;
mod parse;
mod replay;
mod report;
mod rules;
mod screen;
mod together;
mod topology;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use agent::{AgentArgs, ClusterArgs, Place};
pub use capture::{Attach, CaptureArgs, Feature, KernelArgs, LoadArgs, NamingArgs, ViewArgs};
pub use control::ControlArgs;
pub use detail::DetailArgs;
pub use diagnose::{DiagnoseArgs, DiagnoseFormat, DiagnoseProtocol, End};
pub use doctor::{DoctorArgs, DoctorFormat};
pub use extcap::ExtcapArgs;
pub use files::{FileArgs, WriteArgs};
pub use filter::{ChosenArgs, FileFilterArgs, LiveFilterArgs, ScopeArgs, SelectArgs};
pub use flows::{FlowsArgs, FlowsFormat, FlowsOrder};
pub use habits::{Flow, HabitArgs, ListArgs, TimeStyle};
pub use join::{JoinArgs, JoinFormat, PublishArgs, QueueArgs};
pub use lab::{DemoArgs, LabArgs};
pub use lake::{IntoLakeArgs, LakeArgs, QueryArgs, QueryFormat, StoreArgs};
pub use manifest::{ManifestArgs, OF_CLUSTER, RuntimeSocket};
pub use mcp::McpArgs;
pub use metrics::MetricsArgs;
#[cfg(any(test, feature = "cluster"))]
pub(crate) use mistakes::read;
pub use mistakes::{line, parse, typed, with_origin};
pub(crate) use parse::moment;
pub use replay::{ExportArgs, ExportFormat, InputArgs, ReplayArgs, StatsArgs, StatsFormat};
pub use report::ReportArgs;
pub use screen::ScreenArgs;
pub use topology::{TopologyArgs, TopologyFormat};

/// Follow every packet of a Kubernetes node, hop by hop, named by pod.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Exit status: 0 success, 1 problems found (topology --check, doctor, diagnose), 2 error,
3 unknown (diagnose), 4 events lost (--strict)."
)]
pub struct Cli {
    /// Take no defaults from configuration files
    #[arg(long, global = true)]
    pub no_config: bool,
    /// The chosen command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the path of each packet, live
    ///
    /// Taps every veth, bridge, VXLAN and uplink interface of this node, eth0 and lo
    /// of every pod, and the sockets of the pods' cgroup, which tell the container
    /// that sends or receives. Follows interfaces that come and go. Names pods and
    /// containers by the container runtime, and pods elsewhere by the Kubernetes API
    /// if there is a kubeconfig. Changes nothing on the node. Ctrl-C stops it and
    /// prints a summary.
    #[command(mut_arg("tui", |arg| arg.conflicts_with_all(["command", "ready_fd", "verbose"])), after_help = "Examples:
  sudo podtrace trace                           every packet, with its hops
  sudo podtrace trace --pod default/web -c 10   the first ten that a pod sends or receives
  sudo podtrace trace --tui                     on a screen, to look around
  sudo podtrace trace -i cni0 -i flannel.1      only these interfaces
  sudo podtrace trace -- ping -c 1 10.244.2.2   while a command runs
  sudo podtrace trace icmp and host 10.244.2.7  only these packets, as with tcpdump
  sudo podtrace trace -o json | jq .            for other programs
  sudo podtrace trace -o pcapng | wireshark -k -i -
  sudo podtrace trace --kubeconfig admin.conf   name pods and nodes elsewhere too
  sudo podtrace trace --cri-socket /run/k3s/containerd/containerd.sock
  sudo podtrace trace --netns a --netns b       two nodes in namespaces of one machine
  podtrace trace --agent ssh://worker1 --agent ssh://worker2 icmp     two other nodes, as one")]
    Trace(Box<TraceArgs>),
    /// Record what trace would print, for a postmortem
    ///
    /// Writes every hop of every packet, with the names of pods and containers at that time and
    /// the topology of the node, as standard pcapng: podtrace replay prints the paths, and
    /// Wireshark and tshark show the packets too, with the names of pods on interfaces and in
    /// comments (addresses with tshark -N n); tcpdump shows them without names. With
    /// --rotate-size or --rotate-time it is a flight recorder: one file follows another,
    /// --keep-files, --keep-size and --keep-time delete the oldest, and each file can be read
    /// alone, even while it is being written.
    #[command(mut_arg("write", |arg| arg.required(true)), after_help = "Examples:
  sudo podtrace record -w session.pcapng
  sudo podtrace record -w /var/log/podtrace/ --rotate-size 100MB --keep-size 2GB --zstd
  sudo podtrace record -w x.pcapng -C 100 -W 10   ten files of 100 MB, as with tcpdump
  sudo podtrace record -w dns.pcapng port 53      only these packets, as with tcpdump
  sudo podtrace record -w session.pcapng --metrics 9464   with metrics for Prometheus
  sudo podtrace trace -w session.pcapng           print too
  podtrace record -w recordings/ --agent ssh://worker1 --agent ssh://worker2   other nodes
  podtrace replay session.pcapng")]
    Record(Box<RecordArgs>),
    /// Print recorded sessions as trace would have, several nodes as one
    ///
    /// Merges the files of several nodes into one stream: estimates offset and drift of their
    /// clocks from the packets that both nodes saw, and prints them with their uncertainty. Reads
    /// damaged and cut files as far as they are whole. Needs no privileges.
    #[command(after_help = "Examples:
  podtrace replay session.pcapng
  podtrace replay worker1.pcapng worker2.pcapng    one path across both nodes
  podtrace replay --last 30s -o json /var/log/podtrace/ | jq .
  podtrace replay session.pcapng -- tcp port 80    only these packets, as with tcpdump
  podtrace replay --follow session.pcapng          while it is recorded
  podtrace replay --tui session.pcapng             on a screen, to look around
  podtrace replay --clock-offset worker2=-1.5ms worker1.pcapng worker2.pcapng
  podtrace replay old.pcap.gz captures/             captures of other tools")]
    Replay(Box<ReplayArgs>),
    /// Summarise recorded sessions: who talks to whom, outcomes, round trips, latency of each hop
    #[command(after_help = "Examples:
  podtrace stats session.pcapng
  podtrace stats session.pcapng -- host 10.244.2.7
  podtrace stats --top 20 -o json worker1.pcapng worker2.pcapng | jq .pairs")]
    Stats(Box<StatsArgs>),
    /// Show who talks to whom: a table of flows, live or of recordings
    ///
    /// A flow is what two sockets say to each other, both sides of a Service together. On a
    /// terminal the table is painted anew each second, until Ctrl-C; otherwise it is printed at
    /// the end. Round trips are those of echo requests, and of TCP segments to their
    /// acknowledgments.
    #[command(after_help = "Examples:
  sudo podtrace flows                          live
  sudo podtrace flows --sort lost --top 5
  sudo podtrace flows --duration 10s -o json | jq .
  podtrace flows -r worker1.pcapng -r worker2.pcapng")]
    Flows(Box<FlowsArgs>),
    /// Tell whether one end reaches another, and where not: live, or of recordings
    ///
    /// Watches what the two send to each other, or with --probe sends a few packets itself, and
    /// shows the road there and back with a mark at each hop, where and why packets die, and what
    /// to do. Ends as soon as that is certain, after 10 s at most (--duration). Exits with status 0 if
    /// packets are delivered, 1 if they are lost or refused, 3 if that is not known.
    #[command(after_help = "Examples:
  sudo podtrace diagnose --probe default/client default/web
  sudo podtrace diagnose default/client default/web --port 80
  sudo podtrace diagnose --probe default/client kube-system/kube-dns
  podtrace diagnose -r worker1.pcapng -r worker2.pcapng default/client default/web")]
    Diagnose(Box<DiagnoseArgs>),
    /// Show recorded sessions to others: one HTML page that needs nothing else
    Report(Box<ReportArgs>),
    /// Convert recorded sessions, or a part of them, to another format
    #[command(mut_arg("zstd", |arg| arg.help("Compress pcapng with zstd")), after_help = "Examples:
  podtrace export --format parquet -w hops.parquet session.pcapng
  podtrace export --format csv session.pcapng | head
  podtrace export --format perfetto -w paths.json session.pcapng
  podtrace export --format otlp --to http://127.0.0.1:4317 session.pcapng
  podtrace export --lake s3://traces/prod --pool workers /var/log/podtrace/
  podtrace export --format pcapng --vantage default/mypod1/eth0 -w pod.pcapng session.pcapng
  podtrace export --format pcapng --since +10s --first 5s -w part.pcapng session.pcapng
  podtrace export --format pcapng -w dns.pcapng session.pcapng -- port 53")]
    Export(Box<ExportArgs>),
    /// Answer SQL about recorded sessions, or about a lake of them
    ///
    /// The tables are hops (a row for each hop of a packet), paths (a row for each packet) and flows
    /// (a row for each conversation, direction and hour): see podtrace/docs/lake.md. Reads only, and
    /// within bounds. Only in a podtrace that is built with the feature cluster.
    #[command(after_help = "Examples:
  podtrace query 'SELECT outcome, count(*) FROM paths GROUP BY outcome' session.pcapng
  podtrace query --lake s3://traces/prod 'SELECT count(*) FROM hops WHERE hour = 9'
  podtrace query --lake /srv/lake -o csv 'SELECT * FROM flows ORDER BY lost DESC LIMIT 20'
  podtrace query --lake /srv/lake 'DESCRIBE hops'")]
    Query(Box<QueryArgs>),
    /// Look after a lake: what is in it, few files instead of many, nothing that is old
    ///
    /// Only in a podtrace that is built with the feature cluster. One at a time is to change a lake;
    /// others may read and write meanwhile.
    #[command(after_help = "Examples:
  podtrace lake /srv/lake                             what is in it
  podtrace lake s3://traces/prod --compact
  podtrace lake s3://traces/prod --older-than 720h    30 days are kept")]
    Lake(Box<LakeArgs>),
    /// Show the node's pod network, and what is broken in it
    ///
    /// A snapshot of uplink, flannel.1, bridges, routes, pods and containers: what is attached
    /// to what, which VTEP serves which subnet, which namespaces the containers of a pod share.
    /// Finds routes without a neighbour or forwarding entry, veths outside the bridge, MTUs that
    /// do not fit, forwarding that is off, addresses that two pods hold. Changes nothing.
    ///
    /// Takes the place of: ctr container ls; ctr container info ID | jq .Spec.linux.namespaces;
    /// nsenter -t PID -n ip addr; brctl show; bridge fdb show dev flannel.1; ip neigh; ip route.
    #[command(after_help = "Examples:
  sudo podtrace topology                       the tree of this node
  sudo podtrace topology --check               exit with status 1 if something is broken
  sudo podtrace topology -o json | jq .problems
  sudo podtrace topology -o json | jq '.nodes[].pods[] | {name, addresses}'
  sudo podtrace topology -o svg > node.svg     a picture, for a browser
  podtrace topology session.pcapng             the network when that was recorded
  sudo podtrace topology --netns a --netns b   two nodes in namespaces of one machine")]
    Topology(TopologyArgs),
    /// Show what podtrace can do on this node, and what is lost without the rest
    ///
    /// Looks at the kernel, its privileges, the programs that it takes, cgroups, the container
    /// runtime, the Kubernetes API and clocks. Loads the programs, attaches them to no interface,
    /// and changes nothing. Exits with status 1 if podtrace cannot trace here.
    #[command(after_help = "Examples:
  sudo podtrace doctor
  sudo podtrace doctor -o json | jq -r '.findings[] | select(.state != \"fine\").what'")]
    Doctor(DoctorArgs),
    /// Try it: create a network of two nodes in namespaces, ping, print the hops
    Demo(DemoArgs),
    /// Create a network of nodes and pods in namespaces and keep it until Ctrl-C
    Lab(LabArgs),
    /// Remove what a killed podtrace left behind
    ///
    /// Of traces, only kernels before 6.6, and --attach clsact, leave anything: tc filters that no
    /// longer do anything. Removes them from all network namespaces, with the clsact qdiscs that
    /// podtrace created and nobody else uses, and the network namespaces of labs and demos. Leaves
    /// those of running podtraces and of other tools alone. trace and record do the same with
    /// filters when they start, lab and demo with namespaces.
    Cleanup,
    /// Serve what this node traces to consoles elsewhere
    ///
    /// Traces nothing until a console asks (podtrace trace --agent), and then what it asks for
    /// until it leaves. Each trace is a process of its own, with the privileges of podtrace record.
    #[command(after_help = "Examples:
  sudo podtrace agent --listen /run/podtrace.sock
  podtrace trace --agent ssh://worker1 --agent ssh://worker2 icmp      needs no running agent
  podtrace trace --agent 'exec:kubectl exec -i -n podtrace POD -- podtrace agent --stdio'")]
    Agent(Box<AgentArgs>),
    /// Trace in Wireshark and tshark, as one of their interfaces
    #[command(mut_args(|arg| match arg.is_positional() {
        true => arg.hide(true),
        false => arg,
    }))]
    Extcap(Box<ExtcapArgs>),
    /// Print the Kubernetes manifest of a flight recorder on each node
    Manifest(ManifestArgs),
    /// Answer a language model about recordings, lakes or nodes, as a server of MCP
    ///
    /// Speaks the Model Context Protocol on standard input and output, until the input ends: add it
    /// to the configuration of a client. Its tools only read: summary, diagnose, paths, flows, topology,
    /// query. Only in a podtrace that is built with the feature cluster.
    #[command(after_help = "Examples:
  podtrace mcp session.pcapng
  podtrace mcp --timeout 2m /var/log/podtrace/
  podtrace mcp --lake s3://packets/prod
  sudo podtrace mcp --live
  podtrace mcp --live -- --agent ssh://worker1 --agent ssh://worker2")]
    Mcp(McpArgs),
    /// Put what a node records into a queue, for podtrace join
    ///
    /// Sends each hop to the subjects of a NATS JetStream that need it, so that several joiners share
    /// the work of thousands of nodes, and what the server has no room for is counted. Only in a
    /// podtrace that is built with the feature cluster.
    #[command(after_help = "Examples:
  sudo podtrace record -w - | podtrace publish --nats nats://queue:4222 -
  podtrace publish --run incident-7 session.pcapng")]
    Publish(PublishArgs),
    /// Print the paths of what nodes put into a queue
    ///
    /// Joins the hops of all nodes to paths, bucket by bucket, and shows those of a bucket in the order
    /// in which they end. With --write, each path is in one file, in JSON,
    /// also if a joiner is killed and another takes over: start several with the same directory.
    /// Only in a podtrace that is built with the feature cluster.
    #[command(after_help = "Examples:
  podtrace join --nats nats://queue:4222 --nodes 200 --write paths/
  podtrace join --nodes 200 --buckets 0-3 --write paths/
  podtrace join --run incident-7 --nodes 1
  podtrace join --run incident-7 --nodes 1 -o json | jq .what")]
    Join(JoinArgs),
    /// Print the JSON Schema of what -o json writes
    ///
    /// The fields of each object with their types and meanings, as a JSON Schema (draft 2020-12).
    #[command(after_help = "Examples:
  podtrace schema                         a line of trace, replay or export
  podtrace schema stats > stats.schema.json
  podtrace schema | jq '.\"$defs\".path.properties | keys'")]
    Schema {
        /// Which command's JSON
        #[arg(value_name = "WHAT", default_value = "lines")]
        of: SchemaOf,
    },
    /// Print the completions of the command line for a shell
    #[command(after_help = "Examples:
  podtrace completions bash > /etc/bash_completion.d/podtrace
  podtrace completions zsh > \"${fpath[1]}/_podtrace\"
  podtrace completions fish > ~/.config/fish/completions/podtrace.fish")]
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print the manual page of podtrace or of one of its commands
    #[command(after_help = "Examples:
  podtrace man | man -l -
  podtrace man trace > /usr/local/share/man/man1/podtrace-trace.1")]
    Man {
        /// The command [default: podtrace itself]
        #[arg(value_name = "COMMAND")]
        page: Option<String>,
    },
}

/// What `schema` describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// A line of trace -o json, replay -o json and export --format json
    Lines,
    /// The document of stats -o json
    Stats,
    /// The document of topology -o json
    Topology,
    /// A line of flows -o json
    Flows,
    /// The document of diagnose -o json
    Diagnose,
}

/// Options of `trace`.
#[derive(Clone, Debug, Args)]
pub struct TraceArgs {
    /// Which packets.
    #[command(flatten)]
    pub filter: LiveFilterArgs,
    /// What to trace.
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// How to show it.
    #[command(flatten)]
    pub view: ViewArgs,
    /// Where to record it.
    #[command(flatten)]
    pub files: FileArgs,
    /// Who is told how much.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// What there is.
    #[command(flatten)]
    pub list: ListArgs,
    /// Where else.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Options of `record`.
#[derive(Clone, Debug, Args)]
pub struct RecordArgs {
    /// Which packets.
    #[command(flatten)]
    pub filter: LiveFilterArgs,
    /// What to trace.
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// Where to record it.
    #[command(flatten)]
    pub files: FileArgs,
    /// Who is told how much.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// Where else.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Output formats of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For humans: the path of each packet, a line for each hop
    Text,
    /// One line for each packet
    Compact,
    /// One line for each hop, as it happens
    Events,
    /// One JSON object per line: per event, per path, and a summary
    Json,
    /// A recording, for a pipe: podtrace trace -o pcapng | wireshark -k -i -
    Pcapng,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The words of an expression come before `--`, a command behind it.
    #[test]
    fn expression_and_command_are_told_apart() {
        for name in ["trace", "record -w x", "flows"] {
            let line = format!("podtrace {name} icmp and host 10.0.0.1 -- ping -c 1");
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            let (capture, filter) = match cli.command {
                Command::Trace(args) => (args.capture, args.filter),
                Command::Record(args) => (args.capture, args.filter),
                Command::Flows(args) => (args.capture, args.filter),
                _ => panic!("{name}"),
            };
            assert_eq!(filter.expression, ["icmp", "and", "host", "10.0.0.1"]);
            assert_eq!(capture.command, ["ping", "-c", "1"]);
            for rest in [
                "",
                " icmp",
                " icmp and host 10.0.0.1",
                " -- true",
                " -c 3 icmp or tcp",
            ] {
                let line = format!("podtrace {name}{rest}");
                assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
            }
        }
    }

    /// Each command describes its own JSON.
    #[test]
    fn formats_are_described_by_command() {
        for (command, words) in [
            ("trace", "One JSON object per line"),
            ("replay", "One JSON object per line"),
            ("stats", "One JSON document"),
            ("topology", "One JSON document"),
            ("export", "The lines of replay -o json"),
        ] {
            let error = Cli::try_parse_from(["podtrace", command, "--help"]).unwrap_err();
            let help = error.to_string();
            assert!(help.contains(words), "{command}: {help}");
            assert!(help.matches("One JSON").count() < 2, "{command}: {help}");
        }
    }

    /// The help and the error of a value out of range both state the limits.
    #[test]
    fn limits_are_in_the_help() {
        let mut limits = 0;
        for command in Cli::command().get_subcommands() {
            for option in command.get_opts() {
                let name = option.get_long().map_or_else(
                    || format!("-{}", option.get_short().unwrap()),
                    |long| format!("--{long}"),
                );
                let line = ["podtrace", command.get_name(), &name, "nonsense"];
                let error = Cli::try_parse_from(line).err();
                let error = error.map_or_else(String::new, |error| error.to_string());
                let Some((_, limit)) = error.split_once("must be a whole number from ") else {
                    continue;
                };
                let (limit, _) = limit.split_once('\n').unwrap();
                let help = option.get_help().unwrap().to_string();
                assert!(help.contains(limit), "{name}: {limit} is not in {help}");
                limits += 1;
            }
        }
        assert!(limits > 6, "{limits}");
    }
}
