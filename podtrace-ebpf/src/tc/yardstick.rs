//! The yardstick of the tap's cost; loaded by measurements only.
use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, bpf_skb_load_bytes},
    programs::TcContext,
};

use super::maps::BARE;

/// Bytes that the bare tap copies and reserves room for.
const COPIED: usize = 96;
const RESERVED: usize = 128;
/// `BPF_RB_NO_WAKEUP`.
const NO_WAKEUP: u64 = 1;

/// The minimum of a tap: time, room, bytes, submit.
#[inline(always)]
pub(crate) fn bare_tap(ctx: &TcContext) {
    let Some(mut entry) = BARE.reserve::<[u8; RESERVED]>(0) else {
        return;
    };
    let slot = entry.as_mut_ptr().cast::<u8>();
    // SAFETY: the slot has `RESERVED` bytes, more than the time and the copy.
    unsafe {
        slot.cast::<u64>().write(bpf_ktime_get_ns());
        bpf_skb_load_bytes(ctx.skb.skb.cast(), 0, slot.add(8).cast(), COPIED as u32);
    }
    entry.submit(NO_WAKEUP);
}
