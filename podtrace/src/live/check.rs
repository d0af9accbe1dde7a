//! Checks that the requested interfaces exist.
use anyhow::bail;

use crate::{
    node::discover::Scan,
    text::{escape::escape, names::listed},
};

/// Fails unless every requested name exists; the error lists the existing ones.
pub(crate) fn check_names(chosen: &[String], scan: &Scan) -> anyhow::Result<()> {
    for name in chosen {
        if scan.names.contains(name) {
            continue;
        }
        let names = listed(scan.names.iter().map(String::as_str), Some(name));
        bail!(
            "no interface {} on the node or in its pods\nhint: there is {}",
            escape(name),
            names
        );
    }
    if scan.targets.is_empty() {
        bail!(
            "found no veth, bridge, VXLAN or uplink interface, and no pod\nhint: is this a node's network namespace? -i NAME taps any interface"
        );
    }
    Ok(())
}
