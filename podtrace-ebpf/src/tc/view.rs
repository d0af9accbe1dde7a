//! Whether a packet is wanted, and how much of it.
use aya_ebpf::{helpers::bpf_skb_load_bytes, programs::sk_buff::SkBuff};
use podtrace_ebpf::{
    config::Control,
    record::Direction,
    sample::{self, Seen, VIEW_LEN, VIEW_WORDS, View},
};

use super::maps::{HEADERS_ONLY, SNAPLEN};

/// How many bytes of the packet to capture; none of one that is not sampled.
///
/// Looks at it only if something depends on what is in it.
#[inline(always)]
pub(crate) fn taken(
    skb: &SkBuff,
    direction: Direction,
    link_len: u32,
    control: &Control,
) -> Option<u32> {
    let all = skb.len().min(SNAPLEN.load());
    let is_sampled = control.sample_max != u32::MAX;
    if !is_sampled && HEADERS_ONLY.load() == 0 {
        return Some(all);
    }
    let link_len = match direction {
        Direction::Socket => 0,
        _ => link_len,
    };
    let Some((network, seen)) = innermost(skb, link_len, control) else {
        return Some(all);
    };
    if is_sampled && seen.digest > control.sample_max {
        return None;
    }
    Some(match HEADERS_ONLY.load() {
        0 => all,
        _ => all.min(network.saturating_add(seen.headers)),
    })
}

/// What is seen of the packet, or of the one inside its tunnel, and where that
/// one's network header is.
#[inline(always)]
fn innermost(skb: &SkBuff, network: u32, control: &Control) -> Option<(u32, Seen)> {
    // SAFETY: the verifier checks the access to the context.
    let ethertype = u16::from_be(unsafe { (*skb.skb).protocol } as u16);
    let outer = sample::look(ethertype, &view(skb, network), &control.vxlan_ports)?;
    if let Some(inner) = outer.inner {
        let network = network + inner;
        let ethertype: u16 = skb.load((network - 2) as usize).ok()?;
        let seen = sample::look(u16::from_be(ethertype), &view(skb, network), &[0; 4])?;
        return Some((network, seen));
    }
    Some((network, outer))
}

/// The packet's first bytes from `offset` on.
#[inline(always)]
fn view(skb: &SkBuff, offset: u32) -> View {
    let mut view = View([0; VIEW_WORDS]);
    let len = u64::from(skb.len().saturating_sub(offset)).min(VIEW_LEN as u64);
    // Hides the length from the compiler, as in `emit`.
    // SAFETY: reads a local variable.
    let len = unsafe { core::ptr::read_volatile(&raw const len) };
    if len != 0 && len <= VIEW_LEN as u64 {
        // SAFETY: the view has room for `len` bytes. What cannot be read stays
        // zero.
        unsafe {
            bpf_skb_load_bytes(
                skb.skb.cast(),
                offset,
                (&raw mut view).cast(),
                len as u32,
            );
        }
    }
    view
}
