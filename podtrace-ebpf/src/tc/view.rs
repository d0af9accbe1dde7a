//! Decides whether a packet is captured, and how much of it.
use core::mem::MaybeUninit;

use aya_ebpf::programs::sk_buff::SkBuff;
use podtrace_ebpf::{
    config::Control,
    parse::{self, ETHERNET_LEN, Load},
    record::Direction,
    sample::{self, Copied, Frame, InspectOptions, Inspection, OFFSET_MAX, VIEW_LEN, View},
};

use super::{
    copy::copy,
    filter,
    maps::{FILTER, HEADERS_ONLY, SNAPLEN, VXLAN_PORTS},
};

/// How many bytes of the packet to capture; none if it is not sampled.
///
/// Reads the packet only if the result depends on its content.
#[inline(always)]
pub(crate) fn captured_len(
    skb: &SkBuff,
    direction: Direction,
    link_len: u32,
    control: &Control,
) -> Option<u32> {
    let all = skb.len().min(SNAPLEN.load());
    let is_sampled = control.sample_max != u32::MAX;
    let is_filtered = FILTER.load() != 0;
    if !is_sampled && !is_filtered && HEADERS_ONLY.load() == 0 {
        return Some(all);
    }
    let is_ethernet = link_len != 0 && !matches!(direction, Direction::Socket);
    let Some((network, seen)) = sample::innermost(&Walked { skb, control }, is_ethernet) else {
        return Some(all);
    };
    if is_sampled && seen.digest > control.sample_max {
        return None;
    }
    if is_filtered && !filter::may_match(skb, network) {
        return None;
    }
    Some(match HEADERS_ONLY.load() {
        0 => all,
        _ => all.min(network.saturating_add(seen.headers)),
    })
}

/// The packet. The verifier follows each path through its headers to the end once, as it does
/// not know what came before.
struct Walked<'a> {
    skb: &'a SkBuff,
    control: &'a Control,
}

impl Frame for Walked<'_> {
    #[inline(always)]
    fn link(&self, at: u32) -> Option<(u16, u32)> {
        if let Some(ethertype) = plain_in_place(self.skb, at) {
            return Some((ethertype, at + ETHERNET_LEN as u32));
        }
        let link = parse::link(self, at as usize).ok()?;
        Some((link.ethertype, link.next as u32))
    }

    #[inline(always)]
    fn inspect(&self, at: u32, ethertype: u16, opens: bool) -> Inspection {
        let options = InspectOptions {
            ethertype,
            opens,
            is_vxlan: |port| is_vxlan(port, self.control),
        };
        match in_place(self.skb, at, VIEW_LEN) {
            Some(place) => sample::inspect(&InPlace(place as *const Word), &options),
            None => sample::inspect(&copied(self.skb, at), &options),
        }
    }

    #[inline(always)]
    fn forget(&self, number: u32) -> u32 {
        // SAFETY: the verifier checks the access to the context.
        let len = || unsafe { (&raw const (*self.skb.skb).len).read_volatile() };
        // Adds zero, but the verifier does not know that both are equal.
        number.wrapping_add(len().wrapping_sub(len()))
    }
}

impl Load for Walked<'_> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.skb.load(offset).ok()
    }

    #[inline(always)]
    fn forget(&self, number: usize) -> usize {
        Frame::forget(self, number as u32) as usize
    }
}

/// Zeros, word by word: the verifier follows each iteration of a loop over bytes.
#[inline(always)]
fn zeros<const WORDS: usize>() -> [u64; WORDS] {
    let mut words = MaybeUninit::<[u64; WORDS]>::uninit();
    for at in 0..WORDS {
        // SAFETY: it is one of the words.
        unsafe { words.as_mut_ptr().cast::<u64>().add(at).write_volatile(0) };
    }
    // SAFETY: all of them were written.
    unsafe { words.assume_init() }
}

/// Whether a port is one of the given VXLAN ports or of those of interfaces.
#[inline(always)]
fn is_vxlan(port: u16, control: &Control) -> bool {
    let [g0, g1, g2, g3] = VXLAN_PORTS.load();
    let [p0, p1, p2, p3] = control.vxlan_ports;
    let is_one = port == p0 || port == p1 || port == p2 || port == p3;
    port != 0 && (is_one || port == g0 || port == g1 || port == g2 || port == g3)
}

/// The address of the byte at that offset, if `len` bytes are contiguous there.
#[inline(always)]
pub(super) fn in_place(skb: &SkBuff, offset: u32, len: usize) -> Option<usize> {
    // SAFETY: the verifier checks the accesses to the context.
    let (start, end) = unsafe { ((*skb.skb).data as usize, (*skb.skb).data_end as usize) };
    let at = start + (offset & OFFSET_MAX) as usize;
    (at + len <= end).then_some(at)
}

/// The EtherType of IP or ARP directly behind an Ethernet header that is contiguous.
#[inline(always)]
fn plain_in_place(skb: &SkBuff, at: u32) -> Option<u16> {
    let place = in_place(skb, at, ETHERNET_LEN)? as *const Half;
    // SAFETY: the header is there, as the verifier checks.
    let ethertype = u16::from_be(unsafe { (*place.add(6)).0 });
    parse::is_plain(ethertype).then_some(ethertype)
}

/// The packet's own bytes, [`VIEW_LEN`] of them.
struct InPlace(*const Word);

/// Frames are aligned to two bytes, and so is the content behind an Ethernet header.
#[repr(C, packed(2))]
#[derive(Clone, Copy)]
struct Word(u32);

#[repr(C, packed(2))]
#[derive(Clone, Copy)]
struct Half(u16);

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
    let mut view = Copied(zeros());
    let len = skb.len().saturating_sub(offset).min(VIEW_LEN as u32);
    // SAFETY: the view has room. What cannot be read stays zero.
    unsafe { copy::<{ VIEW_LEN as u64 }>(skb, offset, (&raw mut view).cast(), len) };
    view
}
