//! `cargo xtask vmtest`: runs podtrace on other kernels than the host's.
//!
//! Kernels of Debian are booted in emulated machines, two at once. The initramfs of a
//! machine carries everything that it requires: podtrace, the end-to-end tests and `vm-init`
//! (tests/src/bin/vm_init.rs), which runs them.

mod docs;
mod image;
mod kernels;
mod modules;
mod plan;
mod programs;
mod qemu;
mod runner;
mod self_test;
mod suite;
mod table;
mod transcript;

use std::{
    convert::Infallible,
    env,
    env::consts::ARCH,
    panic,
    path::Path,
    process::ExitCode,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use anyhow::{Result, bail};

pub(crate) use self::programs::Programs;
use self::{
    docs::DocsTable,
    kernels::{Found, Kernel, LINES, Line},
    plan::Choice,
    qemu::Qemu,
    runner::{Report, Runner},
    suite::Suite,
    table::Table,
};
use crate::{
    apt::Host,
    cmd::{Workspace, step},
    report::Count,
};

/// What to test, on what
#[derive(Default, clap::Args)]
#[command(after_help = "\
Kernels: 5.10, 6.1, 6.12, 6.18 and newest, each the newest of its line that Debian
has. They, and qemu if the host's is too old, are unpacked under target/vm; nothing
is installed. Logs of every machine are in target/vm/logs.

Examples:
  cargo xtask vmtest                      the quick checks, on every kernel
  cargo xtask vmtest --quick              the quick checks, on 6.1, 6.12 and newest
  cargo xtask vmtest 6.1 --all-cases      all end-to-end tests on 6.1
  cargo xtask vmtest 5.10 6.1 -- churn    the tests with `churn` in their names
  cargo xtask vmtest --list -- replay     what would be run
  cargo xtask vmtest --write              the docs' table of kernels, anew

A machine is emulated, some ten times slower than the host: what measures time is
left out. A kernel that Debian no longer has is skipped, which is a failure in CI
(CI=true) unless its suite is archived.")]
pub(crate) struct Args {
    /// Only these kernels
    kernels: Vec<String>,

    /// Only the kernels that CI tries: 6.1, 6.12 and newest
    #[arg(long)]
    quick: bool,

    /// Run all end-to-end tests, not only the quick checks
    #[arg(long)]
    all_cases: bool,

    /// Write the docs' table of kernels, from the quick checks on every kernel
    #[arg(long, conflicts_with_all = ["kernels", "quick", "all_cases", "list", "filter"])]
    write: bool,

    /// Say what would be run, on which kernels
    #[arg(long)]
    list: bool,

    /// Run the end-to-end tests with one of these in their names
    #[arg(last = true, value_name = "TESTFILTER")]
    filter: Vec<String>,
}

impl Args {
    /// The selection of CI.
    pub(crate) fn quick() -> Self {
        Self {
            quick: true,
            ..Self::default()
        }
    }

    fn choice(&self) -> Choice<'_> {
        if !self.filter.is_empty() {
            Choice::Named(&self.filter)
        } else if self.all_cases {
            Choice::All
        } else {
            Choice::Quick
        }
    }
}

/// Runs the checks, or lists them. In any case, the last line is the count, and the exit code
/// agrees with it.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> ExitCode {
    let (_, at_once) = mpsc::channel();
    run_beside(at_once, workspace, args, || Programs::build(workspace))
}

/// [`run`] with these programs. A machine occupies one CPU: two run at once, the second once the
/// other end of `other` is dropped.
pub(crate) fn run_beside(
    other: mpsc::Receiver<Infallible>,
    workspace: &Workspace,
    args: &Args,
    programs: impl FnOnce() -> Result<Programs>,
) -> ExitCode {
    let mut total = Count::default();
    if let Err(error) = all(other, workspace, args, programs, &mut total) {
        eprintln!("error: {error:#}");
        total.failed += 1;
    }
    if !args.list {
        println!("{total}");
    }
    if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn all(
    other: mpsc::Receiver<Infallible>,
    workspace: &Workspace,
    args: &Args,
    programs: impl FnOnce() -> Result<Programs>,
    total: &mut Count,
) -> Result<()> {
    let lines = chosen(args)?;
    if ARCH != "x86_64" {
        println!("skipped: {} kernels: this is no x86-64", lines.len());
        total.skipped += u64::try_from(lines.len())?;
        return Ok(());
    }
    let programs = programs()?;
    let choice = args.choice();
    let checks = plan::checks(&choice, &programs.tests)?;

    let folder = workspace.root().join("target").join("vm");
    let host = Host::ask()?;
    let found = step("look for kernels", || {
        Ok(find(&lines, &host, &folder, total))
    })?;
    if args.list || found.is_empty() {
        for check in &checks {
            println!("{}", check.name);
        }
        return Ok(());
    }
    let kernels = step("fetch kernels", || {
        let unpack = |(line, found): (_, Found)| Ok((line, found.unpack(&folder)?));
        found.into_iter().map(unpack).collect::<Result<Vec<_>>>()
    })?;
    let qemu = step("fetch qemu", || Qemu::find(&host, &folder))?;
    println!("{}", qemu.version()?);

    let suite = Suite {
        image: programs.image(!choice.is_quick(), &folder)?,
        runner: Runner { qemu, folder },
        checks,
        is_quick: choice.is_quick(),
    };
    let docs = run_on(&kernels, &suite, (&programs.init, other), total);
    if args.write {
        let file = workspace.root().join("podtrace/docs/kernels.md");
        step("write the docs' table", || docs.write(&file))?;
    }
    Ok(())
}

/// Tests the machines themselves, then runs the checks on each kernel.
fn run_on(
    kernels: &[(&Line, Kernel)],
    suite: &Suite,
    (init, other): (&Path, mpsc::Receiver<Infallible>),
    total: &mut Count,
) -> DocsTable {
    if let Some((_line, kernel)) = kernels.first() {
        for (name, outcome) in self_test::run(&suite.runner, kernel, init) {
            println!("self-test: {name}: {outcome}");
            total.add(Count::from(&outcome));
        }
    }
    let (mut table, mut docs) = (Table::default(), DocsTable::default());
    for ((line, kernel), report) in kernels.iter().zip(reports(kernels, suite, other)) {
        let tables = (&mut table, &mut docs);
        match report {
            Ok(report) => suite.add(report, (line, kernel), tables, total),
            Err(error) => {
                println!("FAILED: kernel {}: {error:#}", line.name);
                total.failed += 1;
            }
        }
    }
    print!("\n{table}\n");
    docs
}

/// Runs the checks on each kernel, two at once when `other` is closed.
fn reports(
    kernels: &[(&Line, Kernel)],
    suite: &Suite,
    other: mpsc::Receiver<Infallible>,
) -> Vec<Result<Report>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((line, kernel)) = kernels.get(number) else {
                return done;
            };
            done.push((number, step(line.name, || suite.run(line, kernel))));
        }
    };
    let mut done = thread::scope(|scope| {
        let work = &work;
        let second = scope.spawn(move || match other.recv() {
            Ok(never) => match never {},
            Err(mpsc::RecvError) => work(),
        });
        let mut done = work();
        let second = second.join();
        done.extend(second.unwrap_or_else(|panic| panic::resume_unwind(panic)));
        done
    });
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, report)| report).collect()
}

/// The lines of kernels that the arguments select.
fn chosen(args: &Args) -> Result<Vec<&'static Line>> {
    for name in &args.kernels {
        if !LINES.iter().any(|line| line.name == name) {
            let names: Vec<_> = LINES.iter().map(|line| line.name).collect();
            bail!("no kernel {name}; there are {}", names.join(", "));
        }
    }
    let is_chosen = |line: &&Line| {
        let is_named = args.kernels.iter().any(|name| name == line.name);
        is_named || args.kernels.is_empty() && (line.quick || !args.quick)
    };
    Ok(LINES.iter().filter(is_chosen).collect())
}

/// Finds kernels and lists them. A missing one is skipped; in CI it is a failure, except for
/// those that Debian archives.
fn find(
    lines: &[&'static Line],
    host: &Host,
    folder: &Path,
    total: &mut Count,
) -> Vec<(&'static Line, Found)> {
    let is_ci = env::var("CI").is_ok_and(|ci| ci == "true");
    let mut all = Vec::new();
    for line in lines {
        match line.find(host, folder) {
            Ok(found) => {
                println!("{}: {found}", line.name);
                all.push((*line, found));
            }
            Err(error) if is_ci && !line.may_be_gone => {
                println!("FAILED: kernel {}: {error:#}", line.name);
                total.failed += 1;
            }
            Err(error) => {
                println!("skipped: kernel {}: {error:#}", line.name);
                total.skipped += 1;
            }
        }
    }
    all
}
