//! `cargo xtask bench`: measures podtrace and its peers in one run.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{
    artifact,
    cmd::{Root, Workspace, exit_code, step},
    setup,
};

/// Arguments after `bench`, passed on to the benchmark.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments for the benchmark; --help lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Sets up, builds, runs the benchmark as root and returns its exit code.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    setup::for_bench(workspace)?;
    let podtrace = step("build podtrace (release)", || artifact::podtrace(workspace))?;
    let bench = step("build the benchmark", || artifact::bench(workspace))?;
    let stages = step("build the stages", || artifact::stages(workspace))?;
    let lab = step("build the CRI lab's programs", || {
        artifact::lab_programs(workspace)
    })?;
    let root = Root::find()
        .map_err(anyhow::Error::msg)
        .context("the benchmark needs root")?;
    let vars = [
        ("PODTRACE_BIN", podtrace.as_os_str()),
        ("STAGES_BIN", stages.as_os_str()),
        ("PODTRACE_LAB_NODE", lab.node.as_os_str()),
        ("PODTRACE_LAB_PEER", lab.peer.as_os_str()),
    ];
    // Other work of the machine must not be measured.
    let mut command = root.command("nice", &vars);
    command.args(["-n", "-15"]).arg(&bench).args(&args.args);
    exit_code(&mut command)
}
