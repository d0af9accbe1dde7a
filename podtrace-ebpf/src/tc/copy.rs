//! Copies bytes of the packet.
use core::ffi::c_void;

use aya_ebpf::{bindings::__sk_buff, programs::sk_buff::SkBuff};

use crate::kernel::opaque;

/// `bpf_skb_load_bytes` with a length of 64 bits: the caller's register is passed unchanged,
/// with the bounds that the verifier knows of it.
type LoadBytes = unsafe extern "C" fn(*const __sk_buff, u32, *mut c_void, u64) -> i64;
/// The helper's number, linux/bpf.h.
const LOAD_BYTES: usize = 26;

/// Copies `len` bytes of the packet from `offset` on; returns false if `len` is zero or more
/// than `MAX`, or the packet has fewer bytes.
///
/// # Safety
/// There is room for `MAX` bytes.
#[inline(always)]
pub(super) unsafe fn copy<const MAX: u64>(
    skb: &SkBuff,
    offset: u32,
    to: *mut u8,
    len: u32,
) -> bool {
    // The helper requires a length between 1 and `MAX`. Verifiers before Linux 7.0 learn
    // nothing from a test for zero, and learn a bound only of the tested register. So one test
    // bounds the length minus one, from which the length is computed.
    let less_one = opaque(u64::from(len).wrapping_sub(1));
    if less_one >= MAX {
        return false;
    }
    // SAFETY: a pointer to a helper is its number.
    let load_bytes: LoadBytes = unsafe { core::mem::transmute(LOAD_BYTES) };
    // SAFETY: there is room.
    unsafe { load_bytes(skb.skb, offset, to.cast(), less_one + 1) == 0 }
}
