//! A process that removes a lab after its maker was killed.
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
    process,
};

use nix::{
    fcntl::OFlag,
    sys::{prctl, signal::SigSet},
    unistd::{ForkResult, fork, pipe2, setsid},
};

use super::name;

/// Its name in lists of processes.
const NAME: &std::ffi::CStr = c"podtrace-guard";

/// Keeps the guard waiting. When it is dropped, or the process ends, the guard removes what is
/// left.
#[derive(Debug)]
pub struct Guard {
    _kept: OwnedFd,
}

/// Starts the guard of all labs of this process and of a file. Call it while the process has
/// one thread: the child continues with a copy of the memory.
///
/// # Errors
/// When the kernel refuses to create a process.
pub fn start(file: Option<&Path>) -> io::Result<Guard> {
    // No other process has the kept end: it is closed on exec.
    let (end, kept) = pipe2(OFlag::O_CLOEXEC)?;
    let maker = process::id();
    // SAFETY: there is no other thread, whose locks the child would find taken.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => Ok(Guard { _kept: kept }),
        ForkResult::Child => {
            drop(kept);
            watch(end, maker, file);
            process::exit(0)
        }
    }
}

/// Waits until the maker has ended, for whatever reason.
fn watch(end: OwnedFd, maker: u32, file: Option<&Path>) {
    // Ignores signals to the terminal's or the maker's process group.
    let _ = setsid();
    let _ = SigSet::all().thread_block();
    let _ = prctl::set_name(NAME);
    close_all_but(&end);
    // Nobody writes: this waits for the end of the maker.
    let _ = File::from(end).read(&mut [0]);
    if let Some(file) = file {
        let _ = fs::remove_file(file);
    }
    // The next lab removes what cannot be removed now.
    let _ = name::remove_all_of(maker);
}

/// Closes the maker's files: a caller may wait for the end of its output.
fn close_all_but(kept: &OwnedFd) {
    let Ok(kept) = u32::try_from(kept.as_raw_fd()) else {
        return;
    };
    let close = |first: u32, last: u32| {
        // SAFETY: nothing here uses these descriptors any more.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    };
    if kept > 0 {
        close(0, kept - 1);
    }
    close(kept + 1, u32::MAX);
    // Occupies standard input, output and error, so that nothing writes to a file opened later
    // as if it were one of them.
    for _ in 0..3 {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null");
        let _ = null.map(OwnedFd::from).map(std::mem::ManuallyDrop::new);
    }
}
