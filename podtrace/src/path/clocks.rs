//! How accurate a path's times are when the clocks of several nodes took them.
use std::sync::Arc;

use super::Path;
use crate::world::World;

/// How a node's clock was corrected for a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockNote {
    /// The node.
    pub node: Arc<str>,
    /// How far its clock was ahead of the reference, in nanoseconds.
    pub offset_ns: i128,
    /// The uncertainty of the offset; none if the clock is unknown.
    pub uncertainty_ns: Option<u64>,
}

/// The corrections between the hops of a path; none if one clock took all times.
#[must_use]
pub fn clocks(path: &Path, world: &World) -> Vec<ClockNote> {
    let mut notes: Vec<(usize, ClockNote)> = Vec::new();
    if world.clocks.is_empty() {
        return Vec::new();
    }
    let mut sessions = [None; 2];
    for hop in &path.hops {
        let Some(node) = world.tap_points.get(hop.interface).map(|point| point.node) else {
            continue;
        };
        let clock = world.clocks.get(&node);
        let session = clock.map(|(session, _)| *session);
        match sessions {
            [None, _] => sessions[0] = Some(session),
            [Some(first), None] if first != session => sessions[1] = Some(session),
            _ => {}
        }
        if let Some((session, line)) = clock
            && notes.iter().all(|(other, _)| other != session)
            && let Some(name) = world.node_name(node)
        {
            let own_ns = line.to_own(hop.ts_ns);
            let note = ClockNote {
                node: name,
                offset_ns: line.offset_ns(own_ns),
                uncertainty_ns: line.uncertainty_ns(own_ns),
            };
            notes.push((*session, note));
        }
    }
    if sessions[1].is_none() {
        return Vec::new();
    }
    notes.into_iter().map(|(_, note)| note).collect()
}
