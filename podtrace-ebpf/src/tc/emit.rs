//! The record of one packet: reserve, copy, submit.
use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, bpf_skb_cgroup_id, bpf_skb_load_bytes},
    programs::sk_buff::SkBuff,
};
use podtrace_ebpf::{
    config::SNAPLEN_MAX,
    record::{Direction, FLAG_VLAN, HEADER_LEN, RecordHeader, VERSION},
};

use super::maps::{EVENTS, WAKE};

/// `BPF_RB_NO_WAKEUP`: waking the reader for each packet costs more than the tap.
pub(super) const NO_WAKEUP: u64 = 1;
/// `BPF_RB_FORCE_WAKEUP`.
const FORCE_WAKEUP: u64 = 2;
/// Packets of a tap and CPU between two looks at how full the ring is. A
/// wake-up costs as much as ten taps, and one is due at each look while the
/// reader is behind: at 64, a tap was 80 ns slower under a flood.
const WATERMARK_EVERY: u64 = 1024;
/// Bytes in the ring at which the reader is woken.
const WATERMARK: u64 = 1 << 20;
/// `BPF_RB_AVAIL_DATA`.
const AVAIL_DATA: u64 = 0;

/// Sends a record with the first `captured` bytes; false when the ring has no
/// room.
///
/// A reservation must be of constant size, so records come in size classes
/// for what may be captured; the header says how much of it is filled.
#[inline(always)]
pub(crate) fn emit(
    skb: &SkBuff,
    interface: u32,
    direction: Direction,
    seen: u64,
    captured: u32,
) -> bool {
    // 64 bits wide: the verifier follows bounds per register, and narrower
    // numbers get copied around for extension.
    let captured = u64::from(captured);
    // SAFETY: reads a local variable; see `submit`.
    let captured = unsafe { core::ptr::read_volatile(&raw const captured) };
    match captured {
        0..=100 => submit::<100>(skb, interface, direction, seen, captured),
        101..=164 => submit::<164>(skb, interface, direction, seen, captured),
        165..=484 => submit::<484>(skb, interface, direction, seen, captured),
        485..=1540 => submit::<1540>(skb, interface, direction, seen, captured),
        _ => submit::<{ SNAPLEN_MAX as usize }>(skb, interface, direction, seen, captured),
    }
}

#[inline(always)]
fn submit<const ROOM: usize>(
    skb: &SkBuff,
    interface: u32,
    direction: Direction,
    seen: u64,
    captured: u64,
) -> bool {
    let Some(mut entry) = EVENTS.reserve::<Slot<ROOM>>(0) else {
        return false;
    };
    let slot = entry.as_mut_ptr();
    // Hides from the compiler what it knows of the length: it would test for
    // zero in another register than the helper's, and the verifier, which
    // follows registers, would not see the lower bound.
    // SAFETY: reads a local variable.
    let captured = unsafe { core::ptr::read_volatile(&raw const captured) };
    // SAFETY: `slot` has room for the header and `ROOM` bytes; the helper
    // writes `captured` bytes, which is at most `ROOM`, and zeroes them when
    // the packet is shorter than it says.
    unsafe {
        let copied = captured != 0
            && bpf_skb_load_bytes(
                skb.skb.cast(),
                0,
                (&raw mut (*slot).data).cast(),
                captured as u32,
            ) == 0;
        (&raw mut (*slot).header).write(header(
            skb,
            interface,
            direction,
            if copied { captured as u32 } else { 0 },
        ));
    }
    entry.submit(wakeup(seen));
    true
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
        // SAFETY: the helper takes the context and reads the socket behind it.
        cgroup: unsafe { bpf_skb_cgroup_id(skb.skb) },
        interface,
        wire_len: skb.len(),
        captured,
        vlan_tci: vlan_tci as u16,
        gso_segments: gso_segments as u16,
        direction: direction as u8,
        flags: if vlan_present == 0 { 0 } else { FLAG_VLAN },
        version: VERSION,
        zero: 0,
    }
}

/// Wakes the reader when it sleeps, or when much has gathered while it works
/// off its timer; says nothing otherwise.
#[inline(always)]
fn wakeup(seen: u64) -> u64 {
    if let Some(wake) = WAKE.get_ptr_mut(0) {
        // SAFETY: array values are always there; a lost race costs one more wake-up.
        unsafe {
            if *wake != 0 {
                *wake = 0;
                return FORCE_WAKEUP;
            }
        }
    }
    if seen.is_multiple_of(WATERMARK_EVERY) && EVENTS.query(AVAIL_DATA) > WATERMARK {
        return FORCE_WAKEUP;
    }
    NO_WAKEUP
}

/// A record with room for `ROOM` captured bytes.
#[repr(C)]
struct Slot<const ROOM: usize> {
    header: RecordHeader,
    data: [u8; ROOM],
}

const _: () = assert!(size_of::<Slot<100>>() == HEADER_LEN + 100);
