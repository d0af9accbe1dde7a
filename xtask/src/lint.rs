//! `cargo xtask lint`: checks the direction of imports, whether builds share their crates,
//! licences and sources, formatting, clippy for both sides, and once more for arm64 with other
//! features.
mod circles;
mod deny;
mod direction;
mod paths;
mod rooms;
mod scopes;
mod shared;

use std::env::consts::ARCH;

use anyhow::Result;

use crate::{
    cmd::{Workspace, run as run_command, step},
    setup,
};

/// Runs every check; the first failure ends it. Where building lints the host's side, with default
/// features and with others, the one for arm64 is left out, too: it takes two minutes of a CPU.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    step("direction", || {
        direction::check(workspace.root(), "podtrace/src", rooms::LINES)
    })?;

    step("shared crates", || shared::check(workspace))?;

    setup::run(workspace)?;

    step("licences and sources", || deny::check(workspace))?;

    step("cargo fmt", || {
        run_command(workspace.cargo()?.args(["fmt", "--all", "--check"]))
    })?;

    if !workspace.lints_tests() {
        step("clippy (host)", || {
            run_command(workspace.cargo()?.args([
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]))
        })?;
    }

    // With a target directory of its own: the flags differ, and it need not wait for the
    // host's lock.
    step("clippy (bpf)", || {
        let mut clippy = workspace.cargo()?;
        clippy
            .env("RUSTC_BOOTSTRAP", "1")
            .env(
                "CARGO_ENCODED_RUSTFLAGS",
                format!("--cfg=bpf_target_arch=\"{ARCH}\""),
            )
            .args(["clippy", "-p", "podtrace-ebpf", "--bins", "--release"])
            .args(["--target", "bpfel-unknown-none", "-Z", "build-std=core"])
            .arg("--target-dir")
            .arg(workspace.root().join("target").join("bpf-lint"))
            .args(["--", "-D", "warnings"]);
        run_command(&mut clippy)
    })?;

    if workspace.lints_tests() {
        return Ok(());
    }
    setup::for_arm64(workspace)?;
    // One run for both: no code depends on the machine and on a feature at once. What only the
    // feature cluster has is linted with its tests, as its crates take long.
    step("clippy (arm64, no features)", || {
        run_command(workspace.cargo()?.args([
            "clippy",
            "-p",
            "podtrace",
            "--bins",
            "--no-default-features",
            "--target",
            setup::ARM64,
            "--",
            "-D",
            "warnings",
        ]))
    })
}
