//! `podtrace lab`: a network to try things on, kept until Ctrl-C.
use std::{env, io::Write as _};

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
        "\ntrace it:  podtrace trace {} --pods {}\nping:      {}\nCtrl-C takes it down\n",
        netns.join(" "),
        shown(table.path()),
        ping_hint(is_program)
    );
    print_out(&out)?;
    signals.wait().context("failed to wait for a signal")?;
    Ok(FINE)
}

/// How to ping from a namespace, by the programs that are there.
fn ping_hint(is_there: impl Fn(&str) -> bool) -> String {
    let enter = [
        ("ip", "ip netns exec NETNS"),
        ("nsenter", "nsenter --net=/run/netns/NETNS"),
        ("busybox", "busybox nsenter --net=/run/netns/NETNS"),
    ];
    let ping = [
        ("ping", "ping ADDRESS"),
        ("busybox", "busybox ping ADDRESS"),
    ];
    let first = |ways: &[(&str, &'static str)]| {
        let way = ways.iter().find(|(program, _)| is_there(program));
        way.map(|(_, words)| *words)
    };
    match first(&enter).zip(first(&ping)) {
        Some((enter, ping)) => format!("{enter} {ping}"),
        None => "install iproute2 and iputils-ping, or busybox".to_owned(),
    }
}

/// Whether a program of that name can be found.
fn is_program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_names_programs_that_are_there() {
        for (programs, hint) in [
            (
                &["ip", "ping", "busybox"][..],
                "ip netns exec NETNS ping ADDRESS",
            ),
            (
                &["ip", "busybox"],
                "ip netns exec NETNS busybox ping ADDRESS",
            ),
            (
                &["nsenter", "ping"],
                "nsenter --net=/run/netns/NETNS ping ADDRESS",
            ),
            (
                &["busybox"],
                "busybox nsenter --net=/run/netns/NETNS busybox ping ADDRESS",
            ),
            (&["ip"], "install iproute2 and iputils-ping, or busybox"),
        ] {
            assert_eq!(ping_hint(|name| programs.contains(&name)), hint);
        }
    }
}
