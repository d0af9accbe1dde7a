//! Giving up privileges.
//!
//! Linux keeps capabilities by thread. Each thread of a session keeps only those that its own
//! work needs when pods come and go; none can be regained.
mod calls;

use std::{collections::HashSet, io};

use caps::{
    CapSet, Capability,
    Capability::{
        CAP_BPF, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_NET_ADMIN, CAP_NET_RAW,
        CAP_SYS_ADMIN, CAP_SYS_PTRACE,
    },
    errors::CapsError,
};
use thiserror::Error;

/// To find the namespaces of pods, enter them and attach there.
pub const ATTACH: &[Capability] = &[
    CAP_SYS_ADMIN,
    CAP_SYS_PTRACE,
    CAP_DAC_READ_SEARCH,
    CAP_NET_ADMIN,
    CAP_BPF,
];
/// To read the rules of firewalls, and to trace them.
pub const RULES: &[Capability] = &[
    CAP_SYS_ADMIN,
    CAP_SYS_PTRACE,
    CAP_DAC_READ_SEARCH,
    CAP_NET_ADMIN,
];
/// To watch the sockets of new pods, and to read counters: before Linux 5.19 each call
/// of bpf(2) takes `CAP_BPF`.
pub const WATCH: &[Capability] = &[CAP_NET_ADMIN, CAP_BPF];
/// The same before it is decided whether a recording replaces an earlier file, in a directory or of
/// a user other than root.
pub const REPLACE: &[Capability] = &[CAP_NET_ADMIN, CAP_BPF, CAP_DAC_OVERRIDE, CAP_FOWNER];
/// To find the namespaces of pods by their processes, and look into them.
pub const INSPECT: &[Capability] = &[CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH];
/// To find cgroups by their ids, and to read counters.
pub const READ: &[Capability] = &[CAP_DAC_READ_SEARCH, CAP_BPF];
/// To begin the next file in a directory that root does not own, as that of the user who called
/// sudo.
pub const RECORD: &[Capability] = &[CAP_DAC_OVERRIDE];
/// The same before the recording has replaced an earlier file.
pub const RECORD_OVER: &[Capability] = &[CAP_DAC_OVERRIDE, CAP_FOWNER];
/// To find a namespace, enter it, and ping from there.
pub const PROBE: &[Capability] = &[
    CAP_SYS_ADMIN,
    CAP_SYS_PTRACE,
    CAP_DAC_READ_SEARCH,
    CAP_NET_RAW,
];
/// To do what any process may.
pub const NONE: &[Capability] = &[];

/// Why privileges could not be given up.
#[derive(Debug, Error)]
pub enum PrivilegeError {
    /// The kernel refused to change capabilities.
    #[error("failed to give capabilities up")]
    Capabilities(#[from] CapsError),
    /// The kernel refused to promise that no program gives any back.
    #[error("failed to set no_new_privs")]
    NoNewPrivileges(#[source] io::Error),
    /// The kernel refused the filter of system calls.
    #[error("failed to forbid system calls")]
    Calls(#[from] seccompiler::Error),
}

/// Gives up what nothing here ever takes, for this thread and those that it starts from
/// now on: programs with capabilities of their own, and system calls that change the
/// machine. `runs_programs`: whether a program is to be run at all, as a credential
/// plugin is; it starts without capabilities.
///
/// # Errors
/// When the kernel refuses.
pub fn begin(runs_programs: bool) -> Result<(), PrivilegeError> {
    nix::sys::prctl::set_no_new_privs()
        .map_err(|errno| PrivilegeError::NoNewPrivileges(errno.into()))?;
    calls::forbid(runs_programs)
}

/// Keeps only these capabilities in the calling thread, as far as it has them, and none
/// in the programs that it runs.
///
/// # Errors
/// When the kernel refuses.
pub fn keep(needed: &[Capability]) -> Result<(), PrivilegeError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    let kept: HashSet<_> = permitted
        .into_iter()
        .filter(|one| needed.contains(one))
        .collect();
    // A user other than root may lack the right, and with no_new_privs it changes nothing.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        caps::clear(None, CapSet::Bounding)?;
    }
    if caps::runtime::ambient_set_supported().is_ok() {
        caps::clear(None, CapSet::Ambient)?;
    }
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    caps::clear(None, CapSet::Inheritable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use super::*;

    /// A line of the calling thread's status.
    fn status(name: &str) -> String {
        let text = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().to_owned()
    }

    fn on_own_thread(test: impl FnOnce() + Send + 'static) {
        thread::spawn(test).join().unwrap();
    }

    #[test]
    fn only_kept_capabilities_remain() {
        on_own_thread(|| {
            let permitted = caps::read(None, CapSet::Permitted).unwrap();
            keep(READ).unwrap();
            let kept = caps::read(None, CapSet::Effective).unwrap();
            assert_eq!(kept, caps::read(None, CapSet::Permitted).unwrap());
            let of_read = |one: &&Capability| READ.contains(one);
            let expected: HashSet<_> = permitted.iter().filter(of_read).copied().collect();
            assert_eq!(kept, expected);
            assert_eq!(status("CapInh:"), "0000000000000000");
            keep(NONE).unwrap();
            assert_eq!(status("CapPrm:"), "0000000000000000");
            // Once more, with nothing left to do it with.
            keep(NONE).unwrap();
        });
    }

    #[test]
    fn calls_are_forbidden_on_this_thread_and_its_own() {
        on_own_thread(|| {
            begin(false).unwrap();
            let refused = thread::spawn(|| std::process::Command::new("true").status());
            let error = refused.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert_eq!(status("NoNewPrivs:"), "1");
            assert_eq!(status("Seccomp:"), "2");
        });
        on_own_thread(|| {
            begin(true).unwrap();
            assert!(std::process::Command::new("true").status().is_ok());
            let error = nix::unistd::chroot("/").unwrap_err();
            assert_eq!(error, nix::errno::Errno::EPERM);
        });
    }
}
