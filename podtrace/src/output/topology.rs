//! The output formats of `podtrace topology`: a tree, JSON, a picture, or a graph for Graphviz.
pub mod dot;
pub(crate) mod picture;
pub(crate) mod recorded;
pub mod text;
mod tree;

use crate::node::topology::{NodeTopology, Topology};

/// The topology as one JSON document; see [`crate::node::topology`].
///
/// # Errors
/// Never: all keys are strings.
pub fn json(topology: &Topology) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(topology)?;
    text.push('\n');
    Ok(text)
}

/// The name of the node that a VTEP belongs to, if it is one of those shown.
fn node_of_vtep(topology: &Topology, vtep: std::net::IpAddr) -> Option<&NodeTopology> {
    topology.nodes.iter().find(|node| {
        let mut tunnels = node.tunnels.iter();
        tunnels.any(|tunnel| tunnel.local == Some(vtep))
    })
}

#[cfg(test)]
mod tests;
