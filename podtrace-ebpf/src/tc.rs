//! The work for one packet: find its tap, count it, copy its first bytes.
mod atomic;
mod copy;
mod emit;
mod filter;
pub(crate) mod maps;
mod socket;
mod tap_key;
mod view;
pub(crate) mod yardstick;

use aya_ebpf::{
    EbpfContext,
    programs::{TcContext, sk_buff::SkBuff},
};
use aya_log_ebpf::debug;
use podtrace_ebpf::{
    config::{TapKey, TapState},
    record::Direction,
};

/// `linux/if_packet.h`
const PACKET_LOOPBACK: u32 = 5;

/// Counts the packet at its tap and sends its record to user space.
#[inline(always)]
pub(crate) fn observe<C: EbpfContext>(ctx: &C, skb: &SkBuff, direction: Direction) {
    let Some(control) = maps::CONTROL.get(0) else {
        return;
    };
    if control.active == 0 || (direction == Direction::Ingress && is_loopback_copy(skb)) {
        return;
    }
    let key = tap_key::tap_key(skb);
    let Some(state) = find(key) else {
        // This happens between attaching and registering a tap, and after removing one.
        debug!(
            ctx,
            "packet at an unknown tap: netns cookie {}, ifindex {}", key.netns_cookie, key.ifindex
        );
        return;
    };
    // SAFETY: the pointer is to this CPU's value, which lives until the program
    // returns (RCU), and no other program runs on this CPU meanwhile.
    let state = unsafe { &mut *state };
    let counters = &mut state.counters[direction as usize];
    counters.seen += 1;
    let Some(captured) = view::captured_len(skb, direction, state.link_len, control) else {
        counters.filtered += 1;
        return;
    };
    if !emit::emit(skb, state.interface, direction, captured) {
        counters.lost += 1;
    }
}

/// Whether the kernel made this copy of its own broadcast or multicast for its own sockets
/// (`dev_loopback_xmit`). It enters at the interface without a link header, and is no packet
/// of the interface: packet sockets ignore it too.
#[inline(always)]
fn is_loopback_copy(skb: &SkBuff) -> bool {
    // SAFETY: the context is valid while the program runs.
    unsafe { (*skb.skb).pkt_type == PACKET_LOOPBACK }
}

/// Continues as the tap of that direction, if there is one, and then does not return.
#[inline(always)]
pub(crate) fn call(ctx: &TcContext, direction: Direction) {
    // SAFETY: nothing here waits to be dropped.
    unsafe { maps::STUBBED.tail_call(ctx, direction as u32) };
}

/// This CPU's state of a tap.
#[inline(always)]
fn find(key: TapKey) -> Option<*mut TapState> {
    for slot in key.slots(maps::TAPS_MASK.load()) {
        let state = maps::TAPS.get_ptr_mut(slot)?;
        // SAFETY: array values are always there.
        let found = unsafe { (*state).key };
        if found == key {
            return Some(state);
        }
    }
    None
}
