//! One JSON object per line; `type` says what it is:
//!
//! - `start`: `nodes`, `interfaces`, `attaching` (those that are still to be tapped; a
//!   notice tells when all are), `pods`, `namespaces`, `attach`, `replay`
//! - `event`: `packet`, `time_ns`, `node`, `pod`, `interface`, `ifindex`,
//!   `direction` (`ingress`, `egress`, `socket`), `socket`, `bytes`, `what`,
//!   `source`, `destination`, `tunnel`, `ttl`, `vlan`, `gso_segments`
//! - `path`: `packet`, `what`, `source`, `source_pod`, `source_container`,
//!   `source_node`, `source_on`, `sender`, `destination`, `destination_pod`,
//!   `destination_container`, `destination_node`, `destination_on`, `outcome`, `vtep`,
//!   `ambiguous`, `incomplete`, `duration_ns`, `hops` (`time_ns`, `delta_ns`, `node`, `pod`,
//!   `interface`, `ifindex`, `direction`, `socket`, `bytes`, `tunnel`, `ttl`),
//!   `rtt_ns`, `rtt_at` (`interface`, `ns`), `clocks` of several nodes (`node`,
//!   `offset_ns`, `uncertainty_ns`, absent when the clock is not known)
//! - `socket` and `sender`: `owner` (`container`, `kernel`, `process`, `root`,
//!   `none`, `unknown`), `pod`, `container`, `cgroup`
//! - `loss`, once a second while events are lost: `time_ns`, `lost` since the
//!   last one, `total` since the begin, and `taps`, the most first (`node`, `pod`,
//!   `interface`, `direction`, `lost_ring`, `undecodable`)
//! - `notice`: `text`
//! - `summary`: `packets`, `outcomes`, `incomplete`, `unreadable`, `duration_ns`, `total`
//!   and `taps` (`seen`, `emitted`, `filtered`, `lost_ring`, `undecodable`),
//!   `not_shown` (`packets`, `events`, `notices`: what this output lacks, as it
//!   was not read fast enough)
//!
//! `packet` numbers packets from 1; times are nanoseconds since 1970 (UTC),
//! and strings hold at least what the text view shows. Fields without a value
//! are absent. New fields may come; these keep their meaning.
mod lines;

use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use crate::{
    model::{event::Event, loss::Loss, start::Start},
    output::render::Render,
    path::{
        Hop, Outcome, Path,
        clocks::clocks,
        ends::{ends, sending},
        summary::Summary,
    },
    pipeline::consumer::NotShown,
    projection::{describe, names},
    world::World,
};

use lines::{
    ClockLine, EventLine, HopLine, Line, LossCount, PathLine, RttLine, TapLine, TunnelLine,
};

/// JSON lines.
pub struct Json {
    epoch_ns: i128,
}

impl Json {
    /// `epoch_ns`: UTC nanoseconds at CLOCK_MONOTONIC zero.
    #[must_use]
    pub fn new(epoch_ns: i128) -> Self {
        Self { epoch_ns }
    }

    fn utc_ns(&self, ts_ns: u64) -> u64 {
        u64::try_from(self.epoch_ns + i128::from(ts_ns)).unwrap_or(ts_ns)
    }

    fn hop<'a>(&self, hop: &Hop, first_ns: Option<u64>, world: &'a World) -> HopLine<'a> {
        let place = world.places.get(hop.interface);
        let has_socket = hop.cgroup != CGROUP_NONE || hop.direction == Direction::Socket;
        HopLine {
            time_ns: self.utc_ns(hop.ts_ns),
            delta_ns: first_ns.map(|first| hop.ts_ns.saturating_sub(first)),
            node: place.map_or("", |place| place.node_name.as_ref()),
            pod: place.and_then(|place| world.pod_of(place)),
            interface: place.map_or("", |place| place.name.as_ref()),
            socket: has_socket.then(|| world.directory.socket_owner(hop.cgroup).into()),
            ifindex: place.map_or(0, |place| place.ifindex),
            direction: hop.direction.as_str(),
            bytes: hop.wire_len,
            tunnel: hop.tunnel.as_deref().map(|tunnel| TunnelLine {
                vni: tunnel.vni,
                source: tunnel.source,
                destination: tunnel.destination,
            }),
            ttl: hop.ttl,
        }
    }
}

fn write(out: &mut String, line: &Line<'_>) {
    // Cannot fail: the maps have string keys and nothing else can.
    if let Ok(text) = serde_json::to_string(line) {
        out.push_str(&text);
        out.push('\n');
    }
}

fn tap_line<C>(interface: u32, direction: Direction, count: C, world: &World) -> TapLine<'_, C> {
    let place = world.places.get(interface);
    TapLine {
        node: place.map_or("", |place| place.node_name.as_ref()),
        pod: place.and_then(|place| world.pod_of(place)),
        interface: place.map_or("", |place| place.name.as_ref()),
        direction: direction.as_str(),
        count,
    }
}

impl Render for Json {
    fn shows_events(&self) -> bool {
        true
    }

    fn shows_paths(&self) -> bool {
        true
    }

    fn start(&mut self, out: &mut String, info: &Start) {
        let line = Line::Start {
            nodes: &info.nodes,
            interfaces: info.interfaces,
            attaching: info.attaching,
            pods: info.pods,
            namespaces: info.namespaces,
            attach: info.attach.as_deref(),
            replay: info.source.as_deref(),
        };
        write(out, &line);
    }

    fn event(&mut self, out: &mut String, event: &Event, packet: u64, world: &World) {
        let line = Line::Event(EventLine {
            packet,
            what: describe(&event.packet),
            source: event.packet.source(),
            destination: event.packet.destination(),
            vlan: event.packet.vlan,
            gso_segments: event.gso_segments,
            hop: self.hop(&Hop::of(event), None, world),
        });
        write(out, &line);
    }

    fn path(&mut self, out: &mut String, path: &Path, world: &World) {
        let first = path.hops.first().map(|hop| hop.ts_ns);
        let (from, to) = ends(path, world);
        let [source_pod, source_node, source_on] = names(&from);
        let [destination_pod, destination_node, destination_on] = names(&to);
        let line = Line::Path(PathLine {
            packet: path.id,
            what: describe(&path.packet),
            source: from.address,
            source_pod,
            source_container: from.container,
            source_node,
            source_on,
            sender: sending(path, world).map(Into::into),
            destination: to.address,
            destination_pod,
            destination_container: to.container,
            destination_node,
            destination_on,
            outcome: Outcome::NAMES[path.outcome.index()],
            vtep: match path.outcome {
                Outcome::LeftForVtep(vtep) => Some(vtep),
                _ => None,
            },
            ambiguous: path.ambiguous,
            incomplete: path.incomplete,
            duration_ns: path.duration_ns(),
            hops: path
                .hops
                .iter()
                .map(|hop| self.hop(hop, first, world))
                .collect(),
            rtt_ns: path.round_trip.as_ref().map(|trip| trip.total_ns()),
            rtt_at: path
                .round_trip
                .iter()
                .flat_map(|trip| &trip.at)
                .map(|(interface, ns)| RttLine {
                    interface: world
                        .places
                        .get(*interface)
                        .map_or("", |place| place.name.as_ref()),
                    ns: *ns,
                })
                .collect(),
            clocks: clocks(path, world)
                .into_iter()
                .map(|note| ClockLine {
                    node: note.node,
                    offset_ns: i64::try_from(note.offset_ns).unwrap_or(i64::MAX),
                    uncertainty_ns: note.uncertainty_ns,
                })
                .collect(),
        });
        write(out, &line);
    }

    fn notice(&mut self, out: &mut String, text: &str) {
        write(out, &Line::Notice { text });
    }

    fn loss(&mut self, out: &mut String, loss: &Loss, world: &World) {
        let taps = loss.taps.iter().map(|tap| {
            let count = LossCount {
                lost_ring: tap.lost_ring,
                undecodable: tap.undecodable,
            };
            tap_line(tap.interface, tap.direction, count, world)
        });
        let line = Line::Loss {
            time_ns: self.utc_ns(loss.ts_ns),
            lost: loss.lost(),
            total: loss.total,
            taps: taps.collect(),
        };
        write(out, &line);
    }

    fn summary(
        &mut self,
        out: &mut String,
        summary: &Summary,
        not_shown: &NotShown,
        world: &World,
    ) {
        let taps = summary.taps.iter();
        let taps = taps
            .map(|((interface, direction), count)| tap_line(*interface, *direction, *count, world));
        let line = Line::Summary {
            packets: summary.packets,
            outcomes: Outcome::NAMES.into_iter().zip(summary.outcomes).collect(),
            incomplete: summary.incomplete,
            unreadable: summary.unreadable,
            duration_ns: summary.duration_ns,
            total: summary.total(),
            taps: taps.collect(),
            not_shown: *not_shown,
        };
        write(out, &line);
    }
}

#[cfg(test)]
mod tests;
