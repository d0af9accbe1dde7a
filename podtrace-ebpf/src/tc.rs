//! What happens to one packet: find its tap, count it, copy its first bytes.
mod atomic;
mod copy;
mod emit;
mod maps;
mod place;
mod socket;
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

/// Counts the packet at its tap and sends its record to user space.
#[inline(always)]
pub(crate) fn observe<C: EbpfContext>(ctx: &C, skb: &SkBuff, direction: Direction) {
    let Some(control) = maps::CONTROL.get(0) else {
        return;
    };
    if control.active == 0 {
        return;
    }
    let key = place::tap_key(skb);
    let Some(state) = find(key) else {
        // Between attaching and registering a tap, and after forgetting one.
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
    let Some(captured) = view::taken(skb, direction, state.link_len, control) else {
        counters.filtered += 1;
        return;
    };
    if !emit::emit(skb, state.interface, direction, captured) {
        counters.lost += 1;
    }
}

/// Goes on as the tap of that direction, if it is there: then this does not return.
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
