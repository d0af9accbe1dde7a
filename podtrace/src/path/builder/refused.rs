//! Packets that an answer refuses: an error of ICMP that quotes them, or a reset.
//!
//! Whoever answers may lie. An answer counts only if it comes from where its packet went, and
//! only for a packet that goes no further: what arrives was not refused on its way.
use podtrace_ebpf::record::Direction;

use super::{
    Builder,
    answerer::Answer,
    carried::{CARRIED_MAX, Carried},
    dropped::unless_dropped,
    ended::Ended,
    join::index::Slot,
    open::Open,
    recent::{Begun, Recent},
};
use crate::{
    model::{event::Event, tap_point::Role},
    packet::{Network, PacketKey, Payload, Quote, TCP_ACK, TCP_RST, TCP_SYN, Transport},
    path::{
        Outcome, Path,
        refusal::{self, Reason, Refusal},
    },
    world::World,
};

/// Upper bound of the packets that are known from their first hop.
const BEGUN_MAX: usize = 8192;
/// Upper bound of the packets that were reported as not seen further.
const LATE_MAX: usize = 4096;
/// Upper bound of the bytes of all that is known.
#[cfg(test)]
pub(crate) const KNOWN_BYTES: usize = Recent::<Begun, BEGUN_MAX>::BYTES
    + Recent::<Begun, LATE_MAX>::BYTES
    + Recent::<Carried, CARRIED_MAX>::BYTES
    + super::returned::BYTES
    + super::ended::BYTES
    + super::untold::BYTES;

/// The state of packets that may be refused.
#[derive(Default)]
pub(super) struct Refusals {
    /// All that began.
    pub(super) begun: Recent<Begun, BEGUN_MAX>,
    /// Packets that were reported as not seen further.
    pub(super) late: Recent<Begun, LATE_MAX>,
    /// Those in tunnels.
    pub(super) carried: Recent<Carried, CARRIED_MAX>,
    /// Those whose paths have ended.
    pub(super) ended: Ended,
}

/// The packet that an answer refuses.
enum Refused {
    /// Its path is open.
    Open(Slot),
    /// Its path has ended.
    Ended(u64),
}

/// Identifies the refused packet.
enum Sought {
    /// The part of its key in a quote.
    Quoted(PacketKey),
    /// It is the SYN with these ends.
    Syn([u64; 5]),
    /// It is a segment with these ends that acknowledges this.
    Segment([u64; 5], u32),
}

impl Sought {
    /// The packet that an answer refuses, with its tag and the reason.
    fn by(answer: &Event) -> Option<(Self, u32, Reason)> {
        let packet = &answer.packet;
        if let Some(quote) = quote_of(answer) {
            let is_for_sender = packet.destination() == quote.sender();
            let key = quote.packet.key().quoted();
            let reason = Reason::Icmp(quote.error);
            return is_for_sender.then(|| (Self::Quoted(key), key.tag(), reason));
        }
        if let Some(tag) = packet.transport.refused_syn() {
            let ends = packet.key().reversed_ends();
            return Some((Self::Syn(ends), tag, Reason::Reset));
        }
        match packet.transport {
            // The answer to what acknowledges something has that as its own number.
            Transport::Tcp {
                sequence,
                flags,
                payload: 0,
                ..
            } if flags & (TCP_RST | TCP_ACK) == TCP_RST => {
                let ends = packet.key().reversed_ends();
                Some((Self::Segment(ends, sequence), 0, Reason::Aborted))
            }
            _ => None,
        }
    }

    fn is(&self, key: &PacketKey) -> bool {
        match self {
            Self::Quoted(quoted) => key.quoted() == *quoted,
            Self::Syn(ends) => key.is_syn() && key.ends() == *ends,
            Self::Segment(ends, _) => key.ends() == *ends,
        }
    }
}

fn quote_of(answer: &Event) -> Option<&Quote> {
    answer.payload.as_deref().and_then(Payload::quote)
}

/// The tunnel whose packet a quote shows, with the one inside.
fn carried(quote: &Quote) -> Option<refusal::Carried> {
    let tunnel = quote.packet.tunnel?;
    Some(refusal::Carried {
        by: tunnel.kind(),
        port: quote.port,
    })
}

impl Builder {
    /// Notes that a packet has begun, or goes on after it was given a number or ends anew.
    #[inline]
    pub(super) fn note_begun(&mut self, key: PacketKey, slot: Slot, id: u64, ts_ns: u64) {
        let begun = Begun::new(key, id, slot, ts_ns);
        self.refusals.begun.push(key.tag(), begun);
    }

    /// Looks for the packet that a packet refuses which is seen for the first time, or for
    /// the first time with these ends.
    #[inline]
    pub(super) fn note_answer(&mut self, answer: Slot, event: &Event, world: &World) {
        let flags = match event.packet.transport {
            Transport::Tcp { flags, .. } => flags,
            _ => 0,
        };
        if flags & TCP_RST != 0 || quote_of(event).is_some() {
            self.note_refusal(answer, event, world);
        } else if flags & (TCP_SYN | TCP_ACK) == TCP_SYN | TCP_ACK {
            self.note_accepted(event, world);
        } else if matches!(&event.packet.network, Network::Ip(ip) if ip.fragment.is_some()) {
            self.note_fragment(answer, event);
        } else if matches!(
            event.packet.transport,
            Transport::None | Transport::Neighbor { .. }
        ) {
            self.answers.note(event);
        }
    }

    #[inline(never)]
    fn note_refusal(&mut self, answer: Slot, event: &Event, world: &World) {
        let Some(open) = self
            .open
            .get(answer)
            .filter(|open| open.path.about.is_none())
        else {
            return;
        };
        // Who sent it is told by where it was seen first, and not by where its translation shows.
        let path = &open.path;
        let (packet, by) = (path.id, path.packet.source());
        let seen = Answer::of(path, event);
        let (Some((sought, tag, reason)), Some(by)) = (Sought::by(event), by) else {
            return;
        };
        let is_sure = !self.is_partial && !self.may_pass_unseen(seen.ts_ns, seen.ts_ns);
        let mut refusal = Refusal {
            packet,
            by,
            at: is_sure.then_some(seen.tap),
            ts_ns: event.ts_ns,
            reason,
            carried: quote_of(event).and_then(carried),
            hops: 0,
        };
        let refused = self
            .refused(&sought, tag, &seen, world)
            .or_else(|| self.refused_in_fragments(event, &seen, world))
            .or_else(|| {
                let (refused, carried) = self.refused_in_tunnel(event, answer, &seen, world)?;
                refusal.carried = Some(carried);
                Some(refused)
            });
        let numbers = refused
            .as_ref()
            .map_or_else(Vec::new, |refused| self.numbers(refused));
        let about = match refused {
            Some(Refused::Open(slot)) if slot != answer => self.refuse(slot, refusal),
            Some(Refused::Ended(id)) => {
                self.refuse_ended(id, refusal, &seen, world);
                Some(id)
            }
            _ => None,
        };
        if about.is_some() {
            self.refuse_followers(&numbers, refusal, &seen, world);
        }
        if let Some(open) = self.open.get_mut(answer) {
            open.path.about = about;
        }
    }

    /// The packet that is sought: the newest, and one under way first.
    fn refused(&self, sought: &Sought, tag: u32, seen: &Answer, world: &World) -> Option<Refused> {
        if let Sought::Segment(_, acknowledgment) = sought {
            return self.aborted(sought, *acknowledgment, seen, world);
        }
        let mut ended = None;
        let Refusals { begun, late, .. } = &self.refusals;
        for Begun { key, id, slot, .. } in begun.find(tag).chain(late.find(tag)) {
            match self.open.get(*slot).filter(|open| open.path.id == *id) {
                Some(open)
                    if (sought.is(key) || sought.is(&open.key))
                        && open.path.refusal.is_none()
                        && is_from_there(open, seen, world) =>
                {
                    return Some(Refused::Open(*slot));
                }
                None if sought.is(key) => ended = ended.or(Some(*id)),
                _ => {}
            }
        }
        ended.map(Refused::Ended)
    }

    /// The newest segment that is still on its way where a reset begins, and acknowledges what the
    /// reset has as its number. Who has got it resets it by a right of his own.
    fn aborted(
        &self,
        sought: &Sought,
        acknowledged: u32,
        seen: &Answer,
        world: &World,
    ) -> Option<Refused> {
        if seen.tap.1 != Direction::Egress {
            return None;
        }
        let mut newest = self.refusals.begun.find_by(|_| true);
        let found = newest.find(|begun| {
            let open = self.open.get(begun.slot);
            let open = open.filter(|open| open.path.id == begun.id && !open.arrived);
            let is_it = |open: &Open| {
                matches!(open.path.packet.transport, Transport::Tcp { acknowledgment, flags, .. }
                    if flags & TCP_ACK != 0 && acknowledgment == acknowledged)
                    && (sought.is(&begun.key) || sought.is(&open.key))
                    && open.path.refusal.is_none()
                    && seen.comes_from(&open.path, world)
            };
            open.is_some_and(is_it)
        });
        found.map(|begun| Refused::Open(begun.slot))
    }

    /// The first fragment of a packet that its receiver, or a firewall, has put together again.
    fn refused_in_fragments(&self, event: &Event, seen: &Answer, world: &World) -> Option<Refused> {
        let (slot, id) = self.first_of(&quote_of(event)?.packet, event.ts_ns)?;
        self.refused_as(slot, id, seen, world)
    }

    /// A packet by its place and its number, if an answer may be about it.
    fn refused_as(&self, slot: Slot, id: u64, seen: &Answer, world: &World) -> Option<Refused> {
        let open = self.open.get(slot);
        match open.filter(|open| numbers_of(&open.path).any(|number| number == id)) {
            Some(open) => {
                let may_be = open.path.refusal.is_none() && is_from_there(open, seen, world);
                may_be.then_some(Refused::Open(slot))
            }
            None => Some(Refused::Ended(id)),
        }
    }

    /// The numbers of a packet. One that was slow has two, and its fragments may know either.
    fn numbers(&self, refused: &Refused) -> Vec<u64> {
        match *refused {
            Refused::Open(slot) => {
                let open = self.open.get(slot);
                open.map_or_else(Vec::new, |open| numbers_of(&open.path).collect())
            }
            Refused::Ended(id) => vec![id],
        }
    }

    /// Refuses the other fragments of a packet whose first is refused: no receiver puts it together
    /// without that. `first`: the numbers that the first has had.
    fn refuse_followers(&mut self, first: &[u64], refusal: Refusal, seen: &Answer, world: &World) {
        if !refusal.reason.is_refusal() {
            return;
        }
        for (slot, id) in self.followers_of(first) {
            match self.refused_as(slot, id, seen, world) {
                Some(Refused::Open(slot)) => drop(self.refuse(slot, refusal)),
                Some(Refused::Ended(id)) => self.refuse_ended(id, refusal, seen, world),
                None => {}
            }
        }
    }

    /// The packet in a tunnel of which an answer quotes the outer headers alone. If these are
    /// equal for several packets, the answer is ambiguous, and refuses none of them.
    fn refused_in_tunnel(
        &mut self,
        event: &Event,
        answer: Slot,
        seen: &Answer,
        world: &World,
    ) -> Option<(Refused, refusal::Carried)> {
        let quote = quote_of(event)?;
        let mut known = self.refusals.carried.quoted(quote);
        let found = *known.next()?;
        if known.any(|other| other.id != found.id) {
            self.open.get_mut(answer)?.path.ambiguous = true;
            return None;
        }
        let refused = self.refused_as(found.slot, found.id, seen, world)?;
        let carried = refusal::Carried {
            by: found.by,
            port: quote.port,
        };
        Some((refused, carried))
    }

    /// Notes that an open path is refused; returns its number.
    fn refuse(&mut self, slot: Slot, refusal: Refusal) -> Option<u64> {
        self.take_up(slot);
        self.open.change(slot, refusal.ts_ns, |open| {
            let hops = open.path.hops.len();
            open.path.refusal = Some(Box::new(Refusal { hops, ..refusal }));
            open.path.id
        })
    }
}

/// How a path ends that would end so if no more were known: that its packet went in a circle,
/// that it was refused, or that a kernel has dropped it. What was delivered stays so, and what has
/// left, unless it came back.
pub(super) fn unless_known(path: &Path, outcome: Outcome) -> Outcome {
    match outcome {
        // A firewall that rejects it does both.
        Outcome::Delivered if path.is_dropped_on_arrival() && path.is_refused() => Outcome::Refused,
        Outcome::Delivered if path.is_dropped_on_arrival() => Outcome::Dropped,
        Outcome::Delivered => outcome,
        _ if path.circle.is_some() => Outcome::Loop,
        _ if outcome.has_left() => outcome,
        _ if path.is_refused() => Outcome::Refused,
        _ => unless_dropped(path.is_dropped(), outcome),
    }
}

/// The numbers that a path has had, as far as they are known: a slow packet gets a new one.
fn numbers_of(path: &Path) -> impl Iterator<Item = u64> {
    let before = path.late_of.map(|before| before.id);
    std::iter::once(path.id).chain(before)
}

/// Whether an answer may come from where an open path's packet is: from the receiver, if it has
/// arrived.
fn is_from_there(open: &Open, answer: &Answer, world: &World) -> bool {
    let (interface, direction) = answer.tap;
    let is_sent_here = world.tap_points.get(interface).is_some_and(|point| {
        direction == Direction::Egress || point.role == Role::Veth && point.leads_to.is_some()
    });
    (!open.arrived || is_sent_here) && answer.comes_from(&open.path, world)
}
