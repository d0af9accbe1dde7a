//! Checks licences, sources and versions of all crates, and whether flaws of them are known, by
//! cargo-deny (xtask/deny.toml).

use std::process::Command;

use anyhow::Result;

use crate::{
    cmd::{Workspace, run},
    setup,
};

/// Fails if a crate may not be used.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let program = setup::cargo_deny(workspace)?;
    let deny = || {
        let mut command = Command::new(&program);
        command.current_dir(workspace.root());
        command.args(["--log-level", "error", "--config", "xtask/deny.toml"]);
        command
    };
    run(deny().args(["--locked", "check", "bans", "licenses", "sources"]))?;
    // Known flaws are in a repository of GitHub alone, which not every network leads to.
    match run(deny().args(["fetch", "db"])) {
        Ok(()) => run(deny().args(["--offline", "check", "advisories"])),
        Err(error) => {
            eprintln!(
                "    known flaws of crates: NOT CHECKED, their database is out of reach ({error:#})"
            );
            Ok(())
        }
    }
}
