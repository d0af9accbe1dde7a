//! `cargo xtask lint`: the direction of imports, whether builds share their crates,
//! formatting, clippy for both sides, and whether it builds without features and for arm64.
mod circles;
mod direction;
mod paths;
mod rooms;
mod shared;

use std::env::consts::ARCH;

use anyhow::Result;

use crate::{
    cmd::{Workspace, run as run_command, step},
    setup,
};

/// Runs every check; the first that fails ends it.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    step("direction", || {
        direction::check(workspace.root(), "podtrace/src", rooms::LINES)
    })?;

    step("shared crates", || shared::check(workspace))?;

    setup::run(workspace)?;

    step("cargo fmt", || {
        run_command(workspace.cargo()?.args(["fmt", "--all", "--check"]))
    })?;

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

    step("clippy (no features)", || {
        run_command(workspace.cargo()?.args([
            "clippy",
            "-p",
            "podtrace",
            "--all-targets",
            "--no-default-features",
            "--",
            "-D",
            "warnings",
        ]))
    })?;

    // Its own target directory: other flags, and no waiting for the host's lock.
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

    setup::for_arm64(workspace)?;
    step("check (arm64)", || {
        run_command(
            workspace
                .cargo()?
                .args(["check", "-p", "podtrace", "--target", setup::ARM64]),
        )
    })
}
