//! A process that closes podtrace's TCX links after podtrace has ended.
//!
//! The kernel takes some 10 ms to detach each link, and does so when its last descriptor is
//! closed, at the latest when the process ends. With a thousand links, a caller that waits
//! for podtrace to end would wait ten seconds. So a child that shares podtrace's
//! descriptors outlives it by that time. It is idle until podtrace has ended, for whatever
//! reason, and then closes everything: standard output and its like first, as a caller may
//! wait for the end of the output.
use std::{
    mem::MaybeUninit,
    ptr, thread,
    time::{Duration, Instant},
};

/// The child's name in lists of processes.
const NAME: &std::ffi::CStr = c"podtrace-closer";
/// `_LINUX_CAPABILITY_VERSION_3`, linux/capability.h.
const CAPABILITIES: u32 = 0x2008_0522;

/// More descriptors than podtrace can have: two for each interface that it has room for,
/// and some.
const DESCRIPTORS: libc::c_int = 4 * 65_536;
/// Standard input, output and error.
const STANDARD: libc::c_int = 3;
/// Closing anything but a link takes no longer.
const QUICK: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Starts it; false if the kernel refuses, and podtrace has to detach by itself. `sockets_first`:
/// whether something in the kernel is to go at once with the socket that made it.
pub(crate) fn start(sockets_first: bool) -> bool {
    // SAFETY: both take numbers only.
    let ours = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) };
    let Ok(ours) = i32::try_from(ours) else {
        return false;
    };
    if ours < 0 {
        return false;
    }
    let flags = libc::CLONE_FILES as libc::c_ulong;
    let null = ptr::null_mut::<libc::c_void>();
    // SAFETY: like fork, with its own copy of the memory: without CLONE_VM and with no
    // stack the child goes on here. It calls nothing but the kernel.
    match unsafe { libc::syscall(libc::SYS_clone, flags, null, null, null, null) } {
        0 => wait_for_the_end(ours, sockets_first),
        child => child > 0,
    }
}

/// The child's work: waits until all threads of podtrace have ended and closed their
/// descriptors, so that the child closes them last. Signals from the terminal are for
/// podtrace.
fn wait_for_the_end(podtrace: i32, sockets_first: bool) -> ! {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut end = libc::pollfd {
        fd: podtrace,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: all of these are calls of the kernel, or such as may be made between fork
    // and exec; the pointers are to what outlives them. No capability is needed to wait.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), ptr::null_mut());
        libc::prctl(libc::PR_SET_NAME, NAME.as_ptr());
        let (header, none) = ([CAPABILITIES, 0], [0_u32; 6]);
        libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr());
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        while libc::poll(&raw mut end, 1, -1) < 1 {}
        (0..STANDARD).for_each(close);
        if sockets_first {
            (STANDARD..DESCRIPTORS).filter(is_socket).for_each(close);
        }
        (STANDARD..DESCRIPTORS).for_each(close);
        libc::_exit(0)
    }
}

fn is_socket(fd: &libc::c_int) -> bool {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the status is read only if the kernel has written it.
    unsafe {
        libc::fstat(*fd, status.as_mut_ptr()) == 0
            && status.assume_init().st_mode & libc::S_IFMT == libc::S_IFSOCK
    }
}

/// Closes a descriptor, then pauses for as long as that took, so that others can take the
/// kernel's lock of all network configuration: a starting pod waits for it, and so does the
/// next podtrace.
fn close(fd: libc::c_int) {
    let started = Instant::now();
    // SAFETY: nobody else uses the descriptors any more.
    let is_closed = unsafe { libc::close(fd) } == 0;
    if is_closed {
        let took = started.elapsed();
        if took > QUICK {
            thread::sleep(took.min(PAUSE_MAX));
        }
    }
}
