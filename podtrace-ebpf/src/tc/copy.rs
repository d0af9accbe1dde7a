//! Bytes of the packet, copied.
use aya_ebpf::{helpers::bpf_skb_load_bytes, programs::sk_buff::SkBuff};

/// Copies `len` bytes of the packet from `offset` on; false when that is none or more
/// than `MAX`, or the packet has fewer.
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
    // 64 bits wide, and hidden from the compiler: the verifier follows bounds per
    // register, and would lose them when the compiler tests another one than it
    // hands to the helper.
    let len = u64::from(len);
    // SAFETY: reads a local variable.
    let len = unsafe { core::ptr::read_volatile(&raw const len) };
    if len == 0 || len > MAX {
        return false;
    }
    // SAFETY: there is room.
    unsafe { bpf_skb_load_bytes(skb.skb.cast(), offset, to.cast(), len as u32) == 0 }
}
