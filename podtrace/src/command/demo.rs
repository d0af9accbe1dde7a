//! `podtrace demo`: the three scenarios in a lab, pinged and traced.
use std::time::Duration;

use anyhow::Context as _;

use super::setup::{check_support, text, way, without};
use crate::{
    cli::DemoArgs,
    clock::epoch_ns,
    command::FINE,
    lab::{Lab, LabPod, LabSpec, guard, traffic},
    live::{Outlets, TraceOptions, Tracer, runtimes::Sockets, sources::SourceOptions},
    node::{pod_table::PodTable, target::Node},
    output::printer::Printer,
    probe::{Way, feature::Without},
    signals::Signals,
    sink::Sink,
};

/// Pause before the next scenario's title, so that the paths of this one are printed: they
/// wait for older ones a tenth of a second, and for the next tick half as long.
const PAUSE: Duration = Duration::from_millis(300);
/// How long attaching everything may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Payload of each ping in bytes, as ping's own default.
const PING_PAYLOAD: usize = 56;

/// Runs the command; returns the exit code.
pub(super) fn run(args: &DemoArgs) -> anyhow::Result<u8> {
    check_support()?;
    let without = without(&args.kernel)?;
    let way = way(args.kernel.attach)?;
    let _guard = guard::start(None).context("failed to start a process")?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("failed to start the runtime")?
        .block_on(demonstrate(args, way, without))?;
    Ok(FINE)
}

async fn demonstrate(args: &DemoArgs, way: Way, without: Without) -> anyhow::Result<()> {
    // Listened to before the lab is there, so that it is taken down whenever
    // a signal comes.
    let mut signals = Signals::listen()?;
    let lab = Lab::new(LabSpec {
        nodes: 2,
        pods_per_node: 2,
        ipv6: true,
    })?;
    eprintln!(
        "lab {}: two nodes, two pods on each, flannel.1 between them",
        lab.id
    );
    let nodes = lab
        .nodes
        .iter()
        .map(|node| Node {
            name: node.name.as_str().into(),
            netns: node.netns.clone(),
        })
        .collect();
    let epoch_ns = epoch_ns()?;
    let options = TraceOptions {
        table: PodTable::parse(&lab.pod_table())?,
        begins_within: PATIENCE,
        ..TraceOptions::new(way, without, epoch_ns)
    };
    let sources = SourceOptions {
        sockets: Sockets::None,
        cluster: None,
    };
    let sink = Sink::stdout()?;
    let format = Box::new(text(args.color, false, epoch_ns));
    let outlets = Outlets {
        consumers: vec![Box::new(Printer::new(format, sink.handle()))],
        sink,
        recording: None,
        shows_progress: false,
    };
    let (scenarios, pings) = (scenarios(&lab), args.pings);
    let run_all = async move {
        for scenario in scenarios {
            scenario.run(pings).await;
        }
    };
    let Some(tracer) = Tracer::start(nodes, sources, options, outlets).await? else {
        return Ok(());
    };
    tracer
        .run_during(async move {
            tokio::select! {
                () = run_all => {}
                () = signals.next() => {}
            }
        })
        .await?;
    Ok(())
}

struct Scenario {
    title: &'static str,
    from: LabPod,
    to: std::net::IpAddr,
}

fn scenarios(lab: &Lab) -> Vec<Scenario> {
    let [first, second] = lab.nodes.as_slice() else {
        return Vec::new();
    };
    let ([from, near, ..], [far, ..]) = (first.pods.as_slice(), second.pods.as_slice()) else {
        return Vec::new();
    };
    let scenario = |title, to: std::net::IpAddr| Scenario {
        title,
        from: from.clone(),
        to,
    };
    vec![
        scenario(
            "1. container to container in one pod, over localhost",
            std::net::Ipv4Addr::LOCALHOST.into(),
        ),
        scenario("2. pod to pod on one node", near.ipv4.into()),
        scenario("3. pod to pod across nodes", far.ipv4.into()),
        scenario("3. the same over IPv6", far.ipv6.into()),
    ]
}

impl Scenario {
    async fn run(self, pings: u16) {
        let Self { title, from, to } = self;
        eprintln!("\n== {title}: {} pings {to}", from.name);
        let answered = tokio::task::spawn_blocking(move || {
            traffic::ping(&from.netns, to, 23, pings, PING_PAYLOAD)
        })
        .await;
        match answered {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => eprintln!("ping failed: {error}"),
            Err(error) => eprintln!("ping failed: {error}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
