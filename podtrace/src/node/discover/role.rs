//! The role of an interface on the path of packets.
use crate::{
    model::tap_point::Role,
    node::links::{Link, LinkKind},
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
        LinkKind::Switch if link.has_global_address() => Role::Bridge,
        LinkKind::Switch | LinkKind::Internal | LinkKind::Other => Role::Other,
    }
}

/// Whether an interface of the node is tapped if the user chooses none.
pub(super) fn is_usual(link: &Link, role: Role) -> bool {
    link.is_uplink || !matches!(role, Role::Other | Role::Loopback)
}

fn is_above_uplink(link: &Link, all: &[Link]) -> bool {
    let mut below = link.lower_among(all);
    below.any(|lower| lower.is_uplink || lower.kind == LinkKind::Bridge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::links::fixture::link;

    #[test]
    fn packet_into_a_tunnel_continues_on_the_carrier() {
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
