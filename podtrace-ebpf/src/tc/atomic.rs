//! Atomic operations that the target has and `core` lacks.
//!
//! Linux before 5.12 has none that returns a value: there user space makes plain
//! instructions of [`take`] and [`publish`] before it loads the object, and what is
//! said below of such kernels holds.
use core::arch::asm;

/// Counts one more, whoever else counts there.
///
/// # Safety
/// The pointer is to a map's value.
#[inline(always)]
pub(super) unsafe fn add_one(at: *mut u64) {
    // SAFETY: as above.
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) at, in(reg) 1_u64) };
}

/// Sets a flag; whether it was set before.
///
/// Before Linux 5.12 it is a load and a store. That is enough where programs of one
/// CPU never interrupt one another, as they do only on PREEMPT_RT.
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

/// Adds to a position that this CPU alone writes, in order with all that is before
/// and behind it: who sees the new position sees what was written before, and what is
/// read behind it is read later.
///
/// Before Linux 5.12 it is an addition that returns nothing, which orders as much on
/// x86 and less on arm64; there Linux 5.18 is needed.
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
