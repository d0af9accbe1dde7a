//! `podtrace demo`: scenarios in a lab, pinged and traced.
mod scenario;
mod shown;

use std::time::Duration;

use anyhow::Context as _;

use super::setup::{attach_method, check_support, text, without};
use crate::{
    cli::DemoArgs,
    clock::epoch_ns,
    command::{FINE, use_color},
    lab::{Lab, LabSpec, guard},
    live::{Begin, Outlets, TraceOptions, Tracer, runtimes::Sockets, sources::SourceOptions},
    node::{pod_table::PodTable, target::Node},
    output::printer::Printer,
    probe::{AttachMethod, feature::Without},
    signals::Signals,
    sink::Sink,
};
use scenario::Stage;
use shown::Shown;

/// How long attaching everything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the command; returns the exit code.
pub(super) fn run(args: &DemoArgs) -> anyhow::Result<u8> {
    check_support()?;
    let without = without(&args.kernel)?;
    let attach_method = attach_method(args.kernel.attach)?;
    let _guard = guard::start(None).context("failed to start a process")?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("failed to start the runtime")?
        .block_on(demonstrate(args, attach_method, without))?;
    Ok(FINE)
}

async fn demonstrate(
    args: &DemoArgs,
    attach_method: AttachMethod,
    without: Without,
) -> anyhow::Result<()> {
    // Listens before the lab exists, so that any signal takes it down.
    let mut signals = Signals::listen()?;
    let lab = Lab::new(LabSpec {
        nodes: 2,
        pods_per_node: 2,
        ipv6: true,
    })?;
    let nodes: Vec<_> = lab
        .nodes
        .iter()
        .map(|node| Node {
            name: node.name.as_str().into(),
            netns: node.netns.clone(),
        })
        .collect();
    let epoch_ns = epoch_ns()?;
    let table = PodTable::parse(&lab.pod_table())?;
    let options = TraceOptions {
        table: table.clone(),
        begin: Begin {
            within: PATIENCE,
            is_whole: true,
        },
        ..TraceOptions::new(attach_method, without, epoch_ns)
    };
    let sources = SourceOptions {
        sockets: Sockets::None,
        cluster: None,
    };
    let sink = Sink::stdout()?;
    let mut out = sink.handle();
    out.take(&format!(
        "lab {}: two nodes, two pods on each, flannel.1 between them\n",
        lab.id
    ))?;
    let format = Box::new(text(args.color, epoch_ns));
    let shown = Shown::new(Printer::new(format, sink.handle()), args.verbose);
    let stage = Stage {
        nodes: nodes.clone(),
        table,
        pings: args.pings,
        color: use_color(args.color),
        out,
        printed: shown.own(),
    };
    let outlets = Outlets {
        consumers: vec![Box::new(shown)],
        sink,
        recording: None,
        foot: None,
    };
    let Some(tracer) = Tracer::start(nodes, sources, options, outlets).await? else {
        return Ok(());
    };
    tracer
        .run_during(async {
            tokio::select! {
                () = stage.play(&lab) => {}
                () = signals.next() => {}
            }
        })
        .await?;
    Ok(())
}
