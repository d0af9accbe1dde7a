//! Attaching to many interfaces, compared with the kernel's minimum.
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aya::programs::{
    LinkOrder, SchedClassifier, TcAttachType,
    tc::{NlOptions, TcAttachOptions, qdisc_add_clsact},
};
use nix::net::if_::if_nametoindex;
use podtrace::{
    lab::{Lab, LabSpec},
    netns::NetNs,
    packet::Framing,
    probe::{AttachMethod, Probe},
};
use podtrace_ebpf::config::PROGRAM_NOOP;
use rtnetlink::LinkVeth;

use crate::{
    Effort,
    kernel::probe_options,
    report::{Bound, Goal, Group, Measured, Row, Stat},
    running::{self, timed},
};

/// Interfaces of the comparison with the kernel's minimum.
const RAW: usize = 20;
/// No turn begins after this time.
const ENOUGH: Duration = Duration::from_secs(20);
const MS: f64 = 1000.0;
const HOOKS: [TcAttachType; 2] = [TcAttachType::Egress, TcAttachType::Ingress];

/// Seconds to attach, and to detach.
#[derive(Clone, Copy)]
struct Times {
    attach: f64,
    detach: f64,
}

/// Measures probes on 1, 50 and 500 interfaces, and a lone program on some.
pub(crate) fn measure(effort: &Effort) -> Result<Measured> {
    let counts: &[usize] = effort.pick(&[1, 50, 500], &[1, 50]);
    let mut rows = Vec::new();
    let mut goals = Vec::new();
    for count in counts {
        eprintln!("   {count} interfaces");
        let lab = lab()?;
        let netns = veths(&lab, *count)?;
        for method in [AttachMethod::Tcx, AttachMethod::Clsact] {
            let mut turns = Vec::new();
            let begin = Instant::now();
            while turns.is_empty() || turns.len() < effort.rounds && begin.elapsed() < ENOUGH {
                running::check()?;
                turns.push(probe(&netns, *count, method)?);
            }
            let attach = Row::new(
                format!("{}: attach to {count}", method.as_str()),
                turns.iter().map(|turn| MS * turn.attach),
            );
            let detach = Row::new(
                format!("{}: detach from {count}", method.as_str()),
                turns.iter().map(|turn| MS * turn.detach),
            );
            if *count == 500 {
                for row in [&attach, &detach] {
                    let seconds = Stat(row.stat.0.iter().map(|ms| ms / MS).collect());
                    goals.push(Goal::new(
                        row.name.clone(),
                        Bound::AtMost(1.0),
                        "s",
                        seconds,
                    ));
                }
            }
            let each = |row: Row, total: fn(&Times) -> f64| {
                let each = turns.iter().map(|turn| MS * total(turn) / *count as f64);
                row.beside("ms each", each)
            };
            rows.push(each(attach, |turn| turn.attach));
            rows.push(each(detach, |turn| turn.detach));
        }
    }
    let probes = Group::listed("podtrace's taps, both directions", "ms", rows);
    Ok(Measured {
        groups: vec![probes, raw()?],
        goals,
        notes: vec![
            "the kernel waits for running programs with the lock of all network \
             configuration held, once for each attachment: what a lone program takes is \
             the least that taps can take one after the other"
                .into(),
        ],
    })
}

fn lab() -> Result<Lab> {
    Ok(Lab::new(LabSpec {
        nodes: 1,
        pods_per_node: 1,
        ipv6: false,
    })?)
}

fn name(number: usize) -> String {
    format!("bench{number}")
}

/// A namespace of the lab with that many pairs of veths.
fn veths(lab: &Lab, count: usize) -> Result<NetNs> {
    let node = lab.nodes.first().context("the lab has no node")?;
    let netns = node.netns.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let _entered = runtime.enter();
        let netlink = netns.netlink()?;
        for number in 0..count {
            let pair = LinkVeth::new(&name(number), &format!("peer{number}"));
            netlink.link().add(pair.up().build()).execute().await?;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    Ok(netns)
}

/// A probe on all of its interfaces.
fn probe(netns: &NetNs, count: usize, method: AttachMethod) -> Result<Times> {
    let indices = netns.run(|| {
        let index = |number| if_nametoindex(name(number).as_str());
        (0..count).map(index).collect::<Result<Vec<_>, _>>()
    })??;
    let (mut probe, _channel) = Probe::load(&probe_options())?;
    let mut hooks = method.open(&mut probe)?;
    let ((), attach) = timed(|| {
        for (number, index) in indices.iter().enumerate() {
            let interface = u32::try_from(number)?;
            probe.register(netns, *index, interface, Framing::Ethernet.link_len())?;
            hooks.attach(netns, &name(number), *index, interface)?;
        }
        Ok(())
    })?;
    probe.start()?;
    probe.stop()?;
    let ((), detach) = timed(|| {
        hooks.detach_all(&mut |_| {});
        Ok(())
    })?;
    Ok(Times { attach, detach })
}

/// A program that does nothing, attached by TCX and by clsact.
fn raw() -> Result<Group> {
    let lab = lab()?;
    let netns = veths(&lab, RAW)?;
    let (mut probe, _channel) = Probe::load(&probe_options())?;
    let program = probe.object().program_mut(PROGRAM_NOOP);
    let program: &mut SchedClassifier = program.context("no such program")?.try_into()?;
    program.load()?;
    let mut turns = |clsact: bool| -> Result<Vec<Times>> {
        (0..RAW)
            .map(|number| netns.run(|| lone(program, &name(number), clsact))?)
            .collect()
    };
    let (tcx, clsact) = (turns(false)?, turns(true)?);
    let row = |name: &str, turns: &[Times], value: fn(&Times) -> f64| {
        Row::new(name, turns.iter().map(|turn| MS * value(turn)))
    };
    let rows = vec![
        row("TCX: attach 2 links", &tcx, |turn| turn.attach),
        row("TCX: detach 2 links", &tcx, |turn| turn.detach),
        row("clsact: add it and 2 filters", &clsact, |turn| turn.attach),
        row("clsact: remove 2 filters", &clsact, |turn| turn.detach),
    ];
    let title = "a lone program on one interface";
    Ok(Group::listed(title, "ms", rows))
}

/// Both directions of an interface of the calling thread's namespace.
fn lone(program: &mut SchedClassifier, name: &str, clsact: bool) -> Result<Times> {
    let (links, attach) = timed(|| {
        if clsact {
            qdisc_add_clsact(name)?;
        }
        let mut links = Vec::new();
        for hook in HOOKS {
            let how = if clsact {
                TcAttachOptions::Netlink(NlOptions::default())
            } else {
                TcAttachOptions::TcxOrder(LinkOrder::first())
            };
            let id = program.attach_with_options(name, hook, how)?;
            links.push(program.take_link(id)?);
        }
        Ok(links)
    })?;
    let ((), detach) = timed(|| {
        drop(links);
        Ok(())
    })?;
    Ok(Times { attach, detach })
}
