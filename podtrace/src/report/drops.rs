//! Packets that the kernels say to have dropped, counted by reason and place. Some were seen by no
//! tap, and have no path.
use std::collections::HashMap;

use super::data::DropRow;
use crate::{model::drop::KernelDrop, order::Order as _, text::sanitize::sanitize, world::World};

/// Upper bound of the rows.
const ROWS_MAX: usize = 256;

/// The number of a namespace, the index of a device there, the reason and what dropped; zeros for a
/// device that is none of the traced nodes'.
type Key = (u64, u32, String, Option<String>);

/// All drops.
#[derive(Default)]
pub(super) struct Drops {
    rows: HashMap<Key, DropRow>,
    others: u64,
}

impl Drops {
    pub(super) fn add(&mut self, drop: &KernelDrop, world: &World) {
        let reason = drop.telling_reason().unwrap_or("no reason named");
        let by = match (&drop.rule, &drop.function) {
            (Some(rule), _) => Some(rule.to_string()),
            (None, function) => function.clone(),
        };
        let point = world.tap_points.at(drop.netns, drop.ifindex);
        let at = point.map_or((0, 0), |point| (point.netns_id, point.ifindex));
        let key = (at.0, at.1, reason.to_owned(), by);
        if let Some(row) = self.rows.get_mut(&key) {
            row.packets += 1;
        } else if self.rows.len() < ROWS_MAX {
            let row = DropRow {
                reason: sanitize(reason),
                by: key.3.as_deref().map(sanitize),
                device: point.map(|point| point.name.to_string()),
                owner: point.map(|point| world.owner_of(point).to_string()),
                packets: 1,
            };
            self.rows.insert(key, row);
        } else {
            self.others += 1;
        }
    }

    /// The rows, most packets first, and how many packets have none.
    pub(super) fn finish(self) -> (Vec<DropRow>, u64) {
        let mut rows: Vec<_> = self.rows.into_iter().collect();
        rows.order_by(|(one_key, one), (key, other)| {
            (other.packets, one_key).cmp(&(one.packets, key))
        });
        let rows = rows.into_iter().map(|(_, row)| row);
        (rows.collect(), self.others)
    }
}
