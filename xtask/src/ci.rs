//! `cargo xtask ci`: everything a change has to pass.

use std::process::ExitCode;

use anyhow::Result;

use crate::{cmd::Workspace, lint, test};

/// Lints, then tests; the tests' count is the last line.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    lint::run(workspace)?;
    Ok(test::run(workspace))
}
