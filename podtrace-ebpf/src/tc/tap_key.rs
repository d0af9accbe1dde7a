//! The key of the tap that sees a packet: network namespace and interface.
use core::ffi::c_void;

use aya_ebpf::programs::sk_buff::SkBuff;
use podtrace_ebpf::config::{CAST_MARK, TapKey};

use super::maps::{CAN_CAST, DEV_NET, NET_ID, NET_ID_IS_LONG, SKB_DEV};
use crate::kernel;

/// The interface's key: `skb->dev->nd_net.net->net_cookie` and the index. If user space cannot
/// ask for the cookie, `ns.inum` stands in for it.
///
/// An index is unique only within its namespace, and no TC helper returns the namespace of a
/// packet without a socket, so it is read from the device.
#[inline(always)]
pub(crate) fn tap_key(skb: &SkBuff) -> TapKey {
    let netns_cookie = if CAN_CAST.load() != 0 {
        cookie_by_type(skb)
    } else {
        cookie_by_copy(skb)
    };
    TapKey {
        netns_cookie,
        // SAFETY: the verifier checks the access to the context.
        ifindex: unsafe { (*skb.skb).ifindex },
        zero: 0,
    }
}

/// Reads by pointers whose types the verifier knows: plain loads, where three calls of a
/// helper cost as much as the rest of a tap up to its counters.
#[inline(always)]
fn cookie_by_type(skb: &SkBuff) -> u64 {
    // SAFETY: the verifier knows the types of these pointers and checks the offsets, and a
    // load that faults yields zero.
    unsafe {
        let dev = kernel_skb::<CAST_MARK>(skb)
            .add(SKB_DEV.load() as usize)
            .cast::<*const u8>()
            .read_volatile();
        let net = dev
            .add(DEV_NET.load() as usize)
            .cast::<*const u8>()
            .read_volatile();
        let id = net.add(NET_ID.load() as usize);
        if NET_ID_IS_LONG.load() != 0 {
            id.cast::<u64>().read_volatile()
        } else {
            u64::from(id.cast::<u32>().read_volatile())
        }
    }
}

/// The kernel's `struct sk_buff`, of a type that the verifier knows.
///
/// # Safety
/// Only where [`CAN_CAST`] is set: a call of the number `MARK`, one of
/// [`podtrace_ebpf::config::CAST_MARKS`], is one of the kernel function
/// `bpf_cast_to_kern_ctx(void *)` then.
#[inline(always)]
pub(super) unsafe fn kernel_skb<const MARK: u32>(skb: &SkBuff) -> *const u8 {
    // SAFETY: see above.
    unsafe {
        let cast: unsafe extern "C" fn(*mut c_void) -> *const u8 =
            core::mem::transmute(MARK as usize);
        cast(skb.skb.cast())
    }
}

/// The same by copying; 0 if it cannot be read.
#[inline(always)]
fn cookie_by_copy(skb: &SkBuff) -> u64 {
    let skb = skb.skb.cast::<u8>().cast_const();
    kernel::read(skb, &SKB_DEV).map_or(0, kernel::netns_of)
}
