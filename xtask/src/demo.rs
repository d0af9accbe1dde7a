//! `cargo xtask demo`: from a fresh checkout to a traced packet.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{
    artifact,
    cmd::{Root, Workspace, exit_code, step},
    setup,
};

/// Arguments after `demo`, passed on to podtrace.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments for `podtrace demo`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Sets up, builds, runs `podtrace demo` as root and returns its exit code.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    setup::run(workspace)?;
    let podtrace = step("build podtrace (quick)", || {
        artifact::quick_podtrace(workspace)
    })?;

    let root = Root::find()
        .map_err(anyhow::Error::msg)
        .context("podtrace demo needs root")?;
    let mut command = root.command(&podtrace, &[]);
    command.arg("demo").args(&args.args);
    exit_code(&mut command)
}
