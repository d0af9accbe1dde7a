//! Translations that were observed, or that connection tracking knows.
use std::{collections::VecDeque, hash::BuildHasher as _};

use foldhash::fast::RandomState;

use super::flow::{Flow, Flows};
use crate::{
    map::HashedMap,
    model::{event::Event, tap_point::TapPoint, translation::TranslatedFlow},
    packet::{Ends, Packet, PacketKey},
    world::World,
};

/// Upper bound of the remembered flows, including those of replies; the one that was translated
/// longest ago is forgotten first.
pub(crate) const KNOWN_MAX: usize = 2 * 65_536;

/// Bytes of one of them in the table.
#[cfg(test)]
pub(crate) const BYTES: usize = size_of::<(u64, Translated)>();

/// How long a translation is believed after its last packet, in nanoseconds: as long as the
/// kernel remembers a closed connection or a silent stream of datagrams. After that another
/// flow may have the same ports.
const BELIEVED_NS: u64 = 120_000_000_000;
/// Upper bound of the entries in [`Known::order`] that are put in order for a new one.
const ORDERED_AT_ONCE: usize = 8;

/// Where a flow was translated: equal ends elsewhere, or of another protocol, are another flow.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    /// The node and the network namespace.
    pub(super) netns: (usize, u64),
    /// IP protocol number.
    pub(super) protocol: u8,
}

impl Scope {
    /// The scope of an IP packet in a namespace.
    pub(super) fn of(netns: (usize, u64), packet: &Packet) -> Option<Self> {
        let protocol = packet.ip_protocol()?;
        Some(Self { netns, protocol })
    }
}

/// How well known translations agree with one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Fit {
    /// Its flow had another translation before.
    Contradicted,
    /// Nothing contradicts it.
    Possible,
    /// Its flow had this translation before.
    Confirmed,
}

/// The translations of flows, by hashes. Replies of a translated flow are translated back, so
/// each translation counts for two.
#[derive(Default)]
pub(super) struct Known {
    flows: Flows,
    hasher: RandomState,
    translated: HashedMap<u64, Translated>,
    /// The flows, each with a time at which it was translated: those at the front are the
    /// first to age, if they were not translated since.
    order: VecDeque<(u64, u64)>,
}

/// What a flow is translated to.
struct Translated {
    /// In one step, or in the first of two, or by a translation before the last. These are the
    /// same if only one is known.
    to: [Flow; 2],
    /// When it was last translated, or reported.
    last_ns: u64,
    /// Whether packets were seen to be translated and to go on.
    is_seen: bool,
    /// Whether the translation no longer holds: a later packet or the kernel showed it.
    is_refuted: bool,
}

impl Translated {
    fn went_on(&self, now_ns: u64) -> bool {
        self.is_seen && self.is_believed(now_ns)
    }

    fn is_believed(&self, now_ns: u64) -> bool {
        !self.is_refuted && now_ns.saturating_sub(self.last_ns) <= BELIEVED_NS
    }
}

/// The ends that a flow's packets and those of its answers have, each with what they become:
/// the translation of the destination comes first, and may be seen alone.
fn steps(flow: &TranslatedFlow) -> impl Iterator<Item = (Ends, [Ends; 2])> {
    let (before, after) = (flow.before, flow.after);
    let between = Ends {
        source: before.source,
        destination: after.destination,
        ports: before
            .ports
            .zip(after.ports)
            .map(|((from, _), (_, to))| (from, to)),
    };
    let has_two = between != before && between != after;
    let (there, back) = if has_two {
        (between, between.reversed())
    } else {
        (after, before.reversed())
    };
    let all = [
        (before, [there, after]),
        (after.reversed(), [back, before.reversed()]),
        (between, [after; 2]),
        (between.reversed(), [before.reversed(); 2]),
    ];
    all.into_iter().take(if has_two { 4 } else { 2 })
}

impl Known {
    fn hash(&self, scope: Scope, flow: Flow) -> u64 {
        self.hasher.hash_one((scope, flow))
    }

    /// The flow of packets with these ends.
    pub(super) fn flow(&self, ends: &Ends) -> Flow {
        self.flows.of(ends)
    }

    /// The flow of a TCP or UDP packet.
    #[inline]
    pub(super) fn flow_of(&self, key: &PacketKey) -> Flow {
        self.flows.of_key(key)
    }

    /// Remembers the translation of a packet. One that its flow had before stays beside it: a
    /// node may translate both ends of a packet at two hops, and those of its answers at one.
    pub(super) fn learn(&mut self, scope: Scope, before: Flow, after: Flow, ts_ns: u64) {
        for (from, to) in [(before, after), (after.reversed(), before.reversed())] {
            let from = self.hash(scope, from);
            let known = self.translated.get(&from);
            let earlier = known.filter(|known| known.went_on(ts_ns));
            let translated = Translated {
                to: match earlier.map(|earlier| earlier.to) {
                    Some(both) if both.contains(&to) => both,
                    Some([_, last]) => [last, to],
                    None => [to; 2],
                },
                last_ns: ts_ns,
                is_seen: true,
                is_refuted: false,
            };
            self.insert(from, translated);
        }
    }

    /// Remembers a flow that connection tracking reports. What the kernel tracks was not seen
    /// to go on: the packets of a process of the node end there, translated or not.
    pub(super) fn track(&mut self, netns: (usize, u64), flow: &TranslatedFlow, ts_ns: u64) {
        let scope = Scope {
            netns,
            protocol: flow.protocol,
        };
        for (from, to) in steps(flow) {
            let from = self.hash(scope, self.flow(&from));
            let translated = Translated {
                to: to.map(|to| self.flow(&to)),
                last_ns: ts_ns,
                is_seen: self
                    .translated
                    .get(&from)
                    .is_some_and(|known| known.went_on(ts_ns)),
                is_refuted: false,
            };
            self.insert(from, translated);
        }
    }

    /// Forgets a flow that connection tracking has forgotten.
    pub(super) fn untrack(&mut self, netns: (usize, u64), flow: &TranslatedFlow) {
        let scope = Scope {
            netns,
            protocol: flow.protocol,
        };
        for (from, to) in steps(flow) {
            let to = to.map(|to| self.flow(&to));
            let from = self.hash(scope, self.flow(&from));
            let known = self.translated.get_mut(&from);
            // The ports may have another flow by now.
            if let Some(known) = known.filter(|known| known.to.iter().all(|one| to.contains(one))) {
                known.is_refuted = true;
            }
        }
    }

    fn insert(&mut self, from: u64, translated: Translated) {
        let ts_ns = translated.last_ns;
        if self.translated.insert(from, translated).is_none() {
            self.order.push_back((from, ts_ns));
            self.forget_old(ts_ns);
        }
    }

    /// Forgets what is no longer believed, and the oldest if there are too many.
    fn forget_old(&mut self, now_ns: u64) {
        for _ in 0..ORDERED_AT_ONCE {
            let Some(&(flow, then_ns)) = self.order.front() else {
                return;
            };
            match self.translated.get(&flow) {
                Some(known) if !known.is_believed(now_ns) => {
                    self.translated.remove(&flow);
                    self.order.pop_front();
                }
                Some(known) if known.last_ns > then_ns => {
                    self.order.push_back((flow, known.last_ns));
                    self.order.pop_front();
                }
                _ => break,
            }
        }
        if self.order.len() > KNOWN_MAX
            && let Some((oldest, _)) = self.order.pop_front()
        {
            self.translated.remove(&oldest);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.translated.is_empty()
    }

    /// Whether packets with the event's ends were seen to be translated in its namespace a while
    /// ago and to go on, and that still holds.
    #[cold]
    pub(super) fn went_on(&self, event: &Event, world: &World) -> bool {
        let point = world.tap_points.get(event.interface);
        let place = point.filter(|point| !point.in_pod);
        self.place_of(event, place).is_some_and(|(scope, flow)| {
            self.get(scope, flow, event.ts_ns)
                .is_some_and(|known| known.is_seen)
        })
    }

    /// Records that a socket has taken the event's packet: its ends are not translated there
    /// any more.
    #[cold]
    pub(super) fn refute(&mut self, event: &Event, world: &World) {
        let place = self.place_of(event, world.tap_points.get(event.interface));
        if let Some((scope, flow)) = place {
            self.refute_flow(scope, flow);
        }
    }

    fn refute_flow(&mut self, scope: Scope, flow: Flow) {
        let from = self.hash(scope, flow);
        if let Some(known) = self.translated.get_mut(&from) {
            known.is_refuted = true;
        }
    }

    fn place_of(&self, event: &Event, point: Option<&TapPoint>) -> Option<(Scope, Flow)> {
        let scope = Scope::of(point?.netns(), &event.packet)?;
        Some((scope, self.flow(&event.packet.ends()?)))
    }

    /// The translation of a flow, if one is known that still holds.
    fn get(&self, scope: Scope, flow: Flow, now_ns: u64) -> Option<&Translated> {
        let known = self.translated.get(&self.hash(scope, flow))?;
        known.is_believed(now_ns).then_some(known)
    }

    /// The flows that become this one, as far as it is known.
    pub(super) fn origins(&self, scope: Scope, flow: Flow, now_ns: u64) -> Vec<Flow> {
        let mut back = self.targets(scope, flow.reversed(), now_ns);
        back.iter_mut().for_each(|flow| *flow = flow.reversed());
        back
    }

    /// The flows that this one becomes in one step or in two, as far as it is known: a node may
    /// translate the source at another hop than the destination, but the answers at one.
    pub(super) fn targets(&self, scope: Scope, flow: Flow, now_ns: u64) -> Vec<Flow> {
        let step = |from| self.get(scope, from, now_ns).map(|known| known.to);
        let mut targets = Vec::new();
        for one in step(flow).into_iter().flatten() {
            for target in [one].into_iter().chain(step(one).into_iter().flatten()) {
                if target != flow && !targets.contains(&target) {
                    targets.push(target);
                }
            }
        }
        targets
    }

    /// How well a translation fits the known ones.
    pub(super) fn fit(&self, scope: Scope, before: Flow, after: Flow, now_ns: u64) -> Fit {
        let ways = [(before, after), (after.reversed(), before.reversed())];
        let agree = ways.map(|(from, to)| {
            let known = self.get(scope, from, now_ns)?;
            Some(known.to.contains(&to))
        });
        match agree {
            [Some(true), _] | [_, Some(true)] => Fit::Confirmed,
            [None, None] => Fit::Possible,
            _ => Fit::Contradicted,
        }
    }
}

#[cfg(test)]
mod tests;
