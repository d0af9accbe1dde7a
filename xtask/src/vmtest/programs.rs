//! The programs for the machines.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{image::Image, plan};
use crate::{
    artifact,
    cmd::{Workspace, step},
    setup,
};

/// A program of the host that the quick checks use too.
const TC: &str = "tc";
/// Programs of the host that the end-to-end tests use in addition to podtrace.
const PROGRAMS: &[&str] = &[
    "busybox",
    "capinfos",
    "cat",
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "dumpcap",
    "hostname",
    "mount",
    "mv",
    "readlink",
    "runc",
    "sh",
    "sleep",
    "tcpdump",
    "timeout",
    "true",
    "tshark",
    "umount",
    "unshare",
    "zstd",
];
/// The network plugins of containerd that the tests use.
const PLUGINS: &[&str] = &["bridge", "host-local", "loopback"];

/// The programs for the machines.
pub(crate) struct Programs {
    podtrace: PathBuf,
    /// The end-to-end tests.
    pub(super) tests: PathBuf,
    /// PID 1.
    pub(super) init: PathBuf,
    lab: artifact::LabPrograms,
}

impl Programs {
    /// Installs what building requires, and builds.
    pub(crate) fn build(workspace: &Workspace) -> Result<Self> {
        setup::for_vmtest(workspace)?;
        let podtrace = step("build podtrace (release)", || artifact::podtrace(workspace))?;
        let tests = step("build the end-to-end tests", || {
            artifact::root_tests(workspace)
        })?;
        let (init, lab) = step("build what runs in machines", || {
            let init = artifact::vm_init(workspace)?;
            Ok((init, artifact::lab_programs(workspace)?))
        })?;
        Ok(Self {
            podtrace,
            tests,
            init,
            lab,
        })
    }

    /// The root file system; with everything that the tests may use, if `all` is set.
    pub(super) fn image(&self, all: bool, scratch: &Path) -> Result<Image> {
        fs::create_dir_all(scratch)?;
        let mut image = Image::new(&self.init)?;
        image.built(&self.podtrace, plan::PODTRACE, scratch)?;
        image.built(&self.tests, plan::TESTS, scratch)?;
        image.set("PODTRACE_BIN", plan::PODTRACE);
        image.program(TC)?;
        if !all {
            return Ok(image);
        }
        for (file, to, variable) in [
            (&self.lab.node, "/usr/bin/lab-node", "PODTRACE_LAB_NODE"),
            (&self.lab.peer, "/usr/bin/lab-peer", "PODTRACE_LAB_PEER"),
        ] {
            image.built(file, to, scratch)?;
            image.set(variable, to);
        }
        for name in PROGRAMS {
            image.program(name)?;
        }
        for name in PLUGINS {
            image.file(&Path::new("/usr/lib/cni").join(name))?;
        }
        Ok(image)
    }
}
