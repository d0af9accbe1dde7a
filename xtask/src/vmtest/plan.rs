//! The checks to run in the machines.

use std::{path::Path, time::Duration};

use anyhow::{Result, bail};

use crate::test::{cases, named};

/// The end-to-end cases that every kernel has to pass, also with `--quick`, and their titles
/// in the docs: all programs load, with the substitutes for missing features; a recording
/// replays with the same output; and no active attachment remains when podtrace is killed.
const QUICK: &[(&str, &str)] = &[
    (
        "cases::load::what_the_kernel_has_is_used",
        "what there is of the below is used",
    ),
    (
        "cases::load::every_variant_is_loaded",
        "every variant of the programs is loaded",
    ),
    (
        "cases::load::every_fall_back_counts_each_packet",
        "every fall-back counts each packet",
    ),
    (
        "cases::program::frames_of_every_length_arrive_whole_or_cut_at_the_snap_length",
        "frames of every length",
    ),
    (
        "cases::program::drops::dropped_packet_is_told_with_its_headers_and_why",
        "dropped packets",
    ),
    (
        "cases::program::sampling::headers_only_leaves_out_the_payload",
        "headers only",
    ),
    (
        "cases::sessions::replay::text_of_every_scenario_is_the_same",
        "record and replay",
    ),
    (
        "cases::killed::kill_leaves_nothing_by_tcx_and_dead_stubs_by_clsact",
        "SIGKILL, cleanup",
    ),
];
/// The title of the demo in the docs.
const DEMO: &str = "`podtrace demo`";
/// Prefixes of cases that are meaningless under emulation, where a CPU stops for milliseconds
/// in the middle of a program.
const TIMED: &[&str] = &[
    "cases::attaching::paths_from_before_all_is_attached",
    "cases::attaching::signal_while_it_attaches_ends_it_soon",
    "cases::sessions::merge::clocks_that_differ",
    "cases::sessions::merge::traffic_one_way",
];
/// Upper bound of the time of a check.
const LIMIT: Duration = Duration::from_secs(300);

/// Paths in a machine.
pub(super) const PODTRACE: &str = "/usr/bin/podtrace";
pub(super) const TESTS: &str = "/usr/bin/podtrace-tests";

/// A command whose success is checked.
pub(super) struct Check {
    /// Its name in the machine.
    pub(super) name: String,
    words: Vec<String>,
}

impl Check {
    pub(super) fn command(name: &str, words: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            words: words.iter().copied().map(str::to_owned).collect(),
        }
    }

    /// One of the end-to-end tests, in a process of its own: if it hangs or crashes, the
    /// others are not affected.
    fn case(name: &str) -> Self {
        let options = ["--exact", name, "--test-threads=1", "--show-output"];
        Self::command(name, &[&[TESTS][..], &options].concat())
    }

    /// A line for `vm-init`.
    pub(super) fn line(&self) -> String {
        let seconds = LIMIT.as_secs();
        format!("{}\t{seconds}\t{}", self.name, self.words.join("\t"))
    }

    /// Its title in the docs, if they have it.
    pub(super) fn title(&self) -> Option<&'static str> {
        if self.name == "demo" {
            return Some(DEMO);
        }
        let mut quick = QUICK.iter();
        quick.find_map(|(name, title)| (*name == self.name).then_some(*title))
    }

    /// Its row in the table: cases by their module.
    pub(super) fn group(&self) -> &str {
        let mut colons = self.name.match_indices("::");
        let end = colons.nth(1).map(|(at, _colons)| at);
        self.name
            .get(..end.unwrap_or(self.name.len()))
            .unwrap_or(&self.name)
    }
}

/// The selection of checks.
pub(super) enum Choice<'a> {
    Quick,
    All,
    /// The cases whose names contain one of these.
    Named(&'a [String]),
}

impl Choice<'_> {
    pub(super) fn is_quick(&self) -> bool {
        matches!(self, Self::Quick)
    }
}

/// The selected checks among the tests in a binary.
pub(super) fn checks(choice: &Choice, tests: &Path) -> Result<Vec<Check>> {
    let cases = cases(tests)?;
    let cases = match choice {
        Choice::Quick => {
            let quick = QUICK.iter().map(|(name, _title)| (*name).to_owned());
            let quick: Vec<_> = quick.collect();
            if let Some(missing) = quick.iter().find(|name| !cases.contains(name)) {
                bail!("there is no test {missing}");
            }
            quick
        }
        Choice::All => {
            let is_timed = |case: &String| TIMED.iter().any(|begin| case.starts_with(begin));
            cases.into_iter().filter(|case| !is_timed(case)).collect()
        }
        Choice::Named(parts) => named(cases, parts)?,
    };
    let mut checks = Vec::new();
    if !matches!(choice, Choice::Named(_)) {
        checks.push(Check::command("demo", &[PODTRACE, "demo"]));
    }
    checks.extend(cases.iter().map(|name| Check::case(name)));
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_what_vm_init_reads() {
        let check = Check::command("demo", &["/usr/bin/podtrace", "demo"]);
        assert_eq!(check.line(), "demo\t300\t/usr/bin/podtrace\tdemo");
    }

    /// A renamed case is detected at once, not after a machine has booted.
    #[test]
    fn quick_cases_exist() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/src");
        let names = QUICK.iter().map(|(name, _title)| *name);
        for name in names.chain(TIMED.iter().copied()) {
            let (module, case) = name.rsplit_once("::").unwrap();
            let file = sources.join(module.replace("::", "/")).with_extension("rs");
            let source = std::fs::read_to_string(&file).unwrap();
            assert!(source.contains(&format!("fn {case}")), "{name}");
        }
    }

    #[test]
    fn cases_are_grouped_by_module() {
        let group = |name: &str| Check::case(name).group().to_owned();
        assert_eq!(group("cases::lab::a_panic_leaves_nothing"), "cases::lab");
        assert_eq!(group("cases::sessions::kill::a"), "cases::sessions");
        assert_eq!(group("cri_lab::home::tests"), "cri_lab::home");
        assert_eq!(group("demo"), "demo");
    }
}
