//! Reads the kernel's structs at the offsets that user space has found in the running kernel's
//! BTF.
use core::arch::asm;

use aya_ebpf::{Global, helpers::bpf_probe_read_kernel};

use crate::tc::maps::{DEV_NET, NET_ID, NET_ID_IS_LONG};

/// A member of a struct, by copying; none if it cannot be read.
#[inline(always)]
pub(crate) fn read<T>(of: *const u8, offset: &Global<u32>) -> Option<T> {
    let at = of.wrapping_add(offset.load() as usize);
    // SAFETY: bpf_probe_read_kernel checks every address.
    unsafe { bpf_probe_read_kernel(at.cast()) }.ok()
}

/// The number that identifies the network namespace of a `struct net_device`, by copying; 0 if
/// it cannot be read.
#[inline(always)]
pub(crate) fn netns_of(dev: *const u8) -> u64 {
    let Some(net) = read::<*const u8>(dev, &DEV_NET) else {
        return 0;
    };
    if NET_ID_IS_LONG.load() != 0 {
        read(net, &NET_ID).unwrap_or(0)
    } else {
        read::<u32>(net, &NET_ID).map_or(0, u64::from)
    }
}

/// Hides the value of a number from the compiler.
#[inline(always)]
pub(crate) fn opaque(mut number: u64) -> u64 {
    // SAFETY: no instruction.
    unsafe { asm!("/* {0} */", inout(reg) number, options(nomem, nostack, preserves_flags)) };
    number
}
