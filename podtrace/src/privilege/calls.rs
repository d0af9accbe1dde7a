//! System calls that no part of podtrace makes while it traces.
use std::env::consts::ARCH;

use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompFilter, TargetArch, apply_filter,
};

use super::PrivilegeError;

/// Those that change the machine, or reach into other processes. They are refused with
/// `EPERM`, as for want of a capability.
const FORBIDDEN: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_userfaultfd,
];
const RUN: &[libc::c_long] = &[libc::SYS_execve, libc::SYS_execveat];

/// Forbids them to the calling thread and those that it starts from now on. Takes
/// `no_new_privs`. Where seccomp does not know the architecture, nothing is forbidden.
pub(super) fn forbid(runs_programs: bool) -> Result<(), PrivilegeError> {
    let Ok(arch) = TargetArch::try_from(ARCH) else {
        return Ok(());
    };
    let run = if runs_programs { &[] } else { RUN };
    let calls = FORBIDDEN.iter().chain(run);
    let rules = calls.map(|call| (*call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch);
    let program: Result<BpfProgram, BackendError> = filter.and_then(TryInto::try_into);
    Ok(apply_filter(&program.map_err(Error::Backend)?)?)
}
