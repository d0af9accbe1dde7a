//! The commands, and how errors and exit codes leave them.
mod about;
mod agent;
mod cleanup;
mod cluster;
mod demo;
mod diagnose;
mod doctor;
mod extcap;
mod failure;
mod fetch;
mod filter;
mod flows;
#[cfg(feature = "cluster")]
mod join;
mod lab;
mod lake;
mod manifest;
mod mcp;
mod replay;
mod screen;
mod setup;
mod stop;
mod topology;
mod trace;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow, bail};
use nix::{
    errno::Errno,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{SigHandler, Signal, signal},
    },
    unistd::isatty,
};

use crate::{
    cgroup,
    cli::{Cli, Color, Command},
    output::width::Width,
    sink::{Named, status::is_dumb},
};

/// Success.
const FINE: u8 = 0;
/// Problems were found and `--check` was given.
const PROBLEMS: u8 = 1;
/// The command failed.
const ERROR: u8 = 2;
/// What was asked for is not known.
const UNKNOWN: u8 = 3;
/// Events were lost and `--strict` was given.
const LOST: u8 = 4;

/// A signal came before all input was read.
const INTERRUPTED: u8 = 130;

/// Runs a command and returns how it ended.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    if let Some(words) = cli.command.contradiction() {
        failure::tell(&anyhow!(words));
        return ExitCode::from(ERROR);
    }
    let result = prepare().and_then(|()| match cli.command {
        Command::Trace(args) if args.view.screen.tui => screen::trace(&args),
        Command::Trace(args) if args.cluster.elsewhere().is_some() => cluster::trace(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Record(args) if args.cluster.elsewhere().is_some() => fetch::run(&args),
        Command::Record(args) => trace::record(&args),
        Command::Replay(args) if args.view.screen.tui => screen::replay(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Diagnose(args) => diagnose::run(&args),
        Command::Flows(args) => flows::run(&args),
        Command::Stats(args) => replay::stats(&args),
        Command::Report(args) => replay::report(&args),
        Command::Export(args) => match &args.into.lake {
            Some(url) => lake::write(&args, url),
            None => replay::export(&args),
        },
        Command::Topology(args) => topology::run(&args),
        Command::Doctor(args) => doctor::run(args),
        Command::Demo(args) => demo::run(&args),
        Command::Lab(args) => lab::run(&args),
        Command::Cleanup => cleanup::run(),
        Command::Agent(args) => agent::run(&args),
        Command::Extcap(args) => extcap::run(&args),
        Command::Manifest(args) => manifest::run(&args),
        Command::Query(args) => lake::query(&args),
        Command::Lake(args) => lake::run(&args),
        Command::Mcp(args) => mcp::run(&args),
        #[cfg(feature = "cluster")]
        Command::Publish(args) => join::publish(&args),
        #[cfg(feature = "cluster")]
        Command::Join(args) => join::run(&args),
        #[cfg(not(feature = "cluster"))]
        Command::Publish(_) | Command::Join(_) => bail!(
            "this podtrace is built without the queue\n\
             hint: build it with the feature cluster: cargo build --release --features cluster"
        ),
        Command::Schema { of } => about::schema(of),
        Command::Completions { shell } => about::completions(shell),
        Command::Man { page } => about::man(page.as_deref()),
    });
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if has_reader_left(&error) => ExitCode::from(FINE),
        Err(error) => {
            failure::tell(&error);
            ExitCode::from(ERROR)
        }
    }
}

/// Prepares the process for any command.
fn prepare() -> anyhow::Result<()> {
    // A write beyond the limit of a file's size then fails instead of ending the process.
    // SAFETY: no handler runs: the signal is ignored.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.context("failed to ignore a signal")?;
    // Without privileges there is nothing to look at there.
    let _ = cgroup::fs::enter_first();
    raise_descriptors()
}

/// Open files that every command needs.
const DESCRIPTORS: u64 = 64;

/// Raises the limit of open files as far as the process may: a tap takes a descriptor for each
/// direction.
fn raise_descriptors() -> anyhow::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("failed to read a limit")?;
    if hard < DESCRIPTORS {
        bail!(
            "only {hard} files may be open, which takes {DESCRIPTORS} at least\nhint: raise the limit: ulimit -Hn"
        );
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("failed to raise a limit")
}

/// Whether the reader of the output has left, which is no error: a pipe was closed, or a
/// terminal.
fn has_reader_left(error: &anyhow::Error) -> bool {
    let causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    let mut numbers = causes.map(|error| (error.kind(), error.raw_os_error()));
    numbers.any(|(kind, number)| {
        kind == io::ErrorKind::BrokenPipe || number == Some(libc::EIO) && is_hung_up()
    })
}

/// Whether standard output was a terminal that is closed by now.
fn is_hung_up() -> bool {
    isatty(io::stdout()) == Err(Errno::EIO)
}

/// Prints to standard output.
fn print_out(text: &str) -> io::Result<()> {
    let mut stdout = Named::stdout();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// How wide standard output is.
fn width() -> Width {
    use std::io::IsTerminal as _;
    if io::stdout().is_terminal() {
        Width::Terminal
    } else {
        Width::Any
    }
}

/// Whether to use colours on standard output.
fn use_color(when: Color) -> bool {
    use std::io::IsTerminal as _;
    match when {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && !is_dumb()
                && io::stdout().is_terminal()
        }
    }
}
