//! Packets that were put together of fragments, and whose ends were translated before they were
//! seen whole.
//!
//! A bridge whose packets connection tracking sees does both at once for what is for a Service. The
//! whole packet is then a hop of each of its fragments, with other ends from there on.
use super::{
    Builder,
    join::{Joined, Observation, index::Slot},
};
use crate::{
    packet::{Ends, Network, Packet},
    path::Path,
    world::World,
};

impl Builder {
    /// The fragments that the event's packet was put together of, if nothing else joins it. They
    /// have each of its bytes once, and one of its ends; and no others do.
    #[inline]
    pub(super) fn or_together(
        &self,
        joined: Option<Joined>,
        seen: &Observation<'_>,
        world: &World,
    ) -> Option<Joined> {
        let may_be = joined.is_none() && self.datagrams.has_cut_near(seen.event.ts_ns);
        match may_be {
            true => self.find_together(seen, world),
            false => joined,
        }
    }

    #[inline(never)]
    fn find_together(&self, seen: &Observation<'_>, world: &World) -> Option<Joined> {
        let whole = &seen.event.packet;
        if whole.is_fragment() || whole.tunnel.is_some() {
            return None;
        }
        let after = whole.ends()?;
        let firsts = self.fragments.firsts_like(whole, seen.event.ts_ns);
        let mut all = firsts.filter_map(|slot| {
            let open = self.open.get(slot)?;
            if !may_become(&open.path, whole, after) {
                return None;
            }
            self.joins.translated_parts(open, seen, &self.open, world)
        });
        let slots = all.next()?;
        let is_only = all.all(|other| other == slots);
        is_only.then_some(Joined::EachTranslated(slots))
    }

    /// Gives fragments the ends of the packet that they were put together to.
    #[cold]
    pub(super) fn translate_each(&mut self, slots: &[Slot], seen: &Observation<'_>, world: &World) {
        for slot in slots {
            let Some(open) = self.open.get(*slot) else {
                continue;
            };
            let has_ports = open.path.ends().is_some_and(|ends| ends.ports.is_some());
            let key = match has_ports {
                true => open.key.with_ends_of(&seen.key),
                false => open.key.with_addresses_of(&seen.key),
            };
            self.translate(*slot, seen, key, world);
        }
    }
}

/// Whether the packet of which a path has the first fragment may have become this one, with these
/// ends: it keeps one of its own. IPv6 shows no identification in a whole packet.
fn may_become(path: &Path, whole: &Packet, after: Ends) -> bool {
    let (Some(before), Network::Ip(ip)) = (path.ends(), &whole.network) else {
        return false;
    };
    let keeps_one = before.from() == after.from() || before.to() == after.to();
    let is_distinctive = match ip.source.is_ipv4() {
        true => ip.id != 0,
        false => whole.payload_hash != 0 && path.packet.payload_hash == whole.payload_hash,
    };
    before != after && keeps_one && is_distinctive && before.ports.is_some()
}
