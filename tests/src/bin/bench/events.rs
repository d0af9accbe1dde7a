//! Kernel time of each event while a flood is recorded, in nanoseconds, by the kernel's
//! statistics of BPF programs.
use std::{collections::BTreeMap, fs, slice, time::Duration};

use anyhow::{Context as _, Result};
use aya::{
    programs::loaded_programs,
    sys::{Stats, enable_stats},
};
use podtrace::lab::traffic::flood::FloodSpec;
use podtrace_ebpf::config::{PROGRAM_EGRESS, PROGRAM_INGRESS, PROGRAM_SOCKET};

use crate::{
    Effort,
    flood::flood,
    report::{Group, Measured, Row, in_turns},
    site::{Route, Site},
    tool::{Observer, Tool},
};

/// The programs, with the unit of their cost.
const PROGRAMS: [(&str, &str); 3] = [
    (PROGRAM_INGRESS, "ns ingress"),
    (PROGRAM_EGRESS, "ns egress"),
    (PROGRAM_SOCKET, "ns socket"),
];

/// Runs and nanoseconds, by program.
type Runs = BTreeMap<String, (u64, f64)>;

/// The cost of an event on both routes.
pub(crate) fn measure(site: &Site, effort: &Effort) -> Result<Measured> {
    let routes = site.routes()?;
    let duration = effort.pick(Duration::from_secs(1), Duration::from_millis(300));
    let turns = in_turns(effort.rounds, &routes, |route| turn(site, *route, duration))?;
    let rows = routes.iter().zip(&turns).map(|(route, turns)| {
        let all = turns.iter().map(|runs| {
            let (count, ns) = runs
                .values()
                .fold((0, 0.0), |(count, ns), one| (count + one.0, ns + one.1));
            ns / count as f64
        });
        let mut row = Row::new(route.name, all);
        for (program, unit) in PROGRAMS {
            let each = turns.iter().filter_map(|runs| {
                let (count, ns) = runs.get(program)?;
                (*count > 0).then(|| ns / *count as f64)
            });
            let each: Vec<_> = each.collect();
            // No socket of the lab is in a watched cgroup.
            if !each.is_empty() {
                row = row.beside(unit, each);
            }
        }
        row
    });
    let title = "an event of a recorded flood, 64 B";
    let unit = "ns, the statistics' own cost included";
    let group = Group::listed(title, unit, rows);
    Ok(Measured {
        groups: vec![group],
        ..Measured::default()
    })
}

fn turn(site: &Site, route: Route<'_>, duration: Duration) -> Result<Runs> {
    let node = slice::from_ref(route.node);
    let observer = Observer::start(Tool::Record, site, &site.lab, node, &[])?;
    let observer = observer.context("nothing observes")?;
    // Enabled until it is dropped.
    let statistics = enable_stats(Stats::RunTime)?;
    let before = runs(observer.pid())?;
    flood(
        route,
        FloodSpec {
            payload: 64,
            duration,
        },
    )?;
    let mut runs = runs(observer.pid())?;
    drop(statistics);
    observer.finish()?;
    for (name, (count, ns)) in &mut runs {
        let (count_before, ns_before) = before.get(name).copied().unwrap_or_default();
        *count -= count_before;
        *ns -= ns_before;
    }
    Ok(runs)
}

/// The runs so far of a process's programs. Others with the same names may be loaded.
fn runs(pid: u32) -> Result<Runs> {
    let ids = program_ids(pid)?;
    let mut runs = Runs::new();
    for program in loaded_programs() {
        let program = program?;
        let name = program.name_as_str().unwrap_or_default();
        let is_tap = PROGRAMS.iter().any(|(tap, _)| *tap == name);
        if is_tap && ids.contains(&program.id()) {
            let run = runs.entry(name.to_owned()).or_default();
            run.0 += program.run_count();
            run.1 += program.run_time().as_nanos() as f64;
        }
    }
    Ok(runs)
}

/// The BPF programs that a process has open, or has links to.
fn program_ids(pid: u32) -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // One may be closed meanwhile.
        let info = fs::read_to_string(entry?.path()).unwrap_or_default();
        let id = info.lines().find_map(|line| line.strip_prefix("prog_id:"));
        ids.extend(id.and_then(|id| id.trim().parse::<u32>().ok()));
    }
    Ok(ids)
}
