//! How paths begin, and how they go on with other ends.
use std::hash::BuildHasher as _;

use super::{
    Builder,
    join::{Joins, Observation, index::Slot},
    open::Open,
};
use crate::{
    model::frame::Frame,
    packet::{Ends, Packet, PacketKey},
    path::{Outcome, Path, Translation},
    world::World,
};

impl Builder {
    /// Begins a path with the event's packet, or with what is left of it.
    pub(super) fn begin(&mut self, seen: &Observation<'_>, packet: Packet, world: &World) -> Slot {
        let path = self.spare.take(|hops| Path {
            id: self.next_id,
            packet,
            hops,
            outcome: Outcome::InFlight,
            ambiguous: false,
            incomplete: false,
            is_unwatched: false,
            is_unrecorded: false,
            is_reassembled: false,
            is_untold: false,
            lacks_fragments: false,
            mixes_fragments: false,
            is_untaken: false,
            gso_segments: seen.event.gso_segments,
            segments: Vec::new(),
            in_fragments: false,
            part_of: None,
            fragment_of: None,
            copy_of: None,
            late_of: None,
            circle: None,
            refusal: None,
            dropped: None,
            payload: seen.event.payload.clone(),
            frame: self.keeps_frames.then(|| Box::new(Frame::kept(seen.event))),
            about: None,
            translations: Vec::new(),
            round_trip: None,
            requester: None,
            is_narrowed: false,
        });
        let id = self.next_id;
        self.next_id += 1;
        let open = Open::new(path, seen.key, seen.hash);
        let slot = self.open.add(open);
        self.index(slot);
        self.joins.link(slot, seen.event, &mut self.open);
        self.note_datagram(seen.event, world);
        let key = seen.key;
        self.note_begun(key, slot, id, seen.event.ts_ns);
        self.note_answer(slot, seen.event, world);
        slot
    }

    /// Adds an open path to the indices.
    pub(super) fn index(&mut self, slot: Slot) {
        for number in 0..Joins::COUNT {
            let oldest = self.joins.insert(number, slot, &mut self.open);
            self.give_up(oldest);
        }
    }

    /// Changes a path's ends to those of the event, after a translation. `key`: the key of the
    /// path's packet with these ends.
    #[cold]
    pub(super) fn translate(
        &mut self,
        slot: Slot,
        seen: &Observation<'_>,
        key: PacketKey,
        world: &World,
    ) {
        let point = world.tap_points.get(seen.event.interface);
        let (Some(open), Some(point)) = (self.open.get(slot), point) else {
            return;
        };
        let (Some(before), Some(after)) = (open.path.ends(), seen.event.packet.ends()) else {
            return;
        };
        // A later fragment has no ports, though the packet has that it was put together to.
        let after = Ends {
            ports: before.ports.and(after.ports),
            ..after
        };
        self.joins.remove(slot, open);
        self.joins.learn(seen.event, point, before, after);
        let hash = self.hasher.hash_one(key);
        self.open.change(slot, seen.event.ts_ns, |open| {
            let hop = open.path.hops.len();
            open.path
                .translations
                .push(Translation { hop, before, after });
            open.rekey(key, hash);
        });
        let Some(open) = self.open.get(slot) else {
            return;
        };
        let id = open.path.id;
        self.requests.alias(&open.path.packet, &seen.event.packet);
        self.index(slot);
        // An error quotes it with the ends that it had where it was refused.
        self.note_begun(key, slot, id, seen.event.ts_ns);
        self.note_answer(slot, seen.event, world);
    }
}
