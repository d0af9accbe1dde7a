//! The podtrace command.
use std::process::ExitCode;

fn main() -> ExitCode {
    podtrace::command::run(podtrace::cli::parse())
}
