//! `cargo xtask dist`: podtrace as it is handed to others.
//!
//! The profile makes it small, which takes minutes. What rustc says of places in the source,
//! for panics, it says without the paths of this machine: cargo cannot leave them out by
//! itself yet, and no file of the workspace can name them.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    artifact,
    cmd::{Workspace, show, step},
};

/// Builds podtrace, and says where it is and how large; fails where a path of this machine is
/// left in it.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let places = Places::find(workspace)?;
    let binary = step("build podtrace (dist)", || {
        artifact::dist(workspace, &places.flags())
    })?;
    let bytes = fs::read(&binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let left = places.left_in(&bytes);
    println!(
        "{}: {:.1} MB ({} bytes), {} paths of this machine",
        binary.display(),
        bytes.len() as f64 / 1e6,
        bytes.len(),
        left.len()
    );
    if let Some(first) = left.first() {
        bail!("{} holds paths of this machine: {first}", binary.display());
    }
    Ok(())
}

/// Directories of this machine that the compiler reads source from, and what they are called
/// instead. One within another comes after it: the last that fits is taken.
struct Places([(PathBuf, &'static str); 3]);

impl Places {
    fn find(workspace: &Workspace) -> Result<Self> {
        let mut rustc = Command::new("rustc");
        rustc
            .current_dir(workspace.root())
            .args(["--print", "sysroot"]);
        let printed = rustc
            .output()
            .with_context(|| format!("cannot run {}", show(&rustc)))?;
        let sysroot = String::from_utf8(printed.stdout).context("the sysroot is not UTF-8")?;
        let home = || Some(Path::new(&env::var_os("HOME")?).join(".cargo"));
        let cargo = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home);
        Ok(Self([
            (workspace.root().to_owned(), "podtrace"),
            (sysroot.trim_end().into(), "rust"),
            (cargo.context("cargo has no home")?, "cargo"),
        ]))
    }

    /// Flags of rustc, as cargo takes them encoded.
    fn flags(&self) -> OsString {
        let mut flags = OsString::new();
        for (path, instead) in &self.0 {
            if !flags.is_empty() {
                flags.push("\x1f");
            }
            flags.push("--remap-path-prefix=");
            flags.push(path);
            flags.push(format!("={instead}"));
        }
        flags
    }

    /// The paths that are in a binary all the same, with what follows each.
    fn left_in(&self, binary: &[u8]) -> Vec<String> {
        let mut left = Vec::new();
        for (path, _) in &self.0 {
            let path = path.as_os_str().as_bytes();
            let found = binary.windows(path.len()).enumerate();
            let found = found.filter(|(_, bytes)| *bytes == path);
            left.extend(found.map(|(at, _)| text_at(&binary[at..])));
        }
        left
    }
}

/// The text at the beginning, as far as it goes or is worth reading.
fn text_at(bytes: &[u8]) -> String {
    const LEN_MAX: usize = 160;
    let text = bytes.iter().take(LEN_MAX);
    let text = text.take_while(|byte| (b' '..=b'~').contains(*byte));
    text.map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places([
            ("/home/me/podtrace".into(), "podtrace"),
            ("/home/me/.rustup/x".into(), "rust"),
            ("/home/me/.cargo".into(), "cargo"),
        ])
    }

    #[test]
    fn paths_that_are_left_are_found() {
        let binary = b"\0/home/me/.cargo/registry/a.rs\0/home/you/b.rs/home/me/podtrace/c.rs\x01";
        assert_eq!(
            places().left_in(binary),
            ["/home/me/podtrace/c.rs", "/home/me/.cargo/registry/a.rs"]
        );
        assert!(places().left_in(b"cargo/registry/a.rs").is_empty());
    }

    #[test]
    fn each_place_is_called_something_else() {
        let flags = places().flags().into_string().unwrap();
        let flags: Vec<_> = flags.split('\x1f').collect();
        let cargo = "--remap-path-prefix=/home/me/.cargo=cargo";
        assert_eq!((flags.len(), flags[2]), (3, cargo));
    }
}
