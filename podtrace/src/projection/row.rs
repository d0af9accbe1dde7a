//! A row of a table: one hop of a path, with the data that all its hops share.
use super::{hop::HopObject, packet::PathObject};
use crate::{
    field::{IsoTime, object},
    model::tap_point::Role,
    path::Path,
    world::World,
};

/// The sources of the columns.
pub(crate) struct Row<'a> {
    pub(crate) path: &'a PathObject<'a>,
    pub(crate) hop: &'a HopObject<'a>,
    pub(crate) own: RowCells,
}

object! {
    /// The columns of a hop that JSON does not have.
    pub(crate) RowCells as "row" {
        /// when the hop saw it, as ISO 8601 in UTC
        time: IsoTime,
        /// number of the hop on the packet's path, from 1
        hop: i32,
        /// how many hops the path has
        hops: i32,
        /// role of the interface: `pod`, `loopback`, `veth`, `bridge`, `vxlan`, `uplink`, `other`, `capture` (of another tool)
        role: Option<&'static str>,
    }
}

/// Calls `each` with every row of a path.
pub(crate) fn rows<E>(
    path: &Path,
    world: &World,
    epoch_ns: i128,
    mut each: impl FnMut(&Row<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let object = PathObject::new(path, world, epoch_ns);
    let hops = i32::try_from(path.hops.len()).unwrap_or(i32::MAX);
    for (hop, (number, seen)) in object.hops.iter().zip(path.shown_hops()) {
        let point = world.tap_points.get(seen.interface);
        each(&Row {
            path: &object,
            hop,
            own: RowCells {
                time: IsoTime(hop.time_ns),
                hop: i32::try_from(number + 1).unwrap_or(i32::MAX),
                hops,
                role: point.map(|point| role_name(point.role)),
            },
        })?;
    }
    Ok(())
}

/// The name of a role.
pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Pod => "pod",
        Role::Loopback => "loopback",
        Role::Veth => "veth",
        Role::Bridge => "bridge",
        Role::Vxlan => "vxlan",
        Role::Uplink => "uplink",
        Role::Other => "other",
        Role::Capture => "capture",
    }
}
