//! Checks that the requested interfaces exist.
use anyhow::bail;

use crate::{node::discover::Scan, text::sanitize::sanitize};

/// Fails unless every chosen name exists; the error lists similar names.
pub(super) fn check_names(chosen: &[String], scan: &Scan) -> anyhow::Result<()> {
    for name in chosen {
        if scan.names.contains(name) {
            continue;
        }
        let mut near: Vec<_> = scan
            .names
            .iter()
            .map(|other| (strsim::damerau_levenshtein(name, other), other.as_str()))
            .collect();
        near.sort_unstable();
        let near: Vec<_> = near.into_iter().take(4).map(|(_, other)| other).collect();
        bail!(
            "no interface {name} on the node or in its pods\nhint: there is {}",
            sanitize(&near.join(", "))
        );
    }
    if scan.targets.is_empty() {
        bail!(
            "found no veth, bridge, VXLAN or uplink interface, and no pod\nhint: is this a node's network namespace? -i NAME taps any interface"
        );
    }
    Ok(())
}
