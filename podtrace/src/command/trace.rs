//! `podtrace trace`: attach, follow, print.
mod check;
mod children;
mod closer;
mod cluster;
mod diagnostics;
mod feeds;
mod progress;
mod recording;
mod runtimes;
mod sampling;
mod session;
mod taps;
mod topology;

use std::{collections::HashSet, path::Path, time::Duration};

use anyhow::{Context as _, bail};

use crate::{
    cli::{
        Attach, CaptureArgs, Color, Feature, FileArgs, Format, KernelArgs, NamingArgs, RecordArgs,
        TraceArgs,
    },
    clock::epoch_ns,
    command::{FINE, LOST, sink::Sink, use_color},
    identity::{
        kubernetes::{ClusterConfig, ClusterSource},
        table::PodTable,
    },
    node::{
        netns::{NetNs, file_name, force_inode_ids},
        place::Node,
    },
    output::{
        Output,
        json::Json,
        quiet::Quiet,
        sanitize::sanitize,
        text::{Text, TextOptions},
    },
    privilege,
    probe::{Way, feature::Without, memory::default_rings, restraint::yield_to_others, support},
};
pub(super) use feeds::Sources;
use recording::Recording;
pub(super) use recording::{command, kernel, session_name};
pub(super) use runtimes::Sockets;
pub(super) use sampling::Sampling;
use session::Missing;
pub(super) use session::{Session, SessionOptions};

/// After this time a session begins, whatever is attached to by then.
const BEGIN: Duration = Duration::from_millis(60);
/// The same where interfaces were chosen: those are what somebody waits for.
const BEGIN_CHOSEN: Duration = Duration::from_secs(2);

/// Runs `trace`; returns the exit code.
pub(super) fn run(args: &TraceArgs) -> anyhow::Result<u8> {
    let epoch_ns = epoch_ns()?;
    let output: Box<dyn Output> = match args.view.output {
        Format::Json => Box::new(Json::new(epoch_ns)),
        Format::Text => Box::new(text(args.view.color, args.view.numeric, epoch_ns)),
    };
    follow(&args.capture, &args.files, output, epoch_ns, false)
}

/// Runs `record`; returns the exit code.
pub(super) fn record(args: &RecordArgs) -> anyhow::Result<u8> {
    let epoch_ns = epoch_ns()?;
    let output = Box::new(Quiet::new(text(Color::Auto, false, epoch_ns)));
    follow(&args.capture, &args.files, output, epoch_ns, true)
}

fn follow(
    capture: &CaptureArgs,
    files: &FileArgs,
    output: Box<dyn Output>,
    epoch_ns: i128,
    shows_progress: bool,
) -> anyhow::Result<u8> {
    check_support()?;
    let has_closer = closer::start();
    let without = without(&capture.kernel)?;
    let nodes = nodes(&capture.netns, &capture.naming.node_name)?;
    let sources = sources(capture, &nodes)?;
    privilege::begin(sources.cluster.is_some())?;
    let options = SessionOptions {
        interfaces: capture.interfaces.clone(),
        table: table(capture.naming.pods.as_deref())?,
        sources,
        count: capture.count,
        duration: capture.duration,
        snaplen: capture.snaplen,
        hop_timeout: capture.hop_timeout,
        ring_bytes: match capture.load.buffer {
            Some(mebibytes) => mebibytes << 20,
            None => default_rings(),
        },
        headers_only: capture.load.headers_only,
        cpu_limit: capture.load.cpu_limit,
        sampling: Sampling::new(capture.load.sample.unwrap_or(1), capture.load.max_rate),
        diagnostics: capture.verbose > 0,
        way: way(capture.kernel.attach)?,
        begins_within: if capture.interfaces.is_empty() {
            BEGIN
        } else {
            BEGIN_CHOSEN
        },
        has_closer,
        without,
        output,
        says: if files.is_stdout() {
            Sink::stderr()?
        } else {
            Sink::stdout()?
        },
        epoch_ns,
        recording: Recording::open(files, capture, &nodes, epoch_ns)?,
        shows_progress,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // Where this is refused it is so in this thread too, which says it.
        .on_thread_start(|| drop(privilege::keep(privilege::LOOK)))
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let missing = runtime.block_on(async {
        match Session::start(nodes, options).await? {
            Some(session) => {
                privilege::keep(privilege::WATCH)?;
                yield_to_others();
                session.run().await
            }
            None => Ok(Missing::default()),
        }
    });
    // Not waiting for a credential plugin that hangs.
    children::end_children();
    runtime.shutdown_background();
    let is_missing = missing?.is_any();
    Ok(if capture.strict && is_missing {
        LOST
    } else {
        FINE
    })
}

/// What is not to be used of what the kernel has; to be called before anything tells
/// namespaces apart.
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

/// How to attach.
pub(super) fn way(attach: Attach) -> anyhow::Result<Way> {
    let best = Way::best();
    match attach {
        Attach::Auto => Ok(best),
        Attach::Clsact => Ok(Way::Clsact),
        Attach::Tcx if best == Way::Tcx => Ok(Way::Tcx),
        Attach::Tcx => bail!(
            "this kernel lacks TCX attachment of TC programs (Linux 6.6 or later)\nhint: --attach clsact works here"
        ),
    }
}

fn sources(args: &CaptureArgs, nodes: &[Node]) -> anyhow::Result<Sources> {
    Ok(Sources {
        sockets: sockets(&args.naming, nodes),
        cluster: cluster(args.kubeconfig.as_deref())?,
    })
}

/// A cluster that was not asked for by name, and cannot be had, is no reason
/// not to trace.
fn cluster(kubeconfig: Option<&Path>) -> anyhow::Result<Option<ClusterConfig>> {
    match ClusterSource::find(kubeconfig) {
        Err(error) if kubeconfig.is_none() => {
            eprintln!("podtrace: pods elsewhere stay unnamed: {error}");
            Ok(None)
        }
        found => Ok(found?),
    }
}

/// The table of `--pods`.
pub(super) fn table(file: Option<&Path>) -> anyhow::Result<PodTable> {
    let Some(path) = file else {
        return Ok(PodTable::default());
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("failed to read the pod table {}", path.display()))?;
    Ok(PodTable::parse(&text)?)
}

/// A table names pods in the place of a runtime, unless both are asked for.
pub(super) fn sockets(args: &NamingArgs, nodes: &[Node]) -> Sockets {
    if !args.cri_socket.is_empty() {
        return Sockets::These(args.cri_socket.clone());
    }
    if args.pods.is_some() {
        return Sockets::None;
    }
    match NetNs::current() {
        Ok(own) if nodes.iter().any(|node| node.netns.inode == own.inode) => Sockets::Usual,
        _ => Sockets::Elsewhere,
    }
}

/// Fails with words about what the process or the kernel lacks.
pub(super) fn check_support() -> anyhow::Result<()> {
    if let Some(text) = support::too_old().context("failed to read the kernel's release")? {
        bail!(text);
    }
    let missing = support::missing_capabilities().context("failed to read the capabilities")?;
    if !missing.is_empty() {
        bail!("missing {}\nhint: run it with sudo", missing.join(", "));
    }
    let missing = support::missing_features();
    if !missing.is_empty() {
        bail!("this kernel lacks {}", missing.join(", "));
    }
    Ok(())
}

/// `netns`: namespaces of the nodes, none for our own; `names`: what to call
/// them, otherwise by hostname, or by the name or number of the namespace.
pub(super) fn nodes(netns: &[String], names: &[String]) -> anyhow::Result<Vec<Node>> {
    if names.len() > netns.len().max(1) {
        bail!("more names (--node-name) than nodes (--netns)");
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
            let netns = NetNs::open(name)?;
            if !known.insert(netns.inode) {
                bail!("--netns {name} is a node that was given already");
            }
            let short = match file_name(name) {
                Some(short) => short.to_owned(),
                None => format!("netns:{}", netns.inode),
            };
            Ok(node(number, &short, netns))
        })
        .collect()
}

/// The text view with the local time zone.
pub(super) fn text(color: Color, numeric: bool, epoch_ns: i128) -> Text {
    let options = TextOptions {
        color: use_color(color),
        numeric,
        epoch_ns,
    };
    Text::new(options, jiff::tz::TimeZone::system())
}
