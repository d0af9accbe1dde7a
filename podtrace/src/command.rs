//! The commands, and how errors and exit codes leave them.
mod cleanup;
mod demo;
mod lab;
mod replay;
mod setup;
mod topology;
mod trace;

use std::{io, process::ExitCode};

use crate::cli::{Cli, Color, Command};

/// Everything went well.
const FINE: u8 = 0;
/// Problems were found and `--check` was given.
const PROBLEMS: u8 = 1;
/// Could not do what was asked.
const ERROR: u8 = 2;
/// Events were lost and `--strict` was given.
const LOST: u8 = 4;

/// Runs a command and tells how it ended.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Trace(args) => trace::run(&args),
        Command::Record(args) => trace::record(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Stats(args) => replay::stats(&args),
        Command::Export(args) => replay::export(&args),
        Command::Topology(args) => topology::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Lab(args) => lab::run(&args),
        Command::Cleanup => cleanup::run(),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::from(FINE),
        Err(error) => {
            eprintln!("podtrace: {error:#}");
            ExitCode::from(ERROR)
        }
    }
}

/// Whoever read our output has gone: nothing to complain about.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Whether to use colours on standard output.
fn use_color(when: Color) -> bool {
    use std::io::IsTerminal as _;
    match when {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && io::stdout().is_terminal()
        }
    }
}
