//! The remarks of a hop's line, after its direction.
use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use crate::{
    clock::nodes::{duration, signed_duration},
    packet::{Carrier, Packet, Payload, Quote, Tunnel},
    path::{
        Hop, PartOf, Path, Segments, Translation,
        clocks::clocks,
        refusal::{Reason, Refusal},
        service::{Service, service_of},
    },
    text::{count::counted, write},
    world::World,
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
        if tunnel.fragment.is_some() {
            out.push_str(" in fragments");
        }
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

/// The outer packet of a tunnel.
fn carrier(out: &mut String, tunnel: &Tunnel) {
    out.push_str(tunnel.kind().name());
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

/// The changes of the packet on its way to a hop: segments, and translated ends.
pub(super) fn changes(out: &mut String, path: &Path, hop: usize, world: &World) {
    if let Some(segments) = path.segments_at(hop) {
        segments_text(out, segments, path);
    }
    if let Some(translation) = path.translation_at(hop) {
        translation_text(out, &translation, path, world);
    }
}

/// `  5 segments`, `  3 of 5 segments`, `  5 segments in 2 packets`, or, where nothing tells how
/// large a segment is, `  2 packets` or `  2 packets with 4344 of 7240 B`; `  2 fragments`
fn segments_text(out: &mut String, seen: Segments, path: &Path) {
    let (all, payload) = (path.gso_segments, path.divisible());
    let noun = if path.in_fragments {
        "fragment"
    } else {
        "packet"
    };
    let packets = counted(seen.packets.into(), noun);
    let is_whole = seen.bytes >= payload;
    out.push_str("  ");
    let _ = match seen.segments {
        None if is_whole => out.write_str(&packets),
        None => write!(out, "{packets} with {} of {payload} B", seen.bytes),
        Some(segments) if is_whole => write!(out, "{segments} segments"),
        Some(segments) => write!(out, "{segments} of {all} segments"),
    };
    if seen
        .segments
        .is_some_and(|segments| segments != seen.packets)
    {
        let _ = write!(out, " in {packets}");
    }
}

/// What a packet is that has bytes of an earlier one.
pub(super) fn again(packet: &Packet) -> &'static str {
    match packet.is_like_keep_alive() {
        true => "  (keep-alive)",
        false => "  (retransmission)",
    }
}

/// `  (2 of 5 segments of a packet, which went on without them)`
pub(super) fn left_behind(out: &mut String, of: PartOf) {
    let _ = match of.segments {
        Some((1, all)) => write!(
            out,
            "  (1 of {all} segments of a packet, which went on without it)"
        ),
        Some((lost, all)) => write!(
            out,
            "  ({lost} of {all} segments of a packet, which went on without them)"
        ),
        None => write!(out, "  (a part of a packet, which went on without it)"),
    };
}

/// `  DNAT 10.96.0.10:80 (default/web:80) -> 10.244.2.7:8080`
fn translation_text(out: &mut String, translation: &Translation, path: &Path, world: &World) {
    let (before, after) = (&translation.before, &translation.after);
    let service = service_of(path, translation, world);
    let name_if = |out: &mut String, answers: bool| {
        if let Some(service) = service.filter(|service| service.answers == answers) {
            let _ = write!(out, " ({})", service.port.name);
        }
    };
    if translation.is_of_source() {
        out.push_str("  SNAT ");
        end(out, before.from());
        out.push_str(" -> ");
        end(out, after.from());
        name_if(out, true);
    }
    if translation.is_of_destination() {
        out.push_str("  DNAT ");
        end(out, before.to());
        name_if(out, false);
        out.push_str(" -> ");
        end(out, after.to());
    }
}

/// `  (to a pod of default/web)`
pub(super) fn behind(out: &mut String, service: Service<'_>) {
    let way = match service.answers {
        true => "from",
        false => "to",
    };
    let _ = write!(out, "  ({way} a pod of {})", service.port.service());
}

/// `  (about 10.244.1.2:5000 -> 10.244.2.7:53)`
pub(super) fn quoted(out: &mut String, quote: &Quote) {
    if let Some(ends) = quote.packet.ends() {
        out.push_str("  (about ");
        end(out, ends.from());
        out.push_str(" -> ");
        end(out, ends.to());
        out.push(')');
    }
}

/// `  (DNS query A web.default.svc)`, `  (HTTP GET /index.html web.default)`
pub(super) fn message(out: &mut String, payload: &Payload) {
    if matches!(payload, Payload::Quote(_)) {
        return;
    }
    out.push_str("  (");
    match payload {
        Payload::Quote(_) => {}
        Payload::Dns(dns) => dns.describe(out),
        Payload::Http(http) => http.describe(out),
    }
    out.push(')');
}

/// The reason of a refusal: `connection refused`, `fragmentation needed, MTU 1450`,
/// `port unreachable (VXLAN 8472)` of a packet in a tunnel
pub(super) fn reason(out: &mut String, refusal: &Refusal) {
    let reason = refusal.reason;
    let _ = write!(out, "{reason}");
    if let Reason::Icmp(error) = reason {
        if let Some(mtu) = error.mtu() {
            let _ = write!(out, ", MTU {mtu}");
        }
        if let Some(gateway) = error.gateway() {
            let _ = write!(out, " to {gateway}");
        }
    }
    if let Some(carried) = refusal.carried {
        let _ = write!(out, " ({}", carried.by.name());
        if let Some(port) = carried.port {
            let _ = write!(out, " {port}");
        }
        out.push(')');
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

/// The corrections of the nodes' clocks for the path.
pub(super) fn clock_remarks(out: &mut String, path: &Path, world: &World) {
    for note in clocks(path, world) {
        let _ = match note.uncertainty_ns {
            Some(uncertainty_ns) => write!(
                out,
                " (clock of {} {} ± {})",
                note.node,
                signed_duration(note.offset_ns),
                duration(uncertainty_ns.into())
            ),
            None => write!(out, " (clock of {} unknown)", note.node),
        };
    }
}
