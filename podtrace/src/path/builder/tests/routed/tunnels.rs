//! Tunnels other than VXLAN.
use super::*;
use crate::packet::DecodeOptions;

/// An IPv4 packet.
fn ipv4(protocol: u8, ends: [[u8; 4]; 2], payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x45, 0, len[0], len[1], 0, 7, 0x40, 0, 64, protocol, 0, 0];
    packet.extend(ends.concat());
    packet.extend(payload);
    packet
}

/// A captured packet, in a frame for an interface if that has frames.
fn captured(packet: &[u8], to: Option<u32>) -> Packet {
    let frame = to.map(|to| [&mac(to).0[..], &[2, 0, 0, 0, 0, 1, 8, 0], packet].concat());
    let framing = match frame {
        Some(_) => Framing::Ethernet,
        None => Framing::Ip,
    };
    let bytes = frame.unwrap_or_else(|| packet.to_vec());
    let options = DecodeOptions {
        vxlan_ports: Vec::new(),
        key_payload: 16,
        filter: None,
    };
    let wire_len = u32::try_from(bytes.len()).unwrap();
    Packet::decode(&bytes, wire_len, framing, &options)
}

fn echo(destination: [u8; 4]) -> Vec<u8> {
    let message = [&[8, 0, 0, 0, 0, 23, 0, 1][..], &[0x55; 20]].concat();
    ipv4(1, [[10, 244, 1, 2], destination], &message)
}

/// Calico and flannel: tunl0 has the packet, the NIC has it in another.
#[test]
fn way_through_ipip_is_one_path() {
    let world = nodes();
    let inner = echo([10, 244, 2, 2]);
    let outer = ipv4(4, [[10, 0, 0, 11], [10, 0, 0, 12]], &inner);
    let at = |bytes: &[u8], to| captured(bytes, to);
    let way = vec![
        (POD, Egress, at(&inner, Some(CALI))),
        (CALI, Ingress, at(&inner, Some(CALI))),
        (TUNL, Egress, at(&inner, None)),
        (NIC, Egress, at(&outer, Some(FAR_NIC))),
        (FAR_NIC, Ingress, at(&outer, Some(FAR_NIC))),
        (FAR_TUNL, Ingress, at(&inner, None)),
        (FAR_CALI, Egress, at(&inner, Some(FAR_POD))),
        (FAR_POD, Ingress, at(&inner, Some(FAR_POD))),
    ];
    assert_eq!(ended(&world, way), [(Outcome::Delivered, 8)]);
}

/// WireGuard: between the nodes there is another packet, whose content is encrypted.
#[test]
fn way_through_wireguard_is_one_path_beside_that_of_what_carries_it() {
    let mut world = nodes();
    for interface in [TUNL, FAR_TUNL] {
        let mut point = world.tap_points.get(interface).unwrap().clone();
        point.role = Role::Uplink;
        world.tap_points.set(interface, point);
    }
    let inner = echo([10, 244, 2, 2]);
    let mut datagram = vec![0xca, 0x6c, 0xca, 0x6c, 0, 72, 0, 0, 4, 0, 0, 0];
    datagram.extend([0xa5; 60]);
    let outer = ipv4(17, [[10, 0, 0, 11], [10, 0, 0, 12]], &datagram);
    let way = vec![
        (POD, Egress, captured(&inner, Some(CALI))),
        (CALI, Ingress, captured(&inner, Some(CALI))),
        (TUNL, Egress, captured(&inner, None)),
        (NIC, Egress, captured(&outer, Some(FAR_NIC))),
        (FAR_NIC, Ingress, captured(&outer, Some(FAR_NIC))),
        (FAR_TUNL, Ingress, captured(&inner, None)),
        (FAR_CALI, Egress, captured(&inner, Some(FAR_POD))),
        (FAR_POD, Ingress, captured(&inner, Some(FAR_POD))),
    ];
    let mut found = ended(&world, way);
    found.sort_by_key(|(_, hops)| *hops);
    assert_eq!(found, [(Outcome::Delivered, 2), (Outcome::Delivered, 6)]);
}
