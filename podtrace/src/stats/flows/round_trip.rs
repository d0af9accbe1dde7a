//! Round trips of TCP: from a segment to the answer that acknowledges it, at one interface.
use crate::{
    packet::{TCP_ACK, Transport},
    path::Path,
    stats::retransmission::Taken,
};

/// For each direction, the segment whose answer is awaited: one at a time, as TCP's own
/// timers do (RFC 6298).
#[derive(Default)]
pub(super) struct RoundTrips([Option<Awaited>; 2]);

struct Awaited {
    /// The number that acknowledges all of it.
    end: u32,
    /// Where and when it was seen first.
    interface: u32,
    ts_ns: u64,
}

impl RoundTrips {
    /// The time in nanoseconds since a segment that this packet is the first to acknowledge.
    /// `direction`: that of the packet, 0 or 1. What is sent again has no answer of its own (Karn's
    /// algorithm), so nothing is measured by it.
    pub(super) fn answered(
        &mut self,
        path: &Path,
        direction: usize,
        is_repeated: bool,
    ) -> Option<u64> {
        let Transport::Tcp {
            acknowledgment,
            flags,
            ..
        } = path.packet.transport
        else {
            return None;
        };
        let taken = Taken::of(&path.packet)?;
        let first = path.hops.first()?;
        let own = &mut self.0[direction];
        if is_repeated {
            *own = None;
        } else if taken.len() > 0 && own.is_none() {
            *own = Some(Awaited {
                end: taken.end(),
                interface: first.interface,
                ts_ns: first.ts_ns,
            });
        }
        let other = &mut self.0[1 - direction];
        let awaited = other.as_ref()?;
        let is_behind = acknowledgment.wrapping_sub(awaited.end).cast_signed() >= 0;
        if flags & TCP_ACK == 0 || !is_behind {
            return None;
        }
        let Awaited {
            interface, ts_ns, ..
        } = other.take()?;
        let mut hops = path.hops.iter();
        let back = hops.rfind(|hop| hop.interface == interface && !hop.aside)?;
        back.ts_ns.checked_sub(ts_ns)
    }
}
