//! Checks that the requested interfaces exist.
use anyhow::{anyhow, bail};

use crate::{
    model::tap_name::TapName,
    node::discover::Scan,
    text::{escape::escape, names::listed},
    world::World,
};

/// Fails unless every requested name exists; the error lists the existing ones.
pub(super) fn check_names(chosen: &[TapName], scan: &Scan) -> anyhow::Result<()> {
    for name in chosen {
        if !scan.names.iter().any(|device| name.fits_device(device)) {
            let names = scan.names.iter().map(String::as_str);
            return Err(missing(name, names));
        }
    }
    if scan.targets.is_empty() {
        bail!(
            "found no veth, bridge, VXLAN or uplink interface, and no pod\nhint: is this a node's network namespace? -i NAME taps any interface"
        );
    }
    Ok(())
}

/// Fails unless every name means an interface, now that the pods have names.
pub(super) fn check_owners(chosen: &[TapName], world: &World) -> anyhow::Result<()> {
    let points = || (0..world.tap_points.next_number()).filter_map(|at| world.tap_points.get(at));
    for name in chosen {
        if !points().any(|point| name.fits(&point.name, || world.owner_of(point))) {
            let names = points().map(|point| format!("{}/{}", world.owner_of(point), point.name));
            let names: Vec<_> = names.collect();
            return Err(missing(name, names.iter().map(String::as_str)));
        }
    }
    Ok(())
}

fn missing<'a>(name: &TapName, names: impl IntoIterator<Item = &'a str>) -> anyhow::Error {
    let name = name.to_string();
    anyhow!(
        "no interface {} on the node or in its pods\nhint: there is {}",
        escape(&name),
        listed(names, Some(&name))
    )
}
