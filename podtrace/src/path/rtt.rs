//! Echo requests and their replies: the round trip, split by interface.
use std::collections::VecDeque;

use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use crate::{
    map::Map,
    model::event::Event,
    packet::{EchoFlow, Packet},
    path::Hop,
};

/// Upper bound of the remembered requests; the oldest is forgotten first.
pub(crate) const REQUESTS_MAX: usize = 4096;
/// Upper bound of the remembered tap points of all requests together.
pub(crate) const SEEN_MAX: usize = 8 * REQUESTS_MAX;

/// Room for the tap points of a request: those from node to node.
const TAP_POINTS: usize = 11;
/// Upper bound of the translations of one request.
const TRANSLATED_MAX: usize = 4;

/// A round trip as seen from each interface that saw request and reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// Interface number and nanoseconds from request to reply there, in the
    /// order in which the request passed.
    pub at: Vec<(u32, u64)>,
    /// Whether the interface that first saw the request is among them. If not, the reply did not
    /// get back, and none of the times is that of the whole round trip.
    pub is_whole: bool,
}

impl RoundTrip {
    /// The whole round trip in nanoseconds, if it is whole.
    #[must_use]
    pub fn total_ns(&self) -> u64 {
        self.at.first().map_or(0, |(_, ns)| *ns)
    }
}

/// Interface, direction, time and socket's cgroup of a request.
pub(crate) type Seen = (u32, Direction, u64, u64);

/// Where and when an echo request was seen.
#[derive(Debug)]
struct Request {
    seen: Vec<Seen>,
    /// The flows that address translation made of it.
    translated: Vec<EchoFlow>,
}

/// Where and when each echo request was seen.
#[derive(Debug, Default)]
pub struct Requests {
    requests: Map<EchoFlow, Request>,
    order: VecDeque<EchoFlow>,
    /// The original of each translated request.
    originals: Map<EchoFlow, EchoFlow>,
    /// How many tap points are remembered.
    tap_points: usize,
}

impl Requests {
    /// Remembers an event if it is an echo request.
    #[inline]
    pub fn record(&mut self, event: &Event) {
        // A copy for a raw socket is no tap point on the way.
        if let Some((flow, false)) = event.packet.echo_pair()
            && event.direction != Direction::Socket
        {
            self.add(&flow, event);
        }
    }

    fn add(&mut self, flow: &EchoFlow, event: &Event) {
        let flow = self.original(flow);
        let request = self.requests.entry(flow).or_insert_with(|| {
            self.order.push_back(flow);
            Request {
                seen: Vec::with_capacity(TAP_POINTS),
                translated: Vec::new(),
            }
        });
        let tap_points = &mut request.seen;
        // The same tap again means another request with the same numbers.
        if tap_points.iter().any(|(interface, direction, ..)| {
            (*interface, *direction) == (event.interface, event.direction)
        }) {
            self.tap_points -= tap_points.len();
            tap_points.clear();
        }
        tap_points.push((event.interface, event.direction, event.ts_ns, event.cgroup));
        self.tap_points += 1;
        while self.order.len() > REQUESTS_MAX || self.tap_points > SEEN_MAX {
            self.forget_oldest();
        }
    }

    /// Records that one echo request was translated into another.
    pub fn alias(&mut self, before: &Packet, after: &Packet) {
        let (Some((before, false)), Some((after, false))) = (before.echo_pair(), after.echo_pair())
        else {
            return;
        };
        let original = self.original(&before);
        let Some(request) = self.requests.get_mut(&original) else {
            return;
        };
        if original != after && request.translated.len() < TRANSLATED_MAX {
            request.translated.push(after);
            self.originals.insert(after, original);
        }
    }

    /// The request as it was sent.
    fn original(&self, flow: &EchoFlow) -> EchoFlow {
        self.originals.get(flow).copied().unwrap_or(*flow)
    }

    fn forget_oldest(&mut self) {
        let oldest = self.order.pop_front();
        let Some(request) = oldest.and_then(|flow| self.requests.remove(&flow)) else {
            return;
        };
        self.tap_points -= request.seen.len();
        for flow in request.translated {
            // Another request may have the same flow since.
            if self.originals.get(&flow) == oldest.as_ref() {
                self.originals.remove(&flow);
            }
        }
    }

    /// Cgroup of the socket that sent the request, if it was seen.
    #[must_use]
    pub fn requester(&self, flow: &EchoFlow) -> Option<u64> {
        let (.., cgroup) = self.requests.get(&self.original(flow))?.seen.first()?;
        (*cgroup != CGROUP_NONE).then_some(*cgroup)
    }

    /// The round trip that a reply completes.
    #[must_use]
    pub fn round_trip(&self, flow: &EchoFlow, reply: &[Hop]) -> Option<RoundTrip> {
        let seen = &self.requests.get(&self.original(flow))?.seen;
        let mut at = Vec::with_capacity(seen.len());
        at.extend(
            seen.iter()
                .enumerate()
                .filter(|(n, (interface, ..))| {
                    seen[..*n].iter().all(|(other, ..)| other != interface)
                })
                .filter_map(|(_, (interface, _, sent, _))| {
                    let hop = reply.iter().rfind(|hop| {
                        hop.interface == *interface
                            && hop.direction != Direction::Socket
                            && !hop.aside
                    })?;
                    Some((*interface, hop.ts_ns.checked_sub(*sent)?))
                }),
        );
        let (first, ..) = at.first()?;
        let is_whole = seen.first().is_some_and(|(sender, ..)| sender == first);
        Some(RoundTrip { at, is_whole })
    }
}
