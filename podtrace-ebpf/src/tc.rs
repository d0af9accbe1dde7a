//! What happens to one packet: find its tap, count it, copy its first bytes.
mod emit;
mod maps;
mod place;
pub(crate) mod yardstick;

use aya_ebpf::{EbpfContext, programs::sk_buff::SkBuff};
use aya_log_ebpf::debug;
use podtrace_ebpf::record::Direction;

/// Counts the packet at its tap and sends its record to user space.
#[inline(always)]
pub(crate) fn observe<C: EbpfContext>(ctx: &C, skb: &SkBuff, direction: Direction) {
    if maps::ACTIVE.get(0).is_none_or(|active| *active == 0) {
        return;
    }
    let key = place::tap_key(skb);
    let Some(state) = maps::TAPS.get_ptr_mut(key) else {
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
    if !emit::emit(skb, state.interface, direction, counters.seen) {
        counters.lost += 1;
    }
}
