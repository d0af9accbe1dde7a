//! Whether a packet is wanted, and how much of it.
use aya_ebpf::programs::sk_buff::SkBuff;
use podtrace_ebpf::{
    config::{Control, VXLAN_PORTS_MAX},
    record::Direction,
    sample::{self, Copied, Seen, VIEW_LEN, VIEW_WORDS, View},
};

use super::{
    copy::copy,
    maps::{HEADERS_ONLY, SNAPLEN},
};

/// Where a network header may begin: the verifier wants a bound, headers before
/// an inner one end far below it.
const OFFSET_MAX: u32 = 0xff;

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
    let outer = look(skb, network, ethertype, &control.vxlan_ports)?;
    if let Some(inner) = outer.inner {
        let network = network + inner.at;
        let ethertype = match inner.ethertype {
            Some(ethertype) => ethertype,
            None => u16::from_be(skb.load((network - 2) as usize).ok()?),
        };
        let seen = look(skb, network, ethertype, &[0; VXLAN_PORTS_MAX])?;
        return Some((network, seen));
    }
    Some((network, outer))
}

/// Looks at the packet in place, or at a copy when it is short or in pieces.
#[inline(always)]
fn look(
    skb: &SkBuff,
    offset: u32,
    ethertype: u16,
    vxlan_ports: &[u16; VXLAN_PORTS_MAX],
) -> Option<Seen> {
    match InPlace::at(skb, offset) {
        Some(view) => sample::look(ethertype, &view, vxlan_ports),
        None => sample::look(ethertype, &copied(skb, offset), vxlan_ports),
    }
}

/// The packet's own bytes, [`VIEW_LEN`] of them.
struct InPlace(*const Word);

/// Frames are aligned to two bytes, what is behind an Ethernet header is not
/// aligned to more.
#[repr(C, packed(2))]
#[derive(Clone, Copy)]
struct Word(u32);

impl InPlace {
    #[inline(always)]
    fn at(skb: &SkBuff, offset: u32) -> Option<Self> {
        // SAFETY: the verifier checks the accesses to the context.
        let (start, end) = unsafe { ((*skb.skb).data as usize, (*skb.skb).data_end as usize) };
        let at = start + (offset & OFFSET_MAX) as usize;
        (at + VIEW_LEN <= end).then_some(Self(at as *const Word))
    }
}

impl View for InPlace {
    #[inline(always)]
    fn word(&self, at: usize) -> u32 {
        // SAFETY: `VIEW_LEN` bytes are there, as the verifier checks.
        unsafe { (*self.0.add(at)).0 }
    }
}

/// The packet's first bytes from `offset` on.
#[inline(always)]
fn copied(skb: &SkBuff, offset: u32) -> Copied {
    let mut view = Copied([0; VIEW_WORDS]);
    let len = skb.len().saturating_sub(offset).min(VIEW_LEN as u32);
    // SAFETY: the view has room. What cannot be read stays zero.
    unsafe { copy::<{ VIEW_LEN as u64 }>(skb, offset, (&raw mut view).cast(), len) };
    view
}
