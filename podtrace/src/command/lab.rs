//! `podtrace lab`: a network to try things on, kept until Ctrl-C.
use std::io::Write as _;

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal};

use crate::{
    cli::LabArgs,
    command::{FINE, print_out},
    lab::{Lab, LabSpec, guard},
    signals::is_hangup_ignored,
    text::escape::shown,
};

/// Runs the command; returns the exit code.
pub(super) fn run(args: &LabArgs) -> anyhow::Result<u8> {
    super::setup::check_support()?;
    // Blocked before the lab exists: a signal then waits for `sigwait`, and
    // the lab is taken down whenever it comes.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    if !is_hangup_ignored() {
        signals.add(Signal::SIGHUP);
    }
    signals.thread_block().context("failed to block signals")?;
    let mut table = tempfile::NamedTempFile::new().context("failed to make the pod table")?;
    // It outlives the lab, and finds nothing to remove after a regular end.
    let _guard = guard::start(Some(table.path())).context("failed to start a process")?;
    let lab = Lab::new(LabSpec {
        nodes: args.nodes.into(),
        pods_per_node: args.pods.into(),
        ipv6: true,
    })?;
    table.write_all(lab.pod_table().as_bytes())?;
    let mut out = String::new();
    for node in &lab.nodes {
        out += &format!("node {:<28} {}\n", node.netns.name, node.underlay);
        for pod in &node.pods {
            out += &format!(
                "  pod {:<27} {}  {}  {}\n",
                pod.netns.name, pod.name, pod.ipv4, pod.ipv6
            );
        }
    }
    let netns: Vec<_> = lab
        .nodes
        .iter()
        .map(|node| format!("--netns {}", node.netns.name))
        .collect();
    out += &format!(
        "\ntrace it:  podtrace trace {} --pods {}\nping:      ip netns exec NETNS ping ADDRESS\nCtrl-C takes it down\n",
        netns.join(" "),
        shown(table.path())
    );
    print_out(&out)?;
    signals.wait().context("failed to wait for a signal")?;
    Ok(FINE)
}
