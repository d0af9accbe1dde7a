//! The record of one packet: reserve room in the CPU's ring, copy, publish.
use aya_ebpf::{
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
    programs::sk_buff::SkBuff,
};
use podtrace_ebpf::{
    config::SNAPLEN_MAX,
    record::{Direction, FLAG_VLAN, HEADER_LEN, Kind, RecordHeader, VERSION},
    ring::{Cursors, room},
};

use super::{
    atomic,
    copy::copy,
    maps::{LOST, RING_MASK, RINGS, WAKE},
    socket::cgroup,
};

/// `BPF_RB_FORCE_WAKEUP`.
const FORCE_WAKEUP: u64 = 2;

/// Sends a record with the first `captured` bytes; returns false if there is no room.
///
/// A ring has one writer: no other program of ours runs on this CPU until this one returns, as
/// all run with softirqs off. If a kernel preempts it nevertheless (PREEMPT_RT), the other
/// program finds the ring busy and loses its packet.
#[inline(always)]
pub(crate) fn emit(skb: &SkBuff, interface: u32, direction: Direction, captured: u32) -> bool {
    // SAFETY: a helper without arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let Some(ring) = RINGS.get_ptr_mut(cpu) else {
        // The CPU was added after the start.
        if let Some(lost) = LOST.get_ptr_mut(0) {
            // SAFETY: array values are always there.
            unsafe { atomic::add_one(lost) };
        }
        return false;
    };
    let cursors = ring.cast::<Cursors>();
    // SAFETY: array values are always there; what the reader writes, and what tells
    // it something, is accessed as volatile.
    unsafe {
        let busy = &raw mut (*cursors).producer.busy;
        let lost = &raw mut (*cursors).producer.lost;
        if atomic::take(busy) {
            atomic::add_one(lost);
            return false;
        }
        let used = write(skb, interface, direction, captured, cursors);
        busy.write_volatile(0);
        match used {
            Some(used) => wake_above(cursors, used),
            None => atomic::add_one(lost),
        }
        used.is_some()
    }
}

/// Writes the record and publishes it; returns how many bytes are in the ring then.
///
/// # Safety
/// The pointer is to this CPU's cursors, which its ring follows, and nothing else writes
/// there.
#[inline(always)]
unsafe fn write(
    skb: &SkBuff,
    interface: u32,
    direction: Direction,
    captured: u32,
    cursors: *mut Cursors,
) -> Option<u64> {
    let mask = u64::from(RING_MASK.load());
    // SAFETY: as above; the verifier checks that record and packet bytes stay
    // within the value.
    unsafe {
        let position = &raw mut (*cursors).producer.position;
        let begin = position.read_volatile();
        let read = (&raw const (*cursors).consumer.position).read_volatile();
        if begin - read + u64::from(room(captured)) > mask + 1 {
            return None;
        }
        let ring = cursors.add(1).cast::<u8>();
        let record = ring.add((begin & mask) as usize);
        let is_copied = copy::<{ SNAPLEN_MAX as u64 }>(skb, 0, record.add(HEADER_LEN), captured);
        let captured = if is_copied { captured } else { 0 };
        let header = header(skb, interface, direction, captured);
        record.cast::<RecordHeader>().write(header);
        let room = u64::from(room(captured));
        atomic::publish(position, room);
        Some(begin + room - read)
    }
}

#[inline(always)]
fn header(skb: &SkBuff, interface: u32, direction: Direction, captured: u32) -> RecordHeader {
    // SAFETY: the verifier checks the accesses to the context.
    let (vlan_present, vlan_tci, gso_segments) = unsafe {
        let skb = skb.skb;
        ((*skb).vlan_present, (*skb).vlan_tci, (*skb).gso_segs)
    };
    RecordHeader {
        // SAFETY: a helper without arguments.
        ts_ns: unsafe { bpf_ktime_get_ns() },
        cgroup: cgroup(skb),
        interface,
        wire_len: skb.len(),
        captured,
        vlan_tci: vlan_tci as u16,
        gso_segments: gso_segments as u16,
        direction: direction as u8,
        flags: if vlan_present == 0 { 0 } else { FLAG_VLAN },
        version: VERSION,
        kind: Kind::Tap as u8,
    }
}

/// Wakes the reader if it asked for that.
///
/// # Safety
/// The pointer is to this CPU's cursors.
#[inline(always)]
unsafe fn wake_above(cursors: *mut Cursors, used: u64) {
    // SAFETY: array values are always there; a lost race costs one more wake-up.
    unsafe {
        let wake_above = &raw mut (*cursors).consumer.wake_above;
        if used > wake_above.read_volatile() {
            wake_above.write_volatile(u64::MAX);
            if let Some(nothing) = WAKE.reserve::<u64>(0) {
                nothing.discard(FORCE_WAKEUP);
            }
        }
    }
}
