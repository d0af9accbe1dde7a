//! Prepares options that several commands share.
use std::{
    collections::HashSet,
    fs,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use nix::sys::utsname::uname;
use podtrace_ebpf::config::VXLAN_PORTS_MAX;

use crate::{
    cli::{
        Attach, Color, Feature, Format, HabitArgs, KernelArgs, NamingArgs, TimeStyle, ViewArgs,
        line,
    },
    command::{use_color, width},
    identity::cri::check_socket,
    live::runtimes::Sockets,
    model::tap_name::TapName,
    netns::{NetNs, NetNsError, file_name, force_inode_ids},
    node::{pod_table::PodTable, target::Node},
    output::{
        json::Json,
        quiet::Quiet,
        render::Render,
        text::{Bytes, Layout, TcpNumbers, Text, TextOptions, TimeFormat},
    },
    packet::VxlanPorts,
    probe::{AttachMethod, feature::Without, support},
    text::{escape::shown, sanitize::sanitize},
};

/// The kernel features that must not be used. Call it before any namespace is opened.
pub(super) fn without(args: &KernelArgs) -> anyhow::Result<Without> {
    let has = |feature| args.without.contains(&feature);
    if has(Feature::Cookie) && !force_inode_ids() {
        bail!("--without cookie came too late");
    }
    Ok(Without {
        atomics: has(Feature::Atomics),
        cast: has(Feature::Cast),
        large_values: has(Feature::LargeValues),
    })
}

/// Chooses how to attach.
pub(super) fn attach_method(attach: Attach) -> anyhow::Result<AttachMethod> {
    let best = AttachMethod::best();
    match attach {
        Attach::Auto => Ok(best),
        Attach::Clsact => Ok(AttachMethod::Clsact),
        Attach::Tcx if best == AttachMethod::Tcx => Ok(AttachMethod::Tcx),
        Attach::Tcx => bail!(
            "this kernel lacks TCX attachment of TC programs (Linux 6.6 or later)\nhint: --attach clsact works here"
        ),
    }
}

/// The ports of `--vxlan-port`.
pub(super) fn vxlan_ports(given: &[u16]) -> anyhow::Result<VxlanPorts> {
    VxlanPorts::new(given)
        .with_context(|| format!("--vxlan-port can be given {VXLAN_PORTS_MAX} times at most"))
}

/// The table of `--pods`.
pub(super) fn table(file: Option<&Path>) -> anyhow::Result<PodTable> {
    let Some(path) = file else {
        return Ok(PodTable::default());
    };
    let name = shown(path);
    let bytes =
        fs::read(path).with_context(|| format!("--pods: failed to read the pod table {name}"))?;
    let text = PodTable::text(&bytes).with_context(|| name.clone())?;
    PodTable::parse(text).context(name)
}

/// The runtimes to ask; a table of pods adds to their names. Where no runtime is known, the
/// table is enough. Fails if a requested runtime does not exist.
pub(super) fn sockets(args: &NamingArgs, nodes: &[Node]) -> anyhow::Result<Sockets> {
    for socket in &args.cri_socket {
        check_socket(socket).with_context(|| format!("--cri-socket {}", shown(socket)))?;
    }
    if !args.cri_socket.is_empty() {
        return Ok(Sockets::These(args.cri_socket.clone()));
    }
    Ok(match NetNs::current() {
        Ok(own) if nodes.iter().any(|node| node.netns.inode == own.inode) => Sockets::Usual,
        _ if args.pods.is_some() => Sockets::None,
        _ => Sockets::Elsewhere,
    })
}

/// Fails with a description of what the process or the kernel lacks.
pub(super) fn check_support() -> anyhow::Result<()> {
    if let Some(text) = support::too_old().context("failed to read the kernel's release")? {
        bail!(text);
    }
    check_capabilities(support::missing_capabilities())?;
    let missing = support::missing_features();
    if !missing.is_empty() {
        bail!(
            "this kernel lacks {}\nhint: topology, replay, stats and export work on it",
            missing.join(", ")
        );
    }
    Ok(())
}

/// Fails with a description of the capabilities that are missing.
pub(super) fn check_capabilities(missing: io::Result<Vec<&str>>) -> anyhow::Result<()> {
    let missing = missing.context("failed to read the capabilities")?;
    let is_root = nix::unistd::Uid::effective().is_root();
    support::lack_in_words(&missing, is_root).map_or(Ok(()), |words| bail!(words))
}

fn open_netns(name: &Path) -> anyhow::Result<NetNs> {
    const HINT: &str = "give a name that ip netns lists, or a path as /proc/PID/ns/net";
    NetNs::open(name).map_err(|error| match &error {
        NetNsError::Open { path, source } if source.kind() == io::ErrorKind::NotFound => {
            anyhow!("there is no network namespace {path}\nhint: {HINT}")
        }
        NetNsError::Enter { name, source } if source.kind() == io::ErrorKind::InvalidInput => {
            anyhow!("{name} is no network namespace\nhint: {HINT}")
        }
        _ => error.into(),
    })
}

/// The nodes. `netns`: their namespaces, none for podtrace's own; `names`: their names, by
/// default the hostname, or the name or number of the namespace.
pub(super) fn nodes(netns: &[PathBuf], names: &[String]) -> anyhow::Result<Vec<Node>> {
    if names.len() > netns.len().max(1) {
        bail!(
            "more names (--node-name) than nodes (--netns)\nhint: give each node and its name: --netns node1 --node-name worker1"
        );
    }
    let node = |number: usize, otherwise: &str, netns| {
        let name = names.get(number).map_or(otherwise, String::as_str);
        Node {
            name: sanitize(name).into(),
            netns,
        }
    };
    if netns.is_empty() {
        let hostname = nix::unistd::gethostname().ok();
        let hostname = hostname.and_then(|name| name.into_string().ok());
        let hostname = hostname.as_deref().unwrap_or("this node");
        return Ok(vec![node(0, hostname, NetNs::current()?)]);
    }
    let mut known = HashSet::new();
    netns
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let netns = open_netns(name)?;
            if !known.insert(netns.inode) {
                bail!("--netns {} is a node that was given already", shown(name));
            }
            let short = match file_name(name) {
                Some(short) => shown(short),
                None => format!("netns:{}", netns.inode),
            };
            Ok(node(number, &short, netns))
        })
        .collect()
}

/// The format that was asked for. `unfolds`: with all copies of a flood; `now`: the clock, live;
/// `epoch_ns`: UTC nanoseconds at CLOCK_MONOTONIC zero.
pub(super) fn format(
    view: &ViewArgs,
    unfolds: bool,
    now: Option<fn() -> u64>,
    epoch_ns: i128,
) -> anyhow::Result<Box<dyn Render>> {
    let habits = &view.habits;
    let layout = match view.output {
        Format::Json => return Ok(Box::new(Json::new(epoch_ns))),
        // Packets go to standard output, this to standard error.
        Format::Pcapng => return Ok(Box::new(Quiet::new(text(view.color, epoch_ns)))),
        Format::Text if habits.quiet => Layout::Compact,
        Format::Text if view.quiet_hops => Layout::QuietHops,
        Format::Text => Layout::Paths,
        Format::Compact => Layout::Compact,
        Format::Events => Layout::Events,
    };
    let options = TextOptions {
        color: use_color(view.color),
        numeric: view.numeric,
        epoch_ns,
        layout,
        time: time_format(habits.time().unwrap_or(view.time)),
        bytes: bytes(habits),
        tcp: match (habits.quiet, habits.absolute_seq) {
            (true, _) => TcpNumbers::None,
            (false, true) => TcpNumbers::Absolute,
            (false, false) => TcpNumbers::Relative,
        },
        width: width(),
        unfolds,
        now,
    };
    Ok(Box::new(Text::new(options, jiff::tz::TimeZone::system())))
}

/// What is shown of bytes.
fn bytes(habits: &HabitArgs) -> Bytes {
    let (hex, ascii) = habits.bytes();
    Bytes {
        hex,
        ascii,
        from_link: habits.with_link_header(),
        link_level: habits.link_level,
    }
}

/// How times are shown.
pub(super) fn time_format(style: TimeStyle) -> TimeFormat {
    match style {
        TimeStyle::Local => TimeFormat::Local,
        TimeStyle::Utc => TimeFormat::Utc,
        TimeStyle::Date => TimeFormat::Date,
        TimeStyle::Relative => TimeFormat::Relative,
        TimeStyle::Delta => TimeFormat::Delta,
        TimeStyle::Epoch => TimeFormat::Epoch,
        TimeStyle::None => TimeFormat::None,
    }
}

/// The text view with the local time zone.
pub(super) fn text(color: Color, epoch_ns: i128) -> Text {
    let options = TextOptions {
        color: use_color(color),
        epoch_ns,
        width: width(),
        ..TextOptions::default()
    };
    Text::new(options, jiff::tz::TimeZone::system())
}

/// A random name.
pub(super) fn session_name() -> anyhow::Result<String> {
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid");
    let uuid = uuid.context("failed to make a name for the session")?;
    Ok(uuid.trim().to_owned())
}

/// Name, release and machine of the running kernel.
pub(super) fn kernel() -> String {
    uname().map_or_else(
        |_| "unknown".into(),
        |names| {
            let parts = [names.sysname(), names.release(), names.machine()];
            parts.map(shown).join(" ")
        },
    )
}

/// Fails where standard output, which is to take a file's bytes, is a terminal. `to_file`: what
/// writes a file.
pub(super) fn refuse_terminal(to_file: &str) -> anyhow::Result<()> {
    if io::stdout().is_terminal() {
        bail!("standard output is a terminal, which a file would garble\nhint: {to_file}");
    }
    Ok(())
}

/// The same for packets, which another program may show at once.
pub(super) fn refuse_terminal_for_packets(to_file: &str) -> anyhow::Result<()> {
    refuse_terminal(&format!("{to_file}, or a pipe: … | wireshark -k -i -"))
}

/// The names of interfaces, as they were given.
pub(super) fn names_of(interfaces: &[TapName]) -> Vec<String> {
    interfaces.iter().map(ToString::to_string).collect()
}

/// The command line, with the defaults of configuration files.
pub(super) fn command() -> String {
    let words: Vec<_> = line().iter().map(shown).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn table_of_pods_adds_to_what_the_runtime_says() {
        let args = |pods: Option<&str>, socket: Option<&str>| NamingArgs {
            cri_socket: socket.into_iter().map(PathBuf::from).collect(),
            pods: pods.map(PathBuf::from),
            node_name: Vec::new(),
        };
        let own = nodes(&[], &[]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("runtime.sock");
        let _listener = UnixListener::bind(&socket).unwrap();
        for pods in [None, Some("table")] {
            let usual = sockets(&args(pods, None), &own).unwrap();
            assert!(matches!(usual, Sockets::Usual));
            let given = sockets(&args(pods, socket.to_str()), &own).unwrap();
            assert!(matches!(given, Sockets::These(paths) if paths == [socket.clone()]));
        }
        // Another node's runtime is not known.
        assert!(matches!(
            sockets(&args(None, None), &[]).unwrap(),
            Sockets::Elsewhere
        ));
        assert!(matches!(
            sockets(&args(Some("table"), None), &[]).unwrap(),
            Sockets::None
        ));
    }
}
