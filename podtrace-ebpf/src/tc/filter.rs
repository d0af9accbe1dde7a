//! Runs the filter: a block of instructions that user space puts in place of a mark.
use core::arch::asm;

use aya_ebpf::programs::sk_buff::SkBuff;
use podtrace_ebpf::config::{FILTER_IN_PLACE, FILTER_MARK, FILTER_SLOTS, FILTER_WINDOW};

use super::{
    copy::copy,
    maps::{BEGIN, FILTER},
    view::in_place,
};

/// Whether the packet may match the filter, by its innermost network header, which is at
/// `network`. What is not IP always may.
#[inline(always)]
pub(super) fn may_match(skb: &SkBuff, network: u32) -> bool {
    let length = skb.len().saturating_sub(network);
    let place = match FILTER.load() {
        FILTER_IN_PLACE => in_place(skb, network, FILTER_WINDOW),
        _ => None,
    };
    let (begin, loaded) = match place {
        Some(place) => (place as *const u8, FILTER_WINDOW as u32),
        None => match copied(skb, network, length.min(FILTER_WINDOW as u32)) {
            Some(copied) => copied,
            None => return true,
        },
    };
    // SAFETY: so many bytes are there, as the verifier checks.
    let first = unsafe { begin.read_volatile() };
    if !matches!(first >> 4, 4 | 6) {
        return true;
    }
    // SAFETY: as above.
    unsafe { run(begin, loaded, length) != 0 }
}

/// The packet's first `len` bytes from `network` on, copied, and how many they are.
#[inline(always)]
fn copied(skb: &SkBuff, network: u32, len: u32) -> Option<(*const u8, u32)> {
    let begin = BEGIN.get_ptr_mut(0)?.cast::<u8>();
    // SAFETY: the value has room, and this CPU alone uses it.
    let is_copied = unsafe { copy::<{ FILTER_WINDOW as u64 }>(skb, network, begin, len) };
    is_copied.then_some((begin.cast_const(), len))
}

/// Runs the block on so many bytes of a packet of that length; returns its verdict.
///
/// # Safety
/// [`FILTER_WINDOW`] bytes can be read. The block reads no others, as the verifier checks, and
/// uses the registers that `filter::translate` of user space names. As long as the mark is
/// there, nothing calls this.
#[inline(always)]
unsafe fn run(begin: *const u8, loaded: u32, length: u32) -> u32 {
    let verdict: u64;
    // SAFETY: as above.
    unsafe {
        asm!(
            ".rept {slots}",
            "r0 = {mark}",
            ".endr",
            slots = const FILTER_SLOTS,
            mark = const FILTER_MARK,
            lateout("r0") verdict,
            inout("r1") begin => _,
            inout("r2") u64::from(loaded) => _,
            inout("r3") u64::from(length) => _,
            inout("r4") 0_u64 => _,
            out("r5") _,
            out("r6") _,
            out("r7") _,
            options(nostack),
        );
    }
    verdict as u32
}
