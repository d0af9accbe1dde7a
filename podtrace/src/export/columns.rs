//! The schema: every column with its name, type, meaning and value.
use super::{
    column::{Column, Text, flag, given, int, long, optional, text, time},
    row::role_name,
};
use crate::{packet::Transport, path::Outcome};

fn timestamp(time_ns: i64) -> Text<'static> {
    let time = jiff::Timestamp::from_nanosecond(time_ns.into()).ok()?;
    Some(format!("{time:.9}").into())
}

/// The columns, in the order in which they are written.
pub const COLUMNS: &[Column] = &[
    long(
        "packet",
        "number of the packet in this session, from 1",
        |row| Some(row.path.id),
    )
    .required(),
    text("time", "when the hop saw it, as ISO 8601 in UTC", |row| {
        timestamp(row.time_ns)
    })
    .required()
    .csv_only(),
    time(
        "time_ns",
        "when the hop saw it, nanoseconds since 1970 (UTC)",
        |row| row.time_ns,
    )
    .required(),
    int(
        "hop",
        "number of the hop on the packet's path, from 1",
        |row| Some(row.number),
    )
    .required(),
    int("hops", "how many hops the path has", |row| {
        u32::try_from(row.path.hops.len()).ok()
    })
    .required(),
    long("delta_ns", "nanoseconds since the first hop", |row| {
        Some(row.delta_ns)
    })
    .required(),
    text("node", "node of the hop", |row| {
        given(row.place.map_or("", |place| &*place.node_name))
    })
    .required(),
    text(
        "pod",
        "pod of the hop, `namespace/name`; none on the node itself",
        |row| optional(&row.pod),
    ),
    text("interface", "interface of the hop", |row| {
        given(row.place.map_or("", |place| &*place.name))
    })
    .required(),
    long("ifindex", "its index in its network namespace", |row| {
        Some(row.place.map_or(0, |place| place.ifindex).into())
    })
    .required(),
    text("direction", "`ingress`, `egress` or `socket`", |row| {
        given(row.hop.direction.as_str())
    })
    .required(),
    text(
        "role",
        "what the interface is: `pod`, `loopback`, `veth`, `bridge`, `vxlan`, `uplink`, `other`",
        |row| given(role_name(row.place?.role)),
    ),
    text(
        "socket_owner",
        "whose socket it is at the hop: `container`, `kernel`, `process`, `root`, `none`, `unknown`",
        |row| given(row.socket.as_ref()?.owner),
    ),
    text("socket_pod", "pod of that container", |row| {
        optional(&row.socket.as_ref()?.pod)
    }),
    text(
        "socket_container",
        "name of that container, or its id",
        |row| optional(&row.socket.as_ref()?.container),
    ),
    text("socket_cgroup", "cgroup of that process", |row| {
        optional(&row.socket.as_ref()?.cgroup)
    }),
    long("bytes", "length of the frame at the hop", |row| {
        Some(row.hop.wire_len.into())
    })
    .required(),
    int("ttl", "TTL or hop limit at the hop", |row| {
        row.hop.ttl.map(Into::into)
    }),
    long(
        "tunnel_vni",
        "VXLAN network identifier, where it is in a tunnel",
        |row| row.hop.tunnel.as_ref().map(|tunnel| tunnel.vni.into()),
    ),
    text("tunnel_source", "outer source address", |row| {
        optional(&row.tunnel_source)
    }),
    text("tunnel_destination", "outer destination address", |row| {
        optional(&row.tunnel_destination)
    }),
    int("vlan", "VLAN id at the first hop", |row| {
        row.path.packet.vlan.map(Into::into)
    }),
    text("what", "the packet in words", |row| given(&row.packet.what)).required(),
    text(
        "protocol",
        "`icmp` (ICMPv6 too), `tcp`, `udp`, `arp` or `other`",
        |row| given(row.path.packet.protocol().as_str()),
    )
    .required(),
    int("ip_protocol", "protocol number of an IP packet", |row| {
        row.packet.ip_protocol.map(Into::into)
    }),
    text("source", "source address", |row| {
        optional(&row.packet.source.address)
    }),
    int("source_port", "source port of TCP or UDP", |row| {
        Some(row.path.packet.ports()?.0.into())
    }),
    text("destination", "destination address", |row| {
        optional(&row.packet.destination.address)
    }),
    int(
        "destination_port",
        "destination port of TCP or UDP",
        |row| Some(row.path.packet.ports()?.1.into()),
    ),
    long(
        "payload_bytes",
        "length of the TCP or UDP payload",
        |row| match row.path.packet.transport {
            Transport::Tcp { payload, .. } | Transport::Udp { payload, .. } => Some(payload.into()),
            _ => None,
        },
    ),
    text(
        "tcp_flags",
        "names of the set flags, with spaces between",
        |row| optional(&row.packet.tcp_flags),
    ),
    long("tcp_sequence", "sequence number", |row| {
        match row.path.packet.transport {
            Transport::Tcp { sequence, .. } => Some(sequence.into()),
            _ => None,
        }
    }),
    long(
        "tcp_acknowledgment",
        "acknowledgment number",
        |row| match row.path.packet.transport {
            Transport::Tcp { acknowledgment, .. } => Some(acknowledgment.into()),
            _ => None,
        },
    ),
    int("icmp_type", "type of an ICMP or ICMPv6 message", |row| {
        Some(row.packet.icmp?.0.into())
    }),
    int("icmp_code", "its code", |row| {
        Some(row.packet.icmp?.1.into())
    }),
    int(
        "icmp_id",
        "identifier of an echo message",
        |row| match row.path.packet.transport {
            Transport::Echo { id, .. } => Some(id.into()),
            _ => None,
        },
    ),
    int(
        "icmp_sequence",
        "number of an echo message",
        |row| match row.path.packet.transport {
            Transport::Echo { sequence, .. } => Some(sequence.into()),
            _ => None,
        },
    ),
    text("source_pod", "pod that sends, `namespace/name`", |row| {
        optional(&row.packet.source.pod)
    }),
    text("source_container", "container that sends", |row| {
        optional(&row.packet.source.container)
    }),
    text("source_node", "node that sends", |row| {
        optional(&row.packet.source.node)
    }),
    text(
        "source_on",
        "node that the sender is on, when its pod is not known",
        |row| optional(&row.packet.source.on),
    ),
    text(
        "sender_owner",
        "whose socket sends, as `socket_owner`",
        |row| given(row.packet.sender.as_ref()?.owner),
    ),
    text("sender_pod", "pod of that container", |row| {
        optional(&row.packet.sender.as_ref()?.pod)
    }),
    text(
        "sender_container",
        "name of that container, or its id",
        |row| optional(&row.packet.sender.as_ref()?.container),
    ),
    text("sender_cgroup", "cgroup of that process", |row| {
        optional(&row.packet.sender.as_ref()?.cgroup)
    }),
    text("destination_pod", "pod that it is for", |row| {
        optional(&row.packet.destination.pod)
    }),
    text("destination_container", "container that it is for", |row| {
        optional(&row.packet.destination.container)
    }),
    text("destination_node", "node that it is for", |row| {
        optional(&row.packet.destination.node)
    }),
    text(
        "destination_on",
        "node that the receiver is on, when its pod is not known",
        |row| optional(&row.packet.destination.on),
    ),
    text("outcome", "how the path ended", |row| {
        given(Outcome::NAMES[row.path.outcome.index()])
    })
    .required(),
    text(
        "vtep",
        "address of the node that it left for in a tunnel",
        |row| match row.path.outcome {
            Outcome::LeftForVtep(vtep) => Some(vtep.to_string().into()),
            _ => None,
        },
    ),
    flag(
        "ambiguous",
        "whether equal packets were under way at once: a hop may belong to another",
        |row| row.path.ambiguous,
    )
    .required(),
    flag("incomplete", "whether hops may be missing", |row| {
        row.path.incomplete
    })
    .required(),
    long(
        "duration_ns",
        "nanoseconds from the first hop to the last",
        |row| Some(row.path.duration_ns()),
    )
    .required(),
    long(
        "rtt_ns",
        "of an echo reply: nanoseconds since the request, at the first place that saw both",
        |row| Some(row.path.round_trip.as_ref()?.total_ns()),
    ),
];
