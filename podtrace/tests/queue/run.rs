//! Runs podtrace.
use std::process::Command;

use super::session::folder;

/// podtrace in the folder of the recordings.
pub(crate) fn podtrace(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podtrace"));
    command.arg("--no-config").args(args).current_dir(folder());
    command
}
