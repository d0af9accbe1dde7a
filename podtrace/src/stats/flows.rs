//! Flows: what two sockets say to each other, both directions together.
//!
//! A flow is known by the ends of its packets, before and after each translation that a path
//! shows, so that both sides of a Service are one flow. The client is the end that asks: the
//! one that sends the SYN, or the first packet. Where a trace begins in the midst of a TCP flow, it
//! is the end with the higher port; a UDP packet from a port below 1024 to one that Linux gives to
//! clients (32768 and above) is an answer. Later fragments have no ports, and belong to no flow.
//!
//! Memory is bounded: 16 384 flows of about 500 B with their names, and round trips as
//! [`Latencies`] says. Where there are more, those that were silent for longest are forgotten,
//! and counted.
mod round_trip;

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use super::{
    EndName,
    latency::Latencies,
    report::{Flow, FlowEnd, Volume},
    retransmission::Retransmitted,
};
use crate::{
    field::TimeNs,
    packet::{Ends, IPPROTO_TCP, Transport, asks_to_connect},
    path::{
        Outcome, Path, RoundTrip,
        ends::ends,
        flow::{FlowKey, is_answer, is_from_server, keys, protocol_name, reached},
        service::{service_behind, service_of},
    },
    world::World,
};
use round_trip::RoundTrips;

/// Upper bound of the flows.
const FLOWS_MAX: usize = 16_384;
/// When there are more, this share of them is forgotten at once.
const FORGOTTEN_SHARE: usize = 8;

/// The flows so far.
#[derive(Default)]
pub struct Flows {
    /// The flow of each key that is known for it.
    index: HashMap<FlowKey, u64>,
    flows: HashMap<u64, Counts>,
    next: u64,
    retransmitted: Retransmitted,
    /// How many flows were forgotten.
    forgotten: u64,
    /// The newest packet.
    newest_ns: u64,
}

/// What flows are sorted by, the most or the newest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Packets of both directions.
    #[default]
    Packets,
    /// Bytes of both directions.
    Bytes,
    /// The median round trip.
    RoundTrip,
    /// Retransmitted packets.
    Retransmitted,
    /// Lost packets.
    Lost,
    /// The last packet.
    Last,
}

impl Order {
    /// What the order is by.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Bytes => "bytes",
            Self::RoundTrip => "round trip",
            Self::Retransmitted => "retransmissions",
            Self::Lost => "losses",
            Self::Last => "last packet",
        }
    }
}

/// A flow's counts.
struct Counts {
    keys: Vec<FlowKey>,
    protocol: u8,
    client: Ends,
    /// The ends of the client's packets where they were seen last.
    reached: Ends,
    names: [EndName; 2],
    service: Option<Arc<str>>,
    /// From the client, and to it.
    volumes: [Volume; 2],
    first_ns: u64,
    last_ns: u64,
    outcomes: [u64; Outcome::NAMES.len()],
    retransmitted: u64,
    refused: u64,
    awaited: RoundTrips,
    round_trip: Latencies,
}

impl Flows {
    /// Counts a path that has ended. Packets without IP addresses and later fragments belong to
    /// no flow.
    pub fn add(&mut self, path: &Path, world: &World) {
        let (Some(first), Some(before)) = (path.hops.first(), path.packet.ends()) else {
            return;
        };
        if path.packet.transport == Transport::Fragment {
            return;
        }
        self.newest_ns = self.newest_ns.max(first.ts_ns);
        let number = self.flow_of(path, before);
        let is_repeated = path.late_of.is_none()
            && path.part_of.is_none()
            && self.retransmitted.is_repeated(&path.packet);
        if let Some(flow) = self.flows.get_mut(&number) {
            flow.add(path, before, is_repeated, world);
        }
        if self.flows.len() > FLOWS_MAX {
            self.forget();
        }
    }

    /// The number of a path's flow, which is new if no other path has shown its ends.
    fn flow_of(&mut self, path: &Path, before: Ends) -> u64 {
        let keys: Vec<_> = keys(path).collect();
        let found = keys.iter().find_map(|key| self.index.get(key).copied());
        let is_new_connection = matches!(path.packet.transport,
            Transport::Tcp { flags, .. } if asks_to_connect(flags));
        let number = match found {
            Some(number) if !(is_new_connection && self.is_over(number, path)) => number,
            _ => {
                self.next += 1;
                let counts = Counts::new(path, before);
                self.flows.insert(self.next, counts);
                self.next
            }
        };
        for key in keys {
            let known = self.index.insert(key, number);
            if known != Some(number)
                && let Some(flow) = self.flows.get_mut(&number)
            {
                flow.keys.push(key);
            }
        }
        number
    }

    /// Whether a flow's ports were used again long after its last packet.
    fn is_over(&self, number: u64, path: &Path) -> bool {
        /// Linux keeps the ports of a closed connection for this time (TCP_TIMEWAIT_LEN).
        const TIME_WAIT_NS: u64 = 60_000_000_000;
        let first_ns = path.first_ns();
        self.flows
            .get(&number)
            .is_some_and(|flow| first_ns.saturating_sub(flow.last_ns) > TIME_WAIT_NS)
    }

    /// Forgets those that were silent for longest.
    fn forget(&mut self) {
        let mut ages: Vec<_> = self
            .flows
            .iter()
            .map(|(number, flow)| (flow.last_ns, *number))
            .collect();
        ages.sort_unstable();
        for (_, number) in ages.into_iter().take(FLOWS_MAX / FORGOTTEN_SHARE) {
            for key in self
                .flows
                .remove(&number)
                .into_iter()
                .flat_map(|flow| flow.keys)
            {
                if self.index.get(&key) == Some(&number) {
                    self.index.remove(&key);
                }
            }
            self.forgotten += 1;
        }
    }

    /// How many flows there are, and how many were forgotten.
    #[must_use]
    pub fn count(&self) -> (usize, u64) {
        (self.flows.len(), self.forgotten)
    }

    /// The time of the newest packet, in nanoseconds of the events' clock.
    #[must_use]
    pub fn newest_ns(&self) -> u64 {
        self.newest_ns
    }

    /// The first flows in an order; of those that are equal in it, the busiest and then the oldest
    /// come first. `epoch_ns`: UTC nanoseconds at zero of the events' clock.
    #[must_use]
    pub fn top(&self, order: Order, count: usize, epoch_ns: i128) -> Vec<Flow> {
        let mut all: Vec<_> = self
            .flows
            .iter()
            .map(|(number, flow)| {
                let ranks = [order, Order::Packets, Order::Bytes].map(|order| flow.rank(order));
                ((Reverse(ranks), flow.first_ns, *number), flow)
            })
            .collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        let shown = all.into_iter().take(count);
        shown.map(|(_, flow)| flow.shown(epoch_ns)).collect()
    }
}

impl Counts {
    fn new(path: &Path, before: Ends) -> Self {
        let client = if is_from_server(&path.packet, before) {
            path.ends().unwrap_or(before).reversed()
        } else {
            before
        };
        let first_ns = path.first_ns();
        Self {
            keys: Vec::new(),
            protocol: path.packet.ip_protocol().unwrap_or_default(),
            client,
            reached: client,
            names: [EndName::Unknown, EndName::Unknown],
            service: None,
            volumes: [Volume::default(); 2],
            first_ns,
            last_ns: first_ns,
            outcomes: [0; Outcome::NAMES.len()],
            retransmitted: 0,
            refused: 0,
            awaited: RoundTrips::default(),
            round_trip: Latencies::default(),
        }
    }

    fn add(&mut self, path: &Path, before: Ends, is_repeated: bool, world: &World) {
        let is_answer = is_answer(path, before, self.client, self.reached);
        if !is_answer {
            self.reached = reached(path, self.client, self.reached);
        }
        let direction = usize::from(is_answer);
        self.name(path, is_answer, world);
        // What was counted with a flow that was forgotten since is new here.
        let corrected = path.late_of.map(|before| before.outcome.index());
        let corrected = corrected.filter(|before| self.outcomes[*before] > 0);
        if let Some(before) = corrected {
            self.outcomes[before] -= 1;
        }
        self.outcomes[path.outcome.index()] += 1;
        self.refused += u64::from(path.was_refused());
        if corrected.is_some() {
            return;
        }
        self.volumes[direction].add(path.packet.length);
        self.retransmitted += u64::from(is_repeated);
        let first_ns = path.first_ns();
        self.first_ns = self.first_ns.min(first_ns);
        self.last_ns = self.last_ns.max(first_ns);
        let answered = self.awaited.answered(path, direction, is_repeated);
        let answered = answered.filter(|_| !path.ambiguous);
        let echo = path.measured_trip().map(RoundTrip::total_ns);
        self.round_trip.extend(echo.or(answered));
    }

    /// Takes over the names that a path shows.
    fn name(&mut self, path: &Path, is_answer: bool, world: &World) {
        let (from, to) = ends(path, world);
        let named = if is_answer { [to, from] } else { [from, to] };
        for (name, end) in self.names.iter_mut().zip(&named) {
            let found = EndName::of(end, None);
            if !name.is_named() && found != EndName::Unknown {
                *name = found;
            }
        }
        if self.service.is_none() {
            let mut translations = path.translations.iter();
            let service = translations.find_map(|one| service_of(path, one, world));
            let service = service.or_else(|| service_behind(path, world));
            self.service = service.map(|service| Arc::clone(&service.port.name));
        }
    }

    fn count_of(&self, outcomes: &[Outcome]) -> u64 {
        let counts = outcomes
            .iter()
            .map(|outcome| self.outcomes[outcome.index()]);
        counts.sum()
    }

    fn lost(&self) -> u64 {
        let unanswered = match self.protocol {
            IPPROTO_TCP => self.count_of(&[Outcome::Unanswered]),
            // Nobody may have the neighbour's address that is asked for.
            _ => 0,
        };
        let lost = [
            Outcome::NotSeenFurther,
            Outcome::Dropped,
            Outcome::NoSocket,
            Outcome::Loop,
        ];
        self.count_of(&lost) + unanswered
    }

    /// The number that an order compares.
    fn rank(&self, order: Order) -> u64 {
        match order {
            Order::Packets => self.volumes.iter().map(|volume| volume.packets).sum(),
            Order::Bytes => self.volumes.iter().map(|volume| volume.bytes).sum(),
            Order::RoundTrip => self.round_trip.summary().map_or(0, |rtt| rtt.p50_ns),
            Order::Retransmitted => self.retransmitted,
            Order::Lost => self.lost(),
            Order::Last => self.last_ns,
        }
    }

    fn shown(&self, epoch_ns: i128) -> Flow {
        let (client, server) = (self.client.from(), self.client.to());
        let end = |(address, port), name: &EndName| FlowEnd {
            name: name.clone(),
            address,
            port,
        };
        let [client_name, server_name] = &self.names;
        Flow {
            protocol: protocol_name(self.protocol).into_owned(),
            client: end(client, client_name),
            server: end(server, server_name),
            service: self.service.clone(),
            sent: self.volumes[0],
            answered: self.volumes[1],
            rtt: self.round_trip.summary(),
            retransmitted: self.retransmitted,
            lost: self.lost(),
            refused: self.refused,
            unknown: self.count_of(&[Outcome::EventsLost, Outcome::GivenUp]),
            first_ns: TimeNs::new(epoch_ns, self.first_ns).0,
            last_ns: TimeNs::new(epoch_ns, self.last_ns).0,
        }
    }
}

#[cfg(test)]
mod tests;
