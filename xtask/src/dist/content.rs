//! What a package installs.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{
    gzip, read,
    texts::{self, Program},
};
use crate::cmd::Workspace;

/// What all packages are called by.
pub(super) struct Release {
    pub(super) version: &'static str,
    pub(super) machine: &'static Machine,
    /// The time of all files, in seconds since 1970.
    pub(super) time: u32,
}

/// A kind of machine, by the names that others have for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// Also RPM's.
    pub(super) rust: &'static str,
    /// Also that of OCI.
    pub(super) debian: &'static str,
    /// Its number in an ELF header.
    elf: u16,
    /// Its number in the lead of an RPM.
    pub(super) rpm: u16,
}

const MACHINES: [Machine; 2] = [
    Machine {
        rust: "x86_64",
        debian: "amd64",
        elf: 62,
        rpm: 1,
    },
    Machine {
        rust: "aarch64",
        debian: "arm64",
        elf: 183,
        rpm: 19,
    },
];

/// The machine that a program is for, if it is one of Linux.
pub(super) fn machine(program: &[u8]) -> Option<&'static Machine> {
    let number = program.strip_prefix(b"\x7fELF")?.get(14..16)?;
    let number = u16::from_le_bytes(number.try_into().ok()?);
    MACHINES.iter().find(|machine| machine.elf == number)
}

/// What the packages say of podtrace.
pub(super) const ABOUT: [&str; 4] = [
    "podtrace follows packets through a node, hop by hop, by eBPF programs that",
    "only watch, and names pods and containers. podtrace-recorder.service is a",
    "flight recorder of a node's packets, podtrace-agent.service traces when a",
    "console elsewhere asks; both are off by default.",
];

/// What runs as a service: each has a unit, and a configuration.
const SERVICES: [&str; 2] = ["agent", "recorder"];

/// A file that is installed.
#[derive(Clone)]
pub(super) struct File {
    /// Without the leading slash.
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Program,
    /// Kept as the user changed it.
    Configuration,
    Documentation,
    Other,
}

/// The files of a package, by path.
pub(super) struct Content(pub(super) Vec<File>);

/// The place of what every package has to have with it.
pub(super) const DOCUMENTS: &str = "usr/share/doc/podtrace";

/// The folders that belong to podtrace alone.
pub(super) const OWN_FOLDERS: [&str; 2] = ["etc/podtrace", DOCUMENTS];

impl Content {
    /// Collects the files of a podtrace, which runs to print some of them.
    pub(super) fn collect(
        workspace: &Workspace,
        program: &Program<'_>,
        bytes: &[u8],
        notices: &str,
    ) -> Result<Self> {
        let deploy = workspace.root().join("podtrace/deploy");
        let mut files = vec![
            file("usr/bin/podtrace", Kind::Program, bytes),
            file(
                format!("{DOCUMENTS}/copyright"),
                Kind::Documentation,
                super::notices::copyright(workspace)?,
            ),
            file(
                format!("{DOCUMENTS}/notices.txt.gz"),
                Kind::Documentation,
                gzip(notices.as_bytes())?,
            ),
        ];
        for service in SERVICES {
            let (config, unit) = (
                format!("{service}.toml"),
                format!("podtrace-{service}.service"),
            );
            files.push(file(
                format!("etc/podtrace/{config}"),
                Kind::Configuration,
                read(&deploy.join(&config))?,
            ));
            files.push(file(
                format!("usr/lib/systemd/system/{unit}"),
                Kind::Other,
                read(&deploy.join(&unit))?,
            ));
        }
        for (name, page) in texts::manual(program)? {
            files.push(file(
                format!("usr/share/man/man1/{name}.1.gz"),
                Kind::Documentation,
                gzip(page.as_bytes())?,
            ));
        }
        for (path, script) in texts::completions(program)? {
            files.push(file(path, Kind::Other, script));
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Self(files))
    }

    /// All folders, parents before children, without slashes at the ends.
    pub(super) fn folders(&self) -> BTreeSet<&str> {
        let mut folders = BTreeSet::new();
        for file in &self.0 {
            let slashes = file.path.match_indices('/');
            folders.extend(slashes.map(|(at, _)| &file.path[..at]));
        }
        folders
    }
}

fn file(path: impl Into<String>, kind: Kind, bytes: impl Into<Vec<u8>>) -> File {
    let mode = if kind == Kind::Program { 0o755 } else { 0o644 };
    File {
        path: path.into(),
        mode,
        bytes: bytes.into(),
        kind,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A release and a content of a few bytes.
    pub(in super::super) fn sample() -> (Release, Content) {
        let release = Release {
            version: "1.2.3",
            machine: &MACHINES[0],
            time: 1_700_000_000,
        };
        let files = vec![
            file("etc/podtrace/recorder.toml", Kind::Configuration, "[x]\n"),
            file("usr/bin/podtrace", Kind::Program, "\x7fELF"),
            file("usr/share/doc/podtrace/copyright", Kind::Documentation, "©"),
        ];
        (release, Content(files))
    }

    #[test]
    fn machine_is_read_from_the_program() {
        let mut program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xb7\0".to_vec();
        let debian = |program: &[u8]| machine(program).map(|machine| machine.debian);
        assert_eq!(debian(&program), Some("arm64"));
        program[18] = 62;
        assert_eq!(debian(&program), Some("amd64"));
        program[18] = 8;
        assert_eq!(debian(&program), None);
        assert_eq!(debian(b"#!/bin/sh"), None);
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let (_, content) = sample();
        let folders: Vec<_> = content.folders().into_iter().collect();
        assert_eq!(
            folders,
            [
                "etc",
                "etc/podtrace",
                "usr",
                "usr/bin",
                "usr/share",
                "usr/share/doc",
                "usr/share/doc/podtrace"
            ]
        );
        for folder in OWN_FOLDERS {
            assert!(folders.contains(&folder), "{folder}");
        }
    }
}
