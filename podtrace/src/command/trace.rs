//! `podtrace trace`: attach, follow, print.
mod check;
mod cluster;
mod diagnostics;
mod feeds;
mod runtimes;
mod session;
mod taps;

use std::path::Path;

use anyhow::{Context as _, bail};

use crate::{
    cli::{Format, NamingArgs, TraceArgs},
    clock::epoch_ns,
    command::{FINE, LOST, use_color},
    identity::{
        kubernetes::{ClusterConfig, ClusterSource},
        table::PodTable,
    },
    node::{
        netns::{NetNs, file_name},
        place::Node,
    },
    output::{
        Output,
        json::Json,
        sanitize::sanitize,
        text::{Text, TextOptions},
    },
    probe::support,
};
pub(super) use feeds::Sources;
pub(super) use runtimes::Sockets;
pub(super) use session::{Session, SessionOptions};

/// Runs the command; returns the exit code.
pub(super) fn run(args: &TraceArgs) -> anyhow::Result<u8> {
    check_support()?;
    let nodes = nodes(&args.netns, &args.naming.node_name)?;
    let options = session_options(args, &nodes)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let lost = runtime.block_on(async {
        let session = Session::start(nodes, options).await?;
        session.run().await
    });
    // Not waiting for a credential plugin that hangs.
    runtime.shutdown_background();
    let lost = lost?;
    Ok(if args.strict && lost > 0 { LOST } else { FINE })
}

fn sources(args: &TraceArgs, nodes: &[Node]) -> anyhow::Result<Sources> {
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
    netns
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let netns = NetNs::open(name)?;
            let short = match file_name(name) {
                Some(short) => short.to_owned(),
                None => format!("netns:{}", netns.inode),
            };
            Ok(node(number, &short, netns))
        })
        .collect()
}

fn session_options(args: &TraceArgs, nodes: &[Node]) -> anyhow::Result<SessionOptions> {
    let epoch_ns = epoch_ns()?;
    let output: Box<dyn Output> = match args.output {
        Format::Json => Box::new(Json::new(epoch_ns)),
        Format::Text => Box::new(text(args.color, args.numeric, epoch_ns)),
    };
    Ok(SessionOptions {
        interfaces: args.interfaces.clone(),
        table: table(args.naming.pods.as_deref())?,
        sources: sources(args, nodes)?,
        count: args.count,
        duration: args.duration,
        snaplen: args.snaplen,
        hop_timeout: args.hop_timeout,
        ring_bytes: args.buffer << 20,
        diagnostics: args.verbose > 0,
        output,
    })
}

/// The text view with the local time zone.
pub(super) fn text(color: crate::cli::Color, numeric: bool, epoch_ns: i128) -> Text {
    let options = TextOptions {
        color: use_color(color),
        numeric,
        epoch_ns,
    };
    Text::new(options, jiff::tz::TimeZone::system())
}
