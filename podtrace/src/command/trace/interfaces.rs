//! `podtrace trace --list-interfaces`: what would be tapped.
use anyhow::Context as _;

use crate::{
    cli::{CaptureArgs, Color},
    clock::monotonic_ns,
    command::{
        FINE, print_out,
        setup::{check_capabilities, nodes, sockets, table},
        use_color, width,
    },
    live::{check::check_names, topology::pods},
    model::origin::Origin,
    node::discover::Scanner,
    order::Order as _,
    output::interfaces::text,
    probe::support,
    update::Update,
    world::World,
};

/// Prints a table of the interfaces; returns the exit code.
pub(super) fn list(args: &CaptureArgs) -> anyhow::Result<u8> {
    check_capabilities(support::missing_to_inspect())?;
    let nodes = nodes(&args.netns, &args.naming.node_name)?;
    let table = table(args.naming.pods.as_deref())?;
    let sockets = sockets(&args.naming, &nodes)?;
    let mut world = World::default();
    world.nodes = nodes.iter().map(|node| node.name.clone()).collect();
    let origin = Origin {
        session: 0,
        nodes: 0..nodes.len(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let (scan, pods) = runtime.block_on(async {
        let mut scanner = Scanner::new(nodes.clone(), args.chosen().to_vec(), table);
        let scan = scanner.scan().await?;
        anyhow::Ok((scan, pods(nodes, sockets).await))
    })?;
    check_names(args.chosen(), &scan)?;
    let ts_ns = monotonic_ns()?;
    world.apply(&origin, &Update::Snapshot(Box::new(scan.snapshot)));
    world.apply(
        &origin,
        &Update::Pods {
            runtime: 0,
            pods,
            ts_ns,
        },
    );
    let mut points: Vec<_> = scan
        .targets
        .into_iter()
        .map(|target| target.point)
        .collect();
    points.order_by_key(|point| (point.node, point.in_pod, point.role.rank()));
    let mut out = String::new();
    text(&mut out, &points, &world, use_color(Color::Auto), width());
    print_out(&out)?;
    Ok(FINE)
}
