//! The podtrace command.
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    podtrace::command::run(podtrace::cli::Cli::parse())
}
