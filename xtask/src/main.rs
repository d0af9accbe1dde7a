//! podtrace's chores: `cargo xtask setup | demo | test | vmtest | bench |
//! guard | dist | fuzz | lint | ci`.

mod apt;
mod artifact;
mod bench;
mod ci;
mod cmd;
mod cpio;
mod demo;
mod dist;
mod files;
mod fuzz;
mod guard;
mod lint;
mod report;
mod setup;
mod test;
mod vmtest;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::cmd::Workspace;

/// podtrace's chores
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building and testing need, as far as it is missing
    Setup,
    /// Build podtrace and run `podtrace demo` as root
    Demo(demo::Args),
    /// Run every test; those that need a real kernel and namespaces as root
    Test(test::Args),
    /// Boot other kernels in qemu and run podtrace on them
    Vmtest(vmtest::Args),
    /// Measure podtrace beside its peers, as root
    Bench(bench::Args),
    /// Count the instructions that each stage takes for an event
    Guard(guard::Args),
    /// Build podtrace to be handed to others, and pack it: .deb, .rpm, OCI image
    Dist(dist::Args),
    /// Look for inputs that podtrace cannot stand: captures, packets, answers of the kernel,
    /// of runtimes and of the Kubernetes API
    Fuzz(fuzz::Args),
    /// Check the direction of imports, licences and the formatting, and run clippy for the host and the
    /// BPF target
    Lint,
    /// lint, guard, some fuzzing, vmtest --quick, then test
    Ci,
}

fn main() -> ExitCode {
    run(&Cli::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match &cli.task {
        Task::Setup => setup::for_tests(&workspace).map(|()| ExitCode::SUCCESS),
        Task::Demo(args) => demo::run(&workspace, args),
        Task::Test(args) => Ok(test::run(&workspace, args)),
        Task::Vmtest(args) => Ok(vmtest::run(&workspace, args)),
        Task::Bench(args) => bench::run(&workspace, args),
        Task::Guard(args) => guard::run(&workspace, args),
        Task::Dist(args) => dist::run(&workspace, args).map(|()| ExitCode::SUCCESS),
        Task::Fuzz(args) => fuzz::run(&workspace, args),
        Task::Lint => lint::run(&workspace).map(|()| ExitCode::SUCCESS),
        Task::Ci => ci::run(workspace),
    }
}
