//! What `podtrace doctor` looks at.
use std::{fs, io};

use nix::sys::utsname::uname;

use crate::{
    cause::chain,
    cgroup::fs::CgroupFs,
    identity::{cri::Runtime, kubernetes::ClusterSource},
    netns::NetNs,
    node::conntrack::Conntrack,
    output::doctor::{Finding, State},
    packet::VxlanPorts,
    probe::{
        AttachMethod, Probe, ProbeError, ProbeOptions, feature::Without, memory::default_rings,
        support,
    },
    text::escape::shown,
};

/// All findings, in the order in which they matter.
pub(super) async fn all() -> Vec<Finding> {
    let mut findings = vec![kernel(), capabilities(), features()];
    if findings.iter().all(|finding| finding.state == State::Fine) {
        findings.extend(programs());
    }
    findings.extend([
        attaching(),
        cgroups(),
        runtime().await,
        cluster(),
        networks(),
    ]);
    findings.extend([connections(), clock()]);
    findings
}

fn kernel() -> Finding {
    const WHAT: &str = "kernel";
    let release = uname().map_or_else(|_| "unknown".into(), |name| shown(name.release()));
    match support::too_old() {
        Ok(Some(text)) => Finding::not(WHAT, State::Missing, release, text),
        _ => Finding::fine(WHAT, format!("Linux {release}")),
    }
}

fn capabilities() -> Finding {
    const WHAT: &str = "capabilities";
    let is_root = nix::unistd::Uid::effective().is_root();
    match support::missing_capabilities() {
        Ok(missing) => match support::lack_in_words(&missing, is_root) {
            None => Finding::fine(WHAT, "all that tracing takes"),
            Some(words) => {
                let (found, hint) = words.split_once('\n').unwrap_or((&words, ""));
                Finding::not(WHAT, State::Missing, found, hint)
            }
        },
        Err(error) => Finding::not(WHAT, State::Missing, unread(&error), "are they there?"),
    }
}

fn features() -> Finding {
    const WHAT: &str = "BPF, types";
    let missing = support::missing_features();
    if missing.is_empty() {
        return Finding::fine(WHAT, "ring buffers, and the kernel's types (BTF)");
    }
    let found = format!("the kernel lacks {}", missing.join(", "));
    Finding::not(WHAT, State::Missing, found, "podtrace cannot trace without")
}

/// Whether the kernel takes the programs, and what of them it lacks: they are loaded, and
/// attached to nothing but the tracepoint of drops.
fn programs() -> Vec<Finding> {
    const WHAT: &str = "programs";
    let options = ProbeOptions {
        snaplen: podtrace_ebpf::config::SNAPLEN_DEFAULT,
        ring_bytes: default_rings(),
        max_interfaces: 1024,
        headers_only: false,
        filter: None,
        drops: true,
        vxlan_ports: VxlanPorts::default(),
        diagnostics: false,
        without: Without::default(),
        bare_bytes: None,
    };
    let (mut probe, _channel) = match Probe::load(&options) {
        Ok(loaded) => loaded,
        Err(error) => return vec![refused(&error)],
    };
    let mut findings = vec![Finding::fine(WHAT, "the kernel takes all of them")];
    findings.push(match probe.take_drops() {
        Some(drops) if drops.has_reasons() && drops.has_symbols() => {
            Finding::fine("drops", "the kernel names reason and function of each drop")
        }
        Some(drops) if drops.has_reasons() => Finding::not(
            "drops",
            State::Lacking,
            "the kernel names the reason of each drop, and no function",
            "symbols cannot be read (kernel.kptr_restrict): some reasons say little without",
        ),
        Some(drops) => Finding::not(
            "drops",
            State::Lacking,
            if drops.has_symbols() {
                "the kernel names the function of each drop, and no reason"
            } else {
                "the kernel names neither reason nor function of a drop"
            },
            "reasons take Linux 5.17",
        ),
        None => Finding::not(
            "drops",
            State::Lacking,
            "the kernel does not tell what it drops",
            "packets end as not seen further, without a cause",
        ),
    });
    let limits = probe.limits().iter();
    findings.extend(limits.map(|limit| {
        let (found, without) = limit.split_once(": ").unwrap_or((limit, ""));
        Finding::not("limit", State::Lacking, found, without)
    }));
    findings
}

fn refused(error: &ProbeError) -> Finding {
    Finding::not(
        "programs",
        State::Missing,
        chain(error),
        "podtrace cannot trace",
    )
}

fn attaching() -> Finding {
    const WHAT: &str = "attaching";
    match AttachMethod::best() {
        AttachMethod::Tcx => Finding::fine(WHAT, "TCX: nothing stays, however podtrace ends"),
        AttachMethod::Clsact => Finding::not(
            WHAT,
            State::Lacking,
            "clsact",
            "TCX takes Linux 6.6. After SIGKILL filters stay that do nothing: podtrace cleanup",
        ),
    }
}

fn cgroups() -> Finding {
    const WHAT: &str = "cgroups";
    match CgroupFs::open() {
        Ok(_) => Finding::fine(WHAT, "version 2: sockets name their container"),
        Err(error) => Finding::not(
            WHAT,
            State::Lacking,
            unread(&error),
            "which container of a pod sends or receives is not known",
        ),
    }
}

async fn runtime() -> Finding {
    const WHAT: &str = "runtime";
    match Runtime::find().await {
        Ok(runtime) => Finding::fine(WHAT, runtime.about().to_string()),
        Err(error) => Finding::not(
            WHAT,
            State::Lacking,
            chain(&error),
            "pods and containers have no names: --cri-socket PATH, or --pods FILE",
        ),
    }
}

fn cluster() -> Finding {
    const WHAT: &str = "Kubernetes";
    const WITHOUT: &str = "pods on other nodes and Services have no names: --kubeconfig FILE";
    match ClusterSource::find(None) {
        Ok(Some(_)) => Finding::fine(WHAT, "an API server is configured"),
        Ok(None) => Finding::not(WHAT, State::Lacking, "no kubeconfig", WITHOUT),
        Err(error) => Finding::not(WHAT, State::Lacking, chain(&error), WITHOUT),
    }
}

/// The directory of the CNI's configurations.
const CNI: &str = "/etc/cni/net.d";

fn networks() -> Finding {
    const WHAT: &str = "network";
    let names = fs::read_dir(CNI).into_iter().flatten().flatten();
    let names = names.map(|entry| shown(entry.file_name()));
    let mut names: Vec<_> = names.filter(|name| name.contains(".conf")).collect();
    names.sort();
    if names.is_empty() {
        let found = format!("no configuration of a CNI in {CNI}");
        return Finding::not(WHAT, State::Lacking, found, "is this a Kubernetes node?");
    }
    Finding::fine(WHAT, format!("CNI: {}", names.join(", ")))
}

fn connections() -> Finding {
    const WHAT: &str = "connections";
    let followed = NetNs::current().map_err(io::Error::other);
    match followed.and_then(|netns| Conntrack::follow(&netns)) {
        Ok(_) => Finding::fine(WHAT, "connection tracking tells translations"),
        Err(error) => Finding::not(
            WHAT,
            State::Lacking,
            unread(&error),
            "the content of packets alone decides which were translated",
        ),
    }
}

/// The clock that times come from.
const CLOCK: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

fn clock() -> Finding {
    const WHAT: &str = "clock";
    let Ok(source) = fs::read_to_string(CLOCK) else {
        return Finding::not(
            WHAT,
            State::Lacking,
            "unknown",
            "how exact times are, is not known",
        );
    };
    let source = source.trim();
    if matches!(
        source,
        "tsc" | "kvm-clock" | "arch_sys_counter" | "hyperv_clocksource_tsc_page"
    ) {
        return Finding::fine(WHAT, source);
    }
    Finding::not(
        WHAT,
        State::Lacking,
        source,
        "reading it takes long: each packet costs more, and times include that",
    )
}

fn unread(error: &io::Error) -> String {
    chain(error)
}
