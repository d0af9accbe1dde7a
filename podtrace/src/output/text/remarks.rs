//! What a hop's line says behind its direction.
use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use super::counted;
use crate::{
    packet::{Carrier, Tunnel, TunnelKind},
    path::{Hop, Path, Segments, Translation},
    text::write,
};

/// The tunnel that the packet is in, and its TTL when that has changed.
pub(super) fn remarks(out: &mut String, ttl: Option<u8>, hop: &Hop) {
    if let Some(tunnel) = &hop.tunnel {
        out.push_str("  ");
        carrier(out, tunnel);
        out.push(' ');
        write::address(out, tunnel.source);
        out.push_str(" -> ");
        write::address(out, tunnel.destination);
    }
    if let (Some(before), Some(now)) = (ttl, hop.ttl)
        && before != now
    {
        out.push_str("  ttl ");
        write::number(out, before);
        out.push_str(" -> ");
        write::number(out, now);
    }
}

/// What carries the packet in a tunnel.
fn carrier(out: &mut String, tunnel: &Tunnel) {
    out.push_str(match tunnel.kind() {
        TunnelKind::Vxlan => "VXLAN",
        TunnelKind::Geneve => "Geneve",
        TunnelKind::Gre => "GRE",
        TunnelKind::Ipip => "IPIP",
        other => other.as_str(),
    });
    match tunnel.carrier {
        Carrier::Vxlan(vni) | Carrier::Geneve(vni) => {
            out.push_str(" vni ");
            write::number(out, vni);
        }
        Carrier::Gre(Some(key)) => {
            out.push_str(" key ");
            write::number(out, key);
        }
        Carrier::Gre(None) | Carrier::Ip(_) => {}
    }
}

/// What the way to a hop has made of the packet: segments, and other ends.
pub(super) fn changes(out: &mut String, path: &Path, hop: usize) {
    if let Some(segments) = path.segments_at(hop) {
        segments_text(out, segments, path);
    }
    if let Some(translation) = path.translation_at(hop) {
        translation_text(out, translation);
    }
}

/// `  5 segments`, `  3 of 5 segments` or `  3 segments with 4344 of 7240 B`
fn segments_text(out: &mut String, seen: Segments, path: &Path) {
    let (all, payload) = (path.gso_segments, path.packet.payload());
    let _ = match (seen.bytes < payload, all) {
        (true, 2..) if seen.packets < all.into() => {
            write!(out, "  {} of {all} segments", seen.packets)
        }
        (true, _) => {
            let segments = counted(seen.packets.into(), "segment");
            write!(out, "  {segments} with {} of {payload} B", seen.bytes)
        }
        (false, _) => write!(out, "  {} segments", seen.packets),
    };
}

/// `  DNAT 10.96.0.10:80 -> 10.244.2.7:8080`
fn translation_text(out: &mut String, translation: &Translation) {
    let (before, after) = (&translation.before, &translation.after);
    let mut change = |name: &str, before, after| {
        out.push_str(name);
        end(out, before);
        out.push_str(" -> ");
        end(out, after);
    };
    if translation.is_of_source() {
        change("  SNAT ", before.from(), after.from());
    }
    if translation.is_of_destination() {
        change("  DNAT ", before.to(), after.to());
    }
}

/// An address, with the port if there is one.
fn end(out: &mut String, (address, port): (IpAddr, Option<u16>)) {
    match port {
        Some(port) => {
            let _ = write!(out, "{}", SocketAddr::new(address, port));
        }
        None => write::address(out, address),
    }
}
