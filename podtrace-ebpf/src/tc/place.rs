//! Where the packet is: network namespace and interface.
use aya_ebpf::{helpers::bpf_probe_read_kernel, programs::sk_buff::SkBuff};
use podtrace_ebpf::config::TapKey;

use super::maps::{DEV_NET, NET_COOKIE, SKB_DEV};

/// The interface's key: `skb->dev->nd_net.net->net_cookie` and the index.
///
/// An index is unique only within its namespace, and no TC helper tells the
/// namespace of a packet without a socket, so it is read from the device.
#[inline(always)]
pub(crate) fn tap_key(skb: &SkBuff) -> TapKey {
    TapKey {
        netns_cookie: netns_cookie(skb.skb.cast::<u8>().cast_const()),
        // SAFETY: the verifier checks the access to the context.
        ifindex: unsafe { (*skb.skb).ifindex },
        zero: 0,
    }
}

/// The namespace cookie of the packet's device; 0 when it cannot be read.
#[inline(always)]
fn netns_cookie(skb: *const u8) -> u64 {
    // SAFETY: bpf_probe_read_kernel checks every address; the offsets are
    // those of the running kernel's BTF.
    unsafe {
        let Ok(dev) = bpf_probe_read_kernel(skb.add(SKB_DEV.load() as usize).cast::<*const u8>())
        else {
            return 0;
        };
        let Ok(net) = bpf_probe_read_kernel(dev.add(DEV_NET.load() as usize).cast::<*const u8>())
        else {
            return 0;
        };
        bpf_probe_read_kernel(net.add(NET_COOKIE.load() as usize).cast::<u64>()).unwrap_or(0)
    }
}
