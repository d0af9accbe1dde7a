//! The columns: the fields of the projection in a row, in order.
use super::column::Column;
use crate::{
    field::Cell as _,
    projection::{
        headers::HeadersObject,
        hop::{HopObject, SocketObject, TranslationObject, TunnelObject},
        packet::{DropObject, PathObject, RefusalObject},
        row::RowCells,
    },
};

/// A column of a field: of the path, of its headers, of the hop, or of the cells that only tables have. Fields
/// of objects inside a path or a hop have the object's name as prefix.
macro_rules! column {
    (path.$field:ident) => {
        own!(PathObject<'_>, $field, |row| row.path).of_path()
    };
    (hop.$field:ident) => {
        own!(HopObject<'_>, $field, |row| row.hop)
    };
    (own.$field:ident) => {
        own!(RowCells, $field, |row| row.own)
    };
    (headers.$field:ident) => {
        own!(HeadersObject, $field, |row| row.path.headers).of_path()
    };
    (socket.$field:ident) => {
        nested!("socket_", SocketObject, $field, |row| row.hop.socket)
    };
    (tunnel.$field:ident) => {
        nested!("tunnel_", TunnelObject, $field, |row| row.hop.tunnel)
    };
    (translation.$field:ident) => {
        nested!("translation_", TranslationObject, $field, |row| row
            .hop
            .translation)
    };
    (refusal.$field:ident) => {
        nested!("refusal_", RefusalObject, $field, |row| row.path.refusal).of_path()
    };
    (dropped.$field:ident) => {
        nested!("drop_", DropObject, $field, |row| row.path.dropped).of_path()
    };
    (sender.$field:ident) => {
        nested!("sender_", SocketObject, $field, |row| row.path.sender).of_path()
    };
}

macro_rules! own {
    ($object:ty, $field:ident, |$row:ident| $part:expr) => {
        Column::of::<$object>(stringify!($field), stringify!($field), |$row| {
            $part.$field.value()
        })
    };
}

macro_rules! nested {
    ($prefix:literal, $object:ty, $field:ident, |$row:ident| $part:expr) => {
        Column::of::<$object>(
            concat!($prefix, stringify!($field)),
            stringify!($field),
            |$row| $part.as_ref()?.$field.value(),
        )
        .optional()
    };
}

/// The columns, in the order in which they are written. A table of paths has the time of the
/// first hop.
pub const COLUMNS: &[Column] = &[
    column!(path.packet),
    column!(own.time).csv_only(),
    column!(hop.time_ns).of_path(),
    column!(own.hop),
    column!(own.hops).of_path(),
    column!(hop.delta_ns).required(),
    column!(hop.node),
    column!(hop.pod),
    column!(hop.interface),
    column!(hop.ifindex),
    column!(hop.direction),
    column!(own.role),
    column!(socket.owner),
    column!(socket.pod),
    column!(socket.container),
    column!(socket.cgroup),
    column!(hop.bytes),
    column!(hop.ttl),
    column!(tunnel.kind),
    column!(tunnel.vni),
    column!(tunnel.key),
    column!(tunnel.source),
    column!(tunnel.destination),
    column!(headers.vlan),
    column!(path.what),
    column!(path.length),
    column!(headers.protocol),
    column!(headers.ip_protocol),
    column!(path.source),
    column!(headers.source_port),
    column!(path.destination),
    column!(headers.destination_port),
    column!(headers.payload_bytes),
    column!(headers.tcp_flags),
    column!(headers.tcp_sequence),
    column!(headers.tcp_acknowledgment),
    column!(headers.icmp_type),
    column!(headers.icmp_code),
    column!(headers.icmp_id),
    column!(headers.icmp_sequence),
    column!(path.source_pod),
    column!(path.source_container),
    column!(path.source_node),
    column!(path.source_on),
    column!(sender.owner),
    column!(sender.pod),
    column!(sender.container),
    column!(sender.cgroup),
    column!(path.destination_pod),
    column!(path.destination_container),
    column!(path.destination_node),
    column!(path.destination_on),
    column!(path.outcome),
    column!(path.vtep),
    column!(path.ambiguous),
    column!(path.incomplete),
    column!(path.duration_ns),
    column!(path.rtt_ns),
    column!(hop.segments),
    column!(hop.segment_bytes),
    column!(path.part_of),
    column!(path.part_segments),
    column!(path.copy_of),
    column!(path.late_of),
    column!(translation.kind),
    column!(translation.source),
    column!(translation.source_port),
    column!(translation.destination),
    column!(translation.destination_port),
    column!(refusal.packet),
    column!(refusal.reason),
    column!(refusal.icmp_type),
    column!(refusal.icmp_code),
    column!(refusal.mtu),
    column!(refusal.gateway),
    column!(refusal.address),
    column!(refusal.pod),
    column!(refusal.node),
    column!(path.about),
    column!(path.rounds),
    column!(hop.aside),
    column!(path.also_seen_by),
    column!(tunnel.fragment),
    column!(path.fragment_of),
    column!(path.lost_with_first),
    column!(translation.service),
    column!(translation.service_port),
    column!(refusal.tunnel),
    column!(refusal.tunnel_port),
    column!(hop.wire_segments),
    column!(dropped.reason),
    column!(dropped.function),
    column!(dropped.device),
    column!(dropped.pod),
    column!(dropped.node),
    column!(dropped.rule),
];
