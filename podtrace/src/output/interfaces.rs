//! The interfaces that can be tapped, as a table.
use super::{
    grid::{Cell, Grid},
    paint::{POD, Painter},
    width::Width,
};
use crate::{
    model::tap_point::{Role, TapPoint},
    world::World,
};

/// Appends a line for each. `color`: ANSI colours.
pub fn text<'a>(
    out: &mut String,
    points: impl IntoIterator<Item = &'a TapPoint>,
    world: &World,
    color: bool,
    width: Width,
) {
    let mut grid = Grid::new(&["interface", "of", "role"], &[]);
    for point in points {
        grid.row([
            Cell::name(&point.name),
            Cell::painted(&world.owner_of(point), POD),
            Cell::plain(role(point, world)),
        ]);
    }
    grid.render(out, Painter { color }, width);
}

/// What an interface is for.
fn role(point: &TapPoint, world: &World) -> String {
    let words = match point.role {
        Role::Pod => "the pod's interface",
        Role::Loopback => "loopback",
        Role::Veth => match point.leads_to {
            Some(netns) => return format!("to {}", world.identities.pod(netns)),
            None => "to a pod",
        },
        Role::Bridge => "bridge",
        Role::Vxlan => "VXLAN tunnel",
        Role::Uplink => "uplink",
        Role::Other | Role::Capture => "other",
    };
    words.to_owned()
}
