//! `podtrace trace`: attach, follow, print.
mod interfaces;
mod metrics;
mod ready;
mod recording;

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    net::SocketAddr,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use ready::Ready;
use tokio::{sync::Notify, time::sleep};

use crate::{
    cli::{CaptureArgs, Color, FileArgs, Format, LiveFilterArgs, RecordArgs, TraceArgs},
    clock::{epoch_ns, monotonic_ns},
    command::{
        FINE, LOST,
        filter::asked,
        setup::{
            attach_method, check_support, format, nodes, sockets, table, text, vxlan_ports, without,
        },
    },
    identity::kubernetes::{ClusterConfig, ClusterSource},
    live::{
        Begin, Foot, Missing, Outlets, TraceOptions, Tracer,
        children::end_children,
        closer,
        firewalls::TraceRules,
        recording::Recording,
        sampling::Sampling,
        sources::SourceOptions,
        workload::{Workload, exit_code},
    },
    node::target::Node,
    output::{printer::Printer, quiet::Quiet, render::Render},
    pipeline::consumer::Consumer,
    privilege,
    probe::{memory::default_rings, restraint::yield_to_others},
    select::Selector,
    session::files::Replacement,
    sink::{self, Sink, TextSink},
    text::{escape::shown, system_error::without_numbers},
};

/// A session begins after this time, even if interfaces are still to be attached to.
const BEGIN: Duration = Duration::from_millis(60);
/// The same where the user chose interfaces or pods, and waits for them.
const BEGIN_CHOSEN: Duration = Duration::from_secs(2);
/// The same where somebody waits for all of them.
const BEGIN_WHOLE: Duration = Duration::from_secs(60);
/// How long a command may take to end once the trace has ended before it.
const PATIENCE: Duration = Duration::from_secs(2);
/// A packet's outcome is known this time after [`CaptureArgs::hop_timeout`] at the latest.
const DECIDED: Duration = Duration::from_millis(100);

/// Runs `trace`; returns the exit code.
pub(super) fn run(args: &TraceArgs) -> anyhow::Result<u8> {
    if args.list.list_interfaces {
        return interfaces::list(&args.capture);
    }
    let epoch_ns = epoch_ns()?;
    let now: fn() -> u64 = || monotonic_ns().unwrap_or_default();
    let unfolds = args.capture.verbose > 0;
    let show = printer(format(&args.view, unfolds, Some(now), epoch_ns)?);
    let chosen = (&args.capture, &args.filter);
    let is_piped = args.view.output == Format::Pcapng;
    let files = match is_piped {
        true => piped(&args.files),
        false => args.files.clone(),
    };
    let foot = if is_piped {
        Some(Foot::Recording)
    } else {
        // Elsewhere it would stand between the lines of another program.
        io::stdout().is_terminal().then_some(Foot::Rates)
    };
    let watch = Watch {
        foot,
        metrics: args.metrics.metrics,
        has_data: args.view.output == Format::Json,
        ..Watch::new(show, epoch_ns)
    };
    follow(chosen, Some(&files), watch)
}

/// The recording of `-o pcapng`, whose reader shows packets as they come.
fn piped(files: &FileArgs) -> FileArgs {
    FileArgs {
        write: Some("-".into()),
        packet_buffered: true,
        ..files.clone()
    }
}

/// Runs `record`; returns the exit code.
pub(super) fn record(args: &RecordArgs) -> anyhow::Result<u8> {
    let epoch_ns = epoch_ns()?;
    let show = printer(Box::new(Quiet::new(text(Color::Auto, epoch_ns))));
    let watch = Watch {
        foot: Some(Foot::Recording),
        metrics: args.metrics.metrics,
        ..Watch::new(show, epoch_ns)
    };
    let chosen = (&args.capture, &args.filter);
    follow(chosen, Some(&args.files), watch)
}

/// Prints what is traced in a format.
pub(super) fn printer(
    format: Box<dyn Render>,
) -> impl FnOnce(Box<dyn TextSink>) -> anyhow::Result<Box<dyn Consumer>> {
    |sink| Ok(Box::new(Printer::new(format, sink)))
}

/// How a trace is watched.
pub(super) struct Watch<S> {
    /// Makes the consumer that shows what is traced.
    pub(super) show: S,
    /// UTC nanoseconds at CLOCK_MONOTONIC zero.
    pub(super) epoch_ns: i128,
    /// The line that a terminal shows below the packets.
    pub(super) foot: Option<Foot>,
    /// Where metrics are served.
    pub(super) metrics: Option<SocketAddr>,
    /// Notified to end the trace.
    pub(super) quit: Arc<Notify>,
    /// Whether the process goes on once the trace has ended by itself.
    pub(super) stays: bool,
    /// Whether it begins once all interfaces are attached to, not just those that are needed first.
    pub(super) needs_all: bool,
    /// Whether what it prints is for a program, so that a command must not print in between.
    pub(super) has_data: bool,
}

impl<S> Watch<S> {
    /// Nobody but the user's signals ends it early.
    pub(super) fn new(show: S, epoch_ns: i128) -> Self {
        Self {
            show,
            epoch_ns,
            foot: None,
            metrics: None,
            quit: Arc::default(),
            stays: false,
            needs_all: false,
            has_data: false,
        }
    }
}

/// Traces until the end that the options or the user choose; returns the exit code.
pub(super) fn follow(
    (capture, chosen): (&CaptureArgs, &LiveFilterArgs),
    files: Option<&FileArgs>,
    watch: Watch<impl FnOnce(Box<dyn TextSink>) -> anyhow::Result<Box<dyn Consumer>>>,
) -> anyhow::Result<u8> {
    let Watch {
        show,
        epoch_ns,
        foot,
        metrics,
        quit,
        stays,
        needs_all,
        has_data,
    } = watch;
    let mut ready = Ready::open(capture.ready_fd)?;
    let asked = asked(&chosen.expression, &chosen.chosen)?;
    let is_part = asked.is_part() || capture.count.is_some();
    check_support()?;
    // Taps that the closer is to detach stay until the process ends.
    let ends_before = stays && (capture.count.is_some() || capture.duration.is_some());
    let has_closer = !ends_before && closer::start(capture.rules.trace_rules);
    let without = without(&capture.kernel)?;
    let nodes = nodes(&capture.netns, &capture.naming.node_name)?;
    let sources = sources(capture, &nodes)?;
    let is_recorded_to_stdout = files.is_some_and(FileArgs::is_stdout);
    let speaks_apart = (has_data || is_recorded_to_stdout) && !io::stdout().is_terminal();
    let mut workload = workload(&capture.command, speaks_apart)?;
    let listener = metrics::open(metrics)?;
    privilege::begin(sources.cluster.is_some())?;
    let selector = asked.selector.as_deref();
    let is_for_pods = selector.is_some_and(Selector::is_for_pods);
    let options = TraceOptions {
        interfaces: capture.chosen().to_vec(),
        table: table(capture.naming.pods.as_deref())?,
        asked,
        waits: chosen.wait,
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
        drops: !capture.load.no_drops,
        trace_rules: capture
            .rules
            .trace_rules
            .then(|| TraceRules::of(&chosen.expression, &capture.vxlan_port)),
        cpu_limit: capture.load.cpu_limit,
        sampling: Sampling::new(capture.load.sample.unwrap_or(1), capture.load.max_rate),
        diagnostics: capture.verbose > 0,
        begin: Begin {
            within: match capture {
                _ if workload.is_some() || ready.is_some() => BEGIN_WHOLE,
                _ if !capture.chosen().is_empty() || is_for_pods || needs_all => BEGIN_CHOSEN,
                _ => BEGIN,
            },
            // Its packets may take any way.
            is_whole: needs_all || workload.is_some(),
        },
        has_closer,
        ..TraceOptions::new(attach_method(capture.kernel.attach)?, without, epoch_ns)
    };
    let sink = if is_recorded_to_stdout {
        Sink::stderr()?
    } else {
        Sink::stdout()?
    };
    let recording = files.map(|files| recording::open(files, capture, &nodes, epoch_ns, is_part));
    let mut recording = recording.transpose()?.flatten();
    let replacement = recording.as_mut().and_then(Recording::replacement);
    let mut consumers = vec![show(sink.handle())?];
    let served = listener.map(|listener| metrics::serve(listener, recording.as_ref()));
    let (counting, _server) = served.transpose()?.unzip();
    consumers.extend(counting);
    let outlets = Outlets {
        consumers,
        sink,
        recording,
        foot,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // A refusal concerns this thread too, which reports it.
        .on_thread_start(|| drop(privilege::keep(privilege::INSPECT)))
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let settles = capture.hop_timeout + DECIDED;
    let (mut ended, mut replaced) = (None, Ok(()));
    let missing = runtime.block_on(async {
        let Some(tracer) = Tracer::start(nodes, sources, options, outlets).await? else {
            return Ok(Missing::default());
        };
        let mut replacement = replacement.filter(|_| tracer.has_begun());
        if workload.is_none() {
            replacement.take().map_or(Ok(()), Replacement::confirm)?;
        }
        privilege::keep(match replacement {
            Some(_) => privilege::REPLACE,
            None => privilege::WATCH,
        })?;
        yield_to_others();
        let work = async {
            if let Some(ready) = &mut ready {
                ready.tell();
            }
            match &mut workload {
                Some(workload) => {
                    let ran = run_command(workload, replacement, &mut replaced);
                    ended = Some(ran.await);
                    sleep(settles).await;
                }
                None => quit.notified().await,
            }
        };
        tracer.run_during(work).await
    });
    // Does not wait for a credential plugin that hangs.
    end_children();
    if let (None, Some(workload)) = (&ended, &mut workload) {
        ended = runtime.block_on(workload.end_within(PATIENCE));
    }
    runtime.shutdown_background();
    let is_missing = missing?.is_any();
    replaced?;
    let code = ended.as_ref().map_or(FINE, exit_code);
    if let (Some(Err(error)), Some(program)) = (&ended, capture.command.first()) {
        let reason = without_numbers(&error.to_string());
        sink::tell(&format!("failed to run {}: {reason}", shown(program)));
    }
    Ok(match code {
        FINE if capture.strict && is_missing => LOST,
        code => code,
    })
}

/// Runs the command. Only once it has started does the recording replace an earlier file.
async fn run_command(
    workload: &mut Workload,
    replacement: Option<Replacement>,
    replaced: &mut anyhow::Result<()>,
) -> io::Result<ExitStatus> {
    workload.start().await?;
    if let Some(replacement) = replacement {
        *replaced = replacement
            .confirm()
            .map_err(anyhow::Error::from)
            .and(privilege::keep(privilege::WATCH).map_err(Into::into));
    }
    workload.end().await
}

/// The command to run, if there is one. `apart`: what it prints goes to standard error.
fn workload(command: &[OsString], apart: bool) -> anyhow::Result<Option<Workload>> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(None);
    };
    let stdout = match apart {
        true => Stdio::from(io::stderr()),
        false => Stdio::inherit(),
    };
    let prepared = Workload::prepare(program.clone(), arguments, stdout);
    Ok(Some(prepared.context("failed to start a thread")?))
}

fn sources(args: &CaptureArgs, nodes: &[Node]) -> anyhow::Result<SourceOptions> {
    Ok(SourceOptions {
        sockets: sockets(&args.naming, nodes)?,
        cluster: cluster(args.kubeconfig.as_deref())?,
    })
}

/// A cluster that cannot be used is an error only if the user named it.
fn cluster(kubeconfig: Option<&Path>) -> anyhow::Result<Option<ClusterConfig>> {
    match ClusterSource::find(kubeconfig) {
        Err(error) if kubeconfig.is_none() => {
            sink::tell(&format!("pods elsewhere stay unnamed: {error}"));
            Ok(None)
        }
        found => Ok(found?),
    }
}
