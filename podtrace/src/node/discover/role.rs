//! The role of an interface on the path of packets.
use crate::{
    model::tap_point::Role,
    node::links::{Link, LinkKind},
    packet::Framing,
};

/// The role of an interface of the node, given all of them.
pub(super) fn node_role(link: &Link, all: &[Link]) -> Role {
    match link.kind {
        // The packets of a tunnel or a VLAN device leave by the interface below it.
        LinkKind::Tunnel => Role::Other,
        _ if link.is_uplink && is_above_uplink(link, all) => Role::Other,
        _ if link.is_uplink => Role::Uplink,
        LinkKind::Veth => Role::Veth,
        LinkKind::Bridge => Role::Bridge,
        LinkKind::Vxlan(_) => Role::Vxlan,
        LinkKind::Loopback => Role::Loopback,
        LinkKind::Internal | LinkKind::Other => Role::Other,
    }
}

fn is_above_uplink(link: &Link, all: &[Link]) -> bool {
    let mut below = all.iter().filter(|other| Some(other.ifindex) == link.peer);
    link.framing == Framing::Ethernet
        && link.peer_nsid.is_none()
        && below.any(|other| other.is_uplink)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::links::fixture::link;

    #[test]
    fn what_leaves_by_a_tunnel_goes_on_below_it() {
        let uplink = |ifindex, kind| Link {
            is_uplink: true,
            ..link(ifindex, kind)
        };
        let vlan = Link {
            peer: Some(2),
            ..uplink(4, LinkKind::Other)
        };
        let all = [
            uplink(2, LinkKind::Other),
            uplink(3, LinkKind::Tunnel),
            vlan,
        ];
        let roles = all.each_ref().map(|link| node_role(link, &all));
        assert_eq!(roles, [Role::Uplink, Role::Other, Role::Other]);
    }
}
