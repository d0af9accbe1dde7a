//! Atomic operations that the target has and `core` lacks.
//!
//! Linux before 5.12 has none that returns a value: there user space replaces [`take`] and
//! [`publish`] by plain instructions before it loads the object, and the remarks below about
//! such kernels apply.
use core::arch::asm;

/// Counts one more, with any number of concurrent writers.
///
/// # Safety
/// The pointer is to a map's value.
#[inline(always)]
pub(super) unsafe fn add_one(at: *mut u64) {
    // SAFETY: as above.
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) at, in(reg) 1_u64) };
}

/// Sets a flag; returns whether it was set before.
///
/// Before Linux 5.12 it is a load and a store. That is enough where programs of one CPU never
/// interrupt one another, as they do only on PREEMPT_RT.
///
/// # Safety
/// The pointer is to a map's value.
#[inline(always)]
pub(super) unsafe fn take(flag: *mut u64) -> bool {
    let before: u64;
    // SAFETY: as above.
    unsafe {
        asm!("{0} = xchg_64({1} + 0, {0})", inout(reg) 1_u64 => before, in(reg) flag);
        if before != 0 {
            return true;
        }
        flag.write_volatile(1);
    }
    false
}

/// Adds to a position that only this CPU writes, ordered with everything before and after it:
/// a reader that sees the new position sees all earlier writes, and later reads happen later.
///
/// Before Linux 5.12 it is an addition that returns nothing, which orders as strictly on x86
/// and less on arm64; there Linux 5.18 is required.
///
/// # Safety
/// The pointer is to a map's value.
#[inline(always)]
pub(super) unsafe fn publish(position: *mut u64, more: u64) {
    // SAFETY: as above.
    unsafe {
        asm!("{0} = atomic_fetch_add((u64 *)({1} + 0), {0})", inout(reg) more => _, in(reg) position);
    }
}
