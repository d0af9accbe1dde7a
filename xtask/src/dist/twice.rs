//! A second build, to compare with the first.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use super::SUMS;
use crate::cmd::{Workspace, output, run, step};

/// Refuses changes that are in no commit: the second build would lack them.
pub(super) fn begin(workspace: &Workspace) -> Result<()> {
    let mut git = Command::new("git");
    git.current_dir(workspace.root());
    let changed = output(git.args(["status", "--porcelain", "--untracked-files=no"]))?;
    ensure!(
        changed.is_empty(),
        "--twice builds the last commit again, which lacks these changes:\n{changed}"
    );
    Ok(())
}

/// Builds and packs the last commit once more, in a clone elsewhere that shares no target directory;
/// fails unless all packages are those in `out`.
pub(super) fn compare(workspace: &Workspace, for_arm64: bool, out: &Path) -> Result<()> {
    // The path is longer than the workspace's own, and inside it: one that is left would show up.
    let folder = workspace.root().join("target").join("twice");
    let clone = folder.join("a-clone-elsewhere");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    step("the same once more", || {
        let mut git = Command::new("git");
        let git = git.args(["clone", "--quiet", "--no-hardlinks"]);
        run(git.arg(workspace.root()).arg(&clone))?;
        let target = clone.join("target");
        fs::create_dir_all(&target)?;
        if workspace.tools().exists() {
            symlink(workspace.tools(), target.join("tools"))?;
        }
        let mut cargo = workspace.cargo()?;
        cargo.current_dir(&clone).env_remove("CARGO_TARGET_DIR");
        cargo.args(["run", "--quiet", "--package", "xtask", "--", "dist"]);
        if for_arm64 {
            cargo.arg("--arm64");
        }
        run(&mut cargo)
    })?;
    let again = clone.join("target").join("packages");
    let read = |folder: &Path| {
        let file = folder.join(SUMS);
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    let (first, second) = (read(out)?, read(&again)?);
    let different = different(&first, &second);
    if !different.is_empty() {
        bail!(
            "not the same in {} and {}: {}",
            out.display(),
            again.display(),
            different.join(", ")
        );
    }
    println!("all the same once more");
    Ok(fs::remove_dir_all(&folder)?)
}

/// The names whose checksums are not the same in both lists.
fn different<'a>(one: &'a str, other: &'a str) -> Vec<&'a str> {
    let lacks = |list: &str, line: &str| list.lines().all(|other| other != line);
    let only_one = one.lines().filter(|line| lacks(other, line));
    let only_other = other.lines().filter(|line| lacks(one, line));
    let lines = only_one.chain(only_other);
    let mut names: Vec<_> = lines
        .map(|line| line.rsplit(' ').next().unwrap_or(line))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_same_is_named_once() {
        let one = "00  a.deb\n11  a.rpm\n22  a\n";
        assert_eq!(different(one, one), [""; 0]);
        let other = "00  a.deb\n33  a.rpm\n44  b\n";
        assert_eq!(different(one, other), ["a", "a.rpm", "b"]);
        assert_eq!(different(one, ""), ["a", "a.deb", "a.rpm"]);
    }
}
