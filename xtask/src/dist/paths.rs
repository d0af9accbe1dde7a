//! The source paths that rustc stores for panics: without paths of this machine. Cargo cannot
//! remove them itself yet, and no file of the workspace can name them.

use std::{
    env,
    ffi::OsString,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{cmd::Workspace, setup::sysroot};

/// Directories of this machine that the compiler reads source from, and their replacements. A
/// directory inside another comes after it: the last match applies.
pub(super) struct MachinePaths([(PathBuf, &'static str); 3]);

impl MachinePaths {
    pub(super) fn find(workspace: &Workspace) -> Result<Self> {
        let home = || Some(Path::new(&env::var_os("HOME")?).join(".cargo"));
        let cargo = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home);
        Ok(Self([
            (workspace.root().to_owned(), "podtrace"),
            (sysroot(workspace)?, "rust"),
            (cargo.context("cargo has no home")?, "cargo"),
        ]))
    }

    /// Flags of rustc, in cargo's encoding.
    pub(super) fn flags(&self) -> OsString {
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

    /// The paths that a binary still contains, with the text after each.
    pub(super) fn left_in(&self, binary: &[u8]) -> Vec<String> {
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

/// The text at the begin, up to its end or a maximum.
fn text_at(bytes: &[u8]) -> String {
    const LEN_MAX: usize = 160;
    let text = bytes.iter().take(LEN_MAX);
    let text = text.take_while(|byte| (b' '..=b'~').contains(*byte));
    text.map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine_paths() -> MachinePaths {
        MachinePaths([
            ("/home/me/podtrace".into(), "podtrace"),
            ("/home/me/.rustup/x".into(), "rust"),
            ("/home/me/.cargo".into(), "cargo"),
        ])
    }

    #[test]
    fn paths_that_are_left_are_found() {
        let binary = b"\0/home/me/.cargo/registry/a.rs\0/home/you/b.rs/home/me/podtrace/c.rs\x01";
        assert_eq!(
            machine_paths().left_in(binary),
            ["/home/me/podtrace/c.rs", "/home/me/.cargo/registry/a.rs"]
        );
        assert!(machine_paths().left_in(b"cargo/registry/a.rs").is_empty());
    }

    #[test]
    fn each_machine_path_is_remapped() {
        let flags = machine_paths().flags().into_string().unwrap();
        let flags: Vec<_> = flags.split('\x1f').collect();
        let cargo = "--remap-path-prefix=/home/me/.cargo=cargo";
        assert_eq!((flags.len(), flags[2]), (3, cargo));
    }
}
