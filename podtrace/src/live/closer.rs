//! A process that ends podtrace's TCX links behind it.
//!
//! The kernel takes some 10 ms to detach each link, and does so when its last descriptor
//! is closed, at the latest when the process ends: with a thousand links, whoever waits
//! for podtrace to end would wait ten seconds. So a child that shares podtrace's
//! descriptors outlives it by that time. It is idle until podtrace has ended, however
//! that comes, and then ends too: standard output and its like first, as somebody may
//! wait for the end of what podtrace has to say.
use std::{
    mem::MaybeUninit,
    ptr, thread,
    time::{Duration, Instant},
};

/// What the child is called in lists of processes.
const NAME: &std::ffi::CStr = c"podtrace-closer";
/// `_LINUX_CAPABILITY_VERSION_3`, linux/capability.h.
const CAPABILITIES: u32 = 0x2008_0522;

/// More descriptors than podtrace has: two for each of the interfaces that there is room
/// for at most, and some.
const DESCRIPTORS: libc::c_int = 4 * 65_536;
/// What takes no longer was no link.
const QUICK: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Starts it; false where the kernel refuses, and podtrace has to detach by itself.
pub(crate) fn start() -> bool {
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
        0 => wait_for_the_end(ours),
        child => child > 0,
    }
}

/// The child's work: waits until all threads of podtrace have ended and closed what they
/// had open, so that it is the last to do so. Signals from the terminal are for podtrace.
fn wait_for_the_end(podtrace: i32) -> ! {
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
        (0..DESCRIPTORS).for_each(close);
        libc::_exit(0)
    }
}

/// Closes a descriptor, and leaves the kernel's lock of all network configuration to
/// others for as long as that took: a pod that starts waits for it, and so does the next
/// podtrace.
fn close(fd: libc::c_int) {
    let begun = Instant::now();
    // SAFETY: nobody else uses the descriptors any more.
    let is_closed = unsafe { libc::close(fd) } == 0;
    if is_closed {
        let took = begun.elapsed();
        if took > QUICK {
            thread::sleep(took.min(PAUSE_MAX));
        }
    }
}
