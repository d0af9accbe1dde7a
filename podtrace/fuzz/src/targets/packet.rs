//! A frame as it was captured.
use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::IpAddr,
};

use podtrace::packet::{
    DecodeOptions, FLANNEL_PORT, Framing, Network, Packet, Payload, link::Layer,
};
use podtrace_ebpf::{
    parse,
    record::Record,
    sample::{self, InMemory},
};

/// Decodes the frame in all ways, and once more inside of VXLAN and behind a header that
/// podtrace makes: it is the same packet.
pub(crate) fn run(bytes: &[u8]) {
    let options = DecodeOptions {
        vxlan_ports: vec![FLANNEL_PORT],
        key_payload: 16,
        filter: None,
    };
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    for (framing, wire_len) in [
        (Framing::Ip, len),
        (Framing::Ethernet, 0),
        (Framing::Ethernet, u32::MAX),
    ] {
        let (packet, payload) = Packet::decode_with_payload(bytes, wire_len, framing, &options);
        exercise(&packet);
        if let Some(quote) = payload.as_deref().and_then(Payload::quote) {
            exercise(&quote.packet);
        }
    }
    let plain = Packet::decode(bytes, len, Framing::Ethernet, &options);
    exercise(&plain);
    let outer = in_vxlan(bytes);
    let outer_len = u32::try_from(outer.len()).unwrap_or(u32::MAX);
    let tunnelled = Packet::decode(&outer, outer_len, Framing::Ethernet, &options);
    if plain.network != Network::Unreadable && plain.tunnel.is_none() {
        assert!(tunnelled.tunnel.is_some(), "{tunnelled:?}");
        assert_eq!(plain.key(), tunnelled.key(), "{plain:?} {tunnelled:?}");
    }
    behind_made_header(bytes, &options);
    walk(bytes);
    let _ = (Record::begin(bytes), Record::decode(bytes));
}

/// Takes all that there is of a packet.
fn exercise(packet: &Packet) {
    let mut text = String::new();
    packet.describe(&mut text);
    assert!(!text.is_empty() && !text.contains(char::is_control));
    let mut hasher = DefaultHasher::new();
    packet.key().hash(&mut hasher);
    packet.key().content().hash(&mut hasher);
    let ends: [Option<IpAddr>; 2] = [packet.source(), packet.destination()];
    let _ = (packet.echo_pair(), ends, hasher.finish());
}

/// The bytes without a link layer, and as the Ethernet frame that podtrace records of them.
fn behind_made_header(bytes: &[u8], options: &DecodeOptions) {
    let bare = Packet::decode(bytes, 0, Framing::Ip, options);
    for layer in [Layer::Ip, Layer::Loopback, Layer::Cooked, Layer::Cooked2] {
        let made = layer.ethernet(bytes, None);
        let frame = [&made.header[..], &bytes[made.len..]].concat();
        let framed = Packet::decode(&frame, 0, Framing::Ethernet, options);
        if layer == Layer::Ip && bare.network != Network::Unreadable {
            assert_eq!(bare.key(), framed.key(), "{bare:?} {framed:?}");
        }
    }
}

/// The kernel's walk, on the host.
fn walk(bytes: &[u8]) {
    let frame = InMemory {
        bytes,
        is_vxlan: |port| port == FLANNEL_PORT,
    };
    let _ = sample::innermost(&frame, true);
    let _ = sample::innermost(&frame, false);
    if let Ok(ip) = parse::ip(bytes, 0) {
        let _ = parse::inside(bytes, ip.protocol, ip.transport, |_| true);
    }
}

/// The frame in VXLAN in UDP in IPv4.
fn in_vxlan(inner: &[u8]) -> Vec<u8> {
    let len = |headers: usize| {
        let len = u16::try_from(headers + inner.len()).unwrap_or(0);
        len.to_be_bytes()
    };
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0]);
    frame.extend(len(36));
    frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 192, 168, 77, 11, 192, 168, 77, 12]);
    frame.extend([0x30, 0]);
    frame.extend(FLANNEL_PORT.to_be_bytes());
    frame.extend(len(16));
    frame.extend([0, 0, 8, 0, 0, 0, 0, 0, 1, 0]);
    frame.extend(inner);
    frame
}
