//! `cargo xtask guard`: checks whether a stage takes more instructions than before.
//!
//! Instructions do not depend on the machine's load, unlike time. A stage is run over one part
//! and over two parts of a fixed stream: the difference is the cost of one part, without start
//! and end.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    artifact,
    cmd::{Workspace, show, step},
    setup,
};

/// The stages, each with the traffic that it is measured with.
const STAGES: [&str; 16] = [
    "mixed/decode",
    "mixed/identify",
    "mixed/join",
    "mixed/text",
    "mixed/json",
    "mixed/pcapng write",
    "mixed/pcapng read",
    "mixed/wire encode",
    "mixed/wire decode",
    "mixed/wire to paths",
    "mixed/pipeline to text",
    "mixed/pipeline to session",
    "lossy/join",
    "tcp/join",
    "service/join",
    "segments/join",
];
/// The function that runs a stage and nothing else (benches/stages/guard.rs).
const COUNTED: &str = "*guard::counted*";
/// Events in a part of the stream (benches/stages/guard.rs).
const PART: u64 = 9600;
/// The tolerance of a stage, in percent.
const MAY_DIFFER: u64 = 20;
/// The recorded instructions of the stages per event.
const KNOWN: &str = "podtrace/benches/instructions.txt";

/// Options of the guard.
#[derive(Default, clap::Args)]
pub(crate) struct Args {
    /// Write down what the stages take now
    #[arg(long)]
    update: bool,
}

/// Measures every stage; fails if one takes too many instructions.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    setup::for_guard(workspace)?;
    let stages = step("build the stages (release)", || artifact::stages(workspace))?;
    let measured = step("count instructions", || {
        let each = STAGES.map(|stage| Ok((stage.to_owned(), per_event(&stages, stage)?)));
        each.into_iter().collect::<Result<BTreeMap<_, _>>>()
    })?;
    let known = workspace.root().join(KNOWN);
    if args.update {
        fs::write(&known, written(&measured))
            .with_context(|| format!("cannot write {}", known.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let text =
        fs::read_to_string(&known).with_context(|| format!("cannot read {}", known.display()))?;
    let verdict = compare(&read(&text)?, &measured);
    eprint!("{}", verdict.report);
    Ok(if verdict.is_fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Instructions of a stage per event.
fn per_event(stages: &Path, stage: &str) -> Result<u64> {
    let [one, two] = [1, 2].map(|parts| instructions(stages, stage, parts));
    Ok(two?.saturating_sub(one?) / PART)
}

/// Instructions of a whole run over this many parts.
fn instructions(stages: &Path, stage: &str, parts: u32) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(stages)
        .env("PODTRACE_STAGE", format!("{stage}/{parts}"));
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", show(&command)))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{} failed: {}\n{stderr}", show(&command), output.status);
    }
    collected(&stderr).with_context(|| format!("{} counted nothing:\n{stderr}", show(&command)))
}

/// The number after `Collected :`, the last output of callgrind.
fn collected(stderr: &str) -> Option<u64> {
    let (_, count) = stderr.rsplit_once("Collected :")?;
    count.split_whitespace().next()?.parse().ok()
}

/// One line per stage: `mixed/decode = 858`.
fn written(measured: &BTreeMap<String, u64>) -> String {
    let mut text =
        String::from("# Instructions per event of each stage, by `cargo xtask guard --update`.\n");
    for (stage, count) in measured {
        let _ = writeln!(text, "{stage} = {count}");
    }
    text
}

fn read(text: &str) -> Result<BTreeMap<String, u64>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (stage, count) = line.split_once(" = ").context("no count")?;
            Ok((stage.to_owned(), count.parse()?))
        })
        .map(|entry: Result<_>| entry.with_context(|| format!("in {KNOWN}")))
        .collect()
}

struct Verdict {
    report: String,
    is_fine: bool,
}

fn compare(known: &BTreeMap<String, u64>, measured: &BTreeMap<String, u64>) -> Verdict {
    let (mut report, mut is_fine, mut is_old) = (String::new(), true, false);
    for (stage, now) in measured {
        let Some(before) = known.get(stage) else {
            let _ = writeln!(report, "    {stage}: {now} instructions per event, new");
            is_old = true;
            continue;
        };
        let (least, most) = (before * (100 - MAY_DIFFER), before * (100 + MAY_DIFFER));
        let remark = match now * 100 {
            now if now > most => ": too many",
            now if now < least => ": many fewer",
            _ => "",
        };
        is_fine &= now * 100 <= most;
        is_old |= now * 100 < least;
        let _ = writeln!(
            report,
            "    {stage}: {now} instructions per event, were {before}{remark}"
        );
    }
    if is_old || !is_fine {
        report += "    if that is as it should be: cargo xtask guard --update\n";
    }
    Verdict { report, is_fine }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        let counts = counts.iter();
        counts
            .map(|(stage, count)| ((*stage).to_owned(), *count))
            .collect()
    }

    #[test]
    fn a_fifth_more_fails_and_a_fifth_less_is_reported() {
        let known = counts(&[("a/b", 1000), ("c/d e", 10)]);
        assert_eq!(read(&written(&known)).unwrap(), known);
        for (now, is_fine, says) in [
            (1000, true, false),
            (1200, true, false),
            (1201, false, true),
            (800, true, false),
            (799, true, true),
        ] {
            let verdict = compare(&known, &counts(&[("a/b", now), ("c/d e", 10)]));
            assert_eq!(verdict.is_fine, is_fine, "{now}");
            assert_eq!(verdict.report.contains("--update"), says, "{now}");
        }
        assert!(
            compare(&known, &counts(&[("new", 1)]))
                .report
                .contains("--update")
        );
    }

    #[test]
    fn callgrind_tells_its_count_last() {
        let stderr = "==7== Events    : Ir\n==7== Collected : 56966737\n==7== \n";
        assert_eq!(collected(stderr), Some(56_966_737));
        assert_eq!(collected("==7== nothing"), None);
    }
}
