//! Faults that break a lab in the way networks break.

use super::flannel::VXLAN;
use super::wire::Wire;
use super::{LabError, LabNode, on_own_runtime};

/// Removes another node's forwarding entry from a node's tunnel: packets for that node's pods
/// end there.
pub fn forget_vtep(node: &LabNode, peer: &LabNode) -> Result<(), LabError> {
    on_own_runtime(async || {
        let wire = Wire::of(node.netns.clone())?;
        let link = wire.index(VXLAN).await?;
        wire.remove_fdb(link, peer.vtep_mac, peer.underlay.into())
            .await
    })
}
