//! Watches the sockets of cgroups.
use std::{collections::BTreeSet, fs::File, path::Path};

use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType};
use podtrace_ebpf::config;

use super::{Probe, ProbeError, error::refused};

impl Probe {
    /// Watches the sockets of a cgroup and of all cgroups below it. `cgroup` is its path below
    /// the root of the tree, `directory` its directory.
    ///
    /// # Errors
    /// When the cgroup was removed or the kernel refuses.
    pub fn attach_cgroup(&mut self, cgroup: &str, directory: &Path) -> Result<(), ProbeError> {
        let operation = || format!("watch the sockets of cgroup {cgroup}");
        let directory = File::open(directory)
            .map_err(|source| ProbeError::Cgroup(cgroup.to_owned(), source))?;
        let program: &mut CgroupSkb = self.program(config::PROGRAM_SOCKET)?;
        // A link always shares the hook with others, without a flag.
        let mode = CgroupAttachMode::Single;
        let link = program
            .attach(directory, CgroupSkbAttachType::Ingress, mode)
            .and_then(|id| program.take_link(id))
            .map_err(|source| refused(operation(), source))?;
        self.cgroups.insert(cgroup.to_owned(), link);
        Ok(())
    }

    /// The cgroups whose sockets are watched.
    pub fn cgroups(&self) -> impl Iterator<Item = &str> {
        self.cgroups.keys().map(String::as_str)
    }

    /// Stops watching all cgroups except for these.
    pub fn retain_cgroups(&mut self, there: &BTreeSet<String>) {
        self.cgroups.retain(|cgroup, _| there.contains(cgroup));
    }
}
