//! `podtrace trace`: attach, follow, print.
mod recording;

use std::{path::Path, time::Duration};

use anyhow::Context as _;

use crate::{
    cli::{CaptureArgs, Color, FileArgs, Format, RecordArgs, TraceArgs},
    clock::epoch_ns,
    command::{
        FINE, LOST,
        setup::{check_support, nodes, sockets, table, text, vxlan_ports, way, without},
    },
    identity::kubernetes::{ClusterConfig, ClusterSource},
    live::{
        Missing, Outlets, TraceOptions, Tracer, children::end_children, closer, sampling::Sampling,
        sources::SourceOptions,
    },
    node::target::Node,
    output::{json::Json, printer::Printer, quiet::Quiet, render::Render},
    privilege,
    probe::{memory::default_rings, restraint::yield_to_others},
    sink::{self, Sink},
};

/// After this time a session begins, whatever is attached to by then.
const BEGIN: Duration = Duration::from_millis(60);
/// The same where interfaces were chosen: those are what somebody waits for.
const BEGIN_CHOSEN: Duration = Duration::from_secs(2);

/// Runs `trace`; returns the exit code.
pub(super) fn run(args: &TraceArgs) -> anyhow::Result<u8> {
    let epoch_ns = epoch_ns()?;
    let format: Box<dyn Render> = match args.view.output {
        Format::Json => Box::new(Json::new(epoch_ns)),
        Format::Text => Box::new(text(args.view.color, args.view.numeric, epoch_ns)),
    };
    follow(&args.capture, &args.files, format, epoch_ns, false)
}

/// Runs `record`; returns the exit code.
pub(super) fn record(args: &RecordArgs) -> anyhow::Result<u8> {
    let epoch_ns = epoch_ns()?;
    let format = Box::new(Quiet::new(text(Color::Auto, false, epoch_ns)));
    follow(&args.capture, &args.files, format, epoch_ns, true)
}

fn follow(
    capture: &CaptureArgs,
    files: &FileArgs,
    format: Box<dyn Render>,
    epoch_ns: i128,
    shows_progress: bool,
) -> anyhow::Result<u8> {
    check_support()?;
    let has_closer = closer::start();
    let without = without(&capture.kernel)?;
    let nodes = nodes(&capture.netns, &capture.naming.node_name)?;
    let sources = sources(capture, &nodes)?;
    privilege::begin(sources.cluster.is_some())?;
    let options = TraceOptions {
        interfaces: capture.interfaces.clone(),
        table: table(capture.naming.pods.as_deref())?,
        count: capture.count,
        duration: capture.duration,
        snaplen: capture.snaplen,
        hop_timeout: capture.hop_timeout,
        vxlan_ports: vxlan_ports(&capture.vxlan_port)?,
        ring_bytes: match capture.load.buffer {
            Some(mebibytes) => mebibytes << 20,
            None => default_rings(),
        },
        headers_only: capture.load.headers_only,
        cpu_limit: capture.load.cpu_limit,
        sampling: Sampling::new(capture.load.sample.unwrap_or(1), capture.load.max_rate),
        diagnostics: capture.verbose > 0,
        begins_within: if capture.interfaces.is_empty() {
            BEGIN
        } else {
            BEGIN_CHOSEN
        },
        has_closer,
        ..TraceOptions::new(way(capture.kernel.attach)?, without, epoch_ns)
    };
    let sink = if files.is_stdout() {
        Sink::stderr()?
    } else {
        Sink::stdout()?
    };
    let printer = Printer::new(format, sink.handle());
    let outlets = Outlets {
        consumers: vec![Box::new(printer)],
        sink,
        recording: recording::open(files, capture, &nodes, epoch_ns)?,
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
        match Tracer::start(nodes, sources, options, outlets).await? {
            Some(tracer) => {
                privilege::keep(privilege::WATCH)?;
                yield_to_others();
                tracer.run().await
            }
            None => Ok(Missing::default()),
        }
    });
    // Not waiting for a credential plugin that hangs.
    end_children();
    runtime.shutdown_background();
    let is_missing = missing?.is_any();
    Ok(if capture.strict && is_missing {
        LOST
    } else {
        FINE
    })
}

fn sources(args: &CaptureArgs, nodes: &[Node]) -> anyhow::Result<SourceOptions> {
    Ok(SourceOptions {
        sockets: sockets(&args.naming, nodes)?,
        cluster: cluster(args.kubeconfig.as_deref())?,
    })
}

/// A cluster that was not asked for by name, and cannot be had, is no reason
/// not to trace.
fn cluster(kubeconfig: Option<&Path>) -> anyhow::Result<Option<ClusterConfig>> {
    match ClusterSource::find(kubeconfig) {
        Err(error) if kubeconfig.is_none() => {
            sink::tell(&format!("pods elsewhere stay unnamed: {error}"));
            Ok(None)
        }
        found => Ok(found?),
    }
}
