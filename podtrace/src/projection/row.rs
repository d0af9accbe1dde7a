//! A row of a table: one hop of a path, with the data that all its hops share.
use super::{hop::HopObject, packet::PathObject};
use crate::{
    field::{IsoTime, object},
    model::tap_point::Role,
    packet::{Network, Packet, Transport, flag_names},
    path::Path,
    world::World,
};

/// The sources of the columns.
pub(crate) struct Row<'a> {
    pub(crate) path: &'a PathObject<'a>,
    pub(crate) hop: &'a HopObject<'a>,
    pub(crate) own: RowCells,
    pub(crate) headers: &'a HeaderCells,
}

object! {
    /// The columns of a hop that JSON does not have.
    pub(crate) RowCells as "row" {
        /// when the hop saw it, as ISO 8601 in UTC
        time: IsoTime,
        /// number of the hop on the packet's path, from 1
        hop: i32,
        /// how many hops the path has
        hops: i32,
        /// role of the interface: `pod`, `loopback`, `veth`, `bridge`, `vxlan`, `uplink`, `other`, `capture` (of another tool)
        role: Option<&'static str>,
    }
}

object! {
    /// The columns of a packet's headers.
    pub(crate) HeaderCells as "headers" {
        /// VLAN id at the first hop
        vlan: Option<u16>,
        /// `icmp` (ICMPv6 too), `tcp`, `udp`, `arp` or `other`
        protocol: &'static str,
        /// protocol number of an IP packet
        ip_protocol: Option<u8>,
        /// source port of TCP or UDP
        source_port: Option<u16>,
        /// destination port of TCP or UDP
        destination_port: Option<u16>,
        /// length of the TCP or UDP payload
        payload_bytes: Option<u32>,
        /// names of the set flags, with spaces between
        tcp_flags: Option<String>,
        /// sequence number
        tcp_sequence: Option<u32>,
        /// acknowledgment number
        tcp_acknowledgment: Option<u32>,
        /// type of an ICMP or ICMPv6 message
        icmp_type: Option<u8>,
        /// its code
        icmp_code: Option<u8>,
        /// identifier of an echo message
        icmp_id: Option<u16>,
        /// number of an echo message
        icmp_sequence: Option<u16>,
    }
}

/// Calls `each` with every row of a path.
pub(crate) fn rows<E>(
    path: &Path,
    world: &World,
    epoch_ns: i128,
    mut each: impl FnMut(&Row<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let object = PathObject::new(path, world, epoch_ns);
    let headers = HeaderCells::of(&path.packet);
    let hops = i32::try_from(path.hops.len()).unwrap_or(i32::MAX);
    for (number, (hop, seen)) in (1..).zip(object.hops.iter().zip(&path.hops)) {
        let point = world.tap_points.get(seen.interface);
        each(&Row {
            path: &object,
            hop,
            own: RowCells {
                time: IsoTime(hop.time_ns),
                hop: number,
                hops,
                role: point.map(|point| role_name(point.role)),
            },
            headers: &headers,
        })?;
    }
    Ok(())
}

impl HeaderCells {
    fn of(packet: &Packet) -> Self {
        let (source_port, destination_port) = packet.ports().unzip();
        let (icmp_type, icmp_code) = icmp(packet).unzip();
        let mut cells = Self {
            vlan: packet.vlan,
            protocol: packet.protocol().as_str(),
            ip_protocol: match &packet.network {
                Network::Ip(ip) => Some(ip.protocol),
                Network::Arp(_) | Network::Other | Network::Unreadable => None,
            },
            source_port,
            destination_port,
            payload_bytes: None,
            tcp_flags: None,
            tcp_sequence: None,
            tcp_acknowledgment: None,
            icmp_type,
            icmp_code,
            icmp_id: None,
            icmp_sequence: None,
        };
        match packet.transport {
            Transport::Tcp {
                sequence,
                acknowledgment,
                flags,
                payload,
                ..
            } => {
                let mut names = String::new();
                flag_names(&mut names, flags);
                cells.payload_bytes = Some(payload);
                cells.tcp_flags = Some(names);
                cells.tcp_sequence = Some(sequence);
                cells.tcp_acknowledgment = Some(acknowledgment);
            }
            Transport::Udp { payload, .. } => cells.payload_bytes = Some(payload),
            Transport::Echo { id, sequence, .. } => {
                cells.icmp_id = Some(id);
                cells.icmp_sequence = Some(sequence);
            }
            Transport::Icmp { .. }
            | Transport::Neighbor { .. }
            | Transport::Fragment
            | Transport::Other
            | Transport::Unreadable
            | Transport::None => {}
        }
        cells
    }
}

/// Type and code of an ICMP (RFC 792) or ICMPv6 (RFC 4443, 4861) message.
fn icmp(packet: &Packet) -> Option<(u8, u8)> {
    let is_v4 = matches!(&packet.network, Network::Ip(ip) if ip.source.is_ipv4());
    match packet.transport {
        Transport::Echo { reply, .. } => {
            let kind = match (is_v4, reply) {
                (true, false) => 8,
                (true, true) => 0,
                (false, false) => 128,
                (false, true) => 129,
            };
            Some((kind, 0))
        }
        Transport::Neighbor { advertisement, .. } => Some((135 + u8::from(advertisement), 0)),
        Transport::Icmp { kind, code } => Some((kind, code)),
        Transport::Tcp { .. }
        | Transport::Udp { .. }
        | Transport::Fragment
        | Transport::Other
        | Transport::Unreadable
        | Transport::None => None,
    }
}

/// The name of a role.
fn role_name(role: Role) -> &'static str {
    match role {
        Role::Pod => "pod",
        Role::Loopback => "loopback",
        Role::Veth => "veth",
        Role::Bridge => "bridge",
        Role::Vxlan => "vxlan",
        Role::Uplink => "uplink",
        Role::Other => "other",
        Role::Capture => "capture",
    }
}
