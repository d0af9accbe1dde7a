//! What a kernel says of a packet that it has dropped, in words.
use std::fmt::Write as _;

use crate::{
    path::{Path, dropped::Dropped},
    world::World,
};

/// `dropped after cni0 egress of worker1: NETFILTER_DROP in nf_hook_slow, at veth0101`; `place` is
/// where it was seen last.
pub(super) fn dropped(out: &mut String, path: &Path, place: &str, world: &World) {
    let _ = write!(out, "dropped after {place}");
    if let Some(dropped) = &path.dropped {
        out.push_str(": ");
        reason(out, path, dropped, world);
    }
}

/// `NETFILTER_DROP in nf_hook_slow, at veth0101`
pub(super) fn reason(out: &mut String, path: &Path, dropped: &Dropped, world: &World) {
    out.push_str(&dropped.by.words());
    let last = path.last_point(world);
    if let Some(device) = dropped.device(world)
        && last != Some(device)
    {
        let _ = write!(out, ", at {}", device.name);
        let owner = world.owner_of(device);
        if last.is_none_or(|last| world.owner_of(last) != owner) {
            let _ = write!(out, " of {owner}");
        }
    }
}
