//! Checks that the requested interfaces exist.
use anyhow::{anyhow, bail};

use crate::{
    model::{tap_name::TapName, tap_point::TapPoint},
    node::discover::Scan,
    text::{escape::escape, names::listed},
    world::World,
};

/// Fails unless every requested name exists; the error lists the existing ones.
pub(crate) fn check_names(chosen: &[TapName], scan: &Scan) -> anyhow::Result<()> {
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
pub(super) fn check_owners(
    chosen: &[TapName],
    found: &[TapPoint],
    world: &World,
) -> anyhow::Result<()> {
    for name in chosen {
        let is_meant = |point: &TapPoint| name.fits(&point.name, || world.owner_of(point));
        if !found.iter().any(is_meant) {
            let full = |point: &TapPoint| format!("{}/{}", world.owner_of(point), point.name);
            let names = found.iter().map(full);
            let names: Vec<_> = names.collect();
            return Err(missing(name, names.iter().map(String::as_str)));
        }
    }
    Ok(())
}

fn missing<'a>(name: &TapName, names: impl IntoIterator<Item = &'a str>) -> anyhow::Error {
    let name = name.to_string();
    let shown = escape(&name);
    anyhow!(
        "--interface {shown}: no interface {shown} on the node or in its pods\nhint: there is {}",
        listed(names, Some(&name))
    )
}
