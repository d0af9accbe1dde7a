//! Packets in tunnels.
use podtrace_ebpf::parse::ETHERTYPE_IPV6;

use super::*;
use crate::packet::TunnelKind;

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
    packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].repeat(2));
    packet.extend(payload);
    packet
}

fn in_ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(ETHERTYPE_IPV4, &ipv4(protocol, payload))
}

fn in_ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(ETHERTYPE_IPV6, &ipv6(next, payload))
}

fn geneve(options: u8, ethertype: u16, inner: &[u8]) -> Vec<u8> {
    let [e0, e1] = ethertype.to_be_bytes();
    let mut header = vec![options, 0, e0, e1, 0, 0, 42, 0];
    header.resize(8 + usize::from(options) * 4, 0);
    udp(6081, &[&header[..], inner].concat())
}

fn gre(flags: u16, ethertype: u16, inner: &[u8]) -> Vec<u8> {
    let mut header = [flags.to_be_bytes(), ethertype.to_be_bytes()].concat();
    for (bit, field) in [(0x8000, 1_u32), (0x2000, 7), (0x1000, 3)] {
        if flags & bit != 0 {
            header.extend(field.to_be_bytes());
        }
    }
    [&header[..], inner].concat()
}

#[test]
fn packet_in_any_tunnel_is_the_same_packet() {
    let frame = echo();
    let (plain, packet) = (decode(&frame), &frame[14..]);
    let limit = |next| [&[next, 0, 4, 1, 4, 1, 1, 0][..], packet].concat();
    let cases = [
        (in_vxlan(&frame), TunnelKind::Vxlan, Carrier::Vxlan(1)),
        (
            in_ipv4(17, &geneve(0, 0x6558, &frame)),
            TunnelKind::Geneve,
            Carrier::Geneve(42),
        ),
        (
            in_ipv6(17, &geneve(2, 0x6558, &frame)),
            TunnelKind::Geneve,
            Carrier::Geneve(42),
        ),
        (
            in_ipv4(17, &geneve(0, ETHERTYPE_IPV4, packet)),
            TunnelKind::Geneve,
            Carrier::Geneve(42),
        ),
        (
            in_ipv4(47, &gre(0, ETHERTYPE_IPV4, packet)),
            TunnelKind::Gre,
            Carrier::Gre(None),
        ),
        (
            in_ipv4(47, &gre(0xb000, 0x6558, &frame)),
            TunnelKind::Gre,
            Carrier::Gre(Some(7)),
        ),
        (in_ipv4(4, packet), TunnelKind::Ipip, Carrier::Ip(4)),
        (in_ipv6(4, packet), TunnelKind::FourInSix, Carrier::Ip(4)),
        (
            in_ipv6(60, &limit(4)),
            TunnelKind::FourInSix,
            Carrier::Ip(4),
        ),
    ];
    for (frame, kind, carrier) in cases {
        let inner = decode(&frame);
        let tunnel = inner.tunnel.unwrap();
        assert_eq!((tunnel.kind(), tunnel.carrier), (kind, carrier));
        assert_eq!(inner.key(), plain.key(), "{kind:?}");
    }
    let message = ipv6(58, &[128, 0, 0, 0, 0, 23, 0, 1]);
    let plain = decode(&ethernet(ETHERTYPE_IPV6, &message));
    for (frame, kind) in [
        (in_ipv4(41, &message), TunnelKind::SixInFour),
        (in_ipv6(41, &message), TunnelKind::SixInSix),
    ] {
        let inner = decode(&frame);
        assert_eq!(inner.tunnel.unwrap().kind(), kind);
        assert_eq!(inner.key(), plain.key());
    }
}

/// A pod may have a tunnel of its own inside the network's tunnel.
#[test]
fn tunnel_in_a_tunnel_is_opened_and_a_third_is_not() {
    let packet = &echo()[14..];
    let one = in_ipv4(4, packet);
    let two = in_vxlan(&one);
    let three = in_vxlan(&two);
    let tunnel = decode(&two).tunnel.unwrap();
    assert_eq!(tunnel.carrier, Carrier::Vxlan(1));
    assert_eq!(decode(&two).key(), decode(&one).key());
    assert_eq!(what(&decode(&three)), "IPv4 in IPv4");
}

#[test]
fn packets_that_are_no_tunnels_are_described_as_they_are() {
    for (frame, expected) in [
        (in_ipv4(4, &[0; 20]), "IPv4 in IPv4"),
        (in_ipv4(41, b"short"), "IPv6 in IPv4"),
        (in_ipv6(4, &[0; 3]), "IPv4 in IPv6"),
        (in_ipv4(47, &gre(0x1000, 0x88be, &[0; 40])), "GRE"),
        (
            in_ipv4(17, &udp(4789, &[8, 0, 0, 0, 0, 0, 1, 0])),
            "UDP 5000 > 4789 len 8",
        ),
        (
            in_ipv4(17, &geneve(0x40, 0x6558, &echo())),
            "UDP 5000 > 6081 len 326",
        ),
    ] {
        let packet = decode(&frame);
        assert_eq!((what(&packet).as_str(), packet.tunnel), (expected, None));
    }
}

#[test]
fn only_a_first_fragment_is_opened() {
    let mut frame = in_ipv4(4, &echo()[14..]);
    frame[20] = 0x20;
    assert!(decode(&frame).tunnel.is_some());
    frame[21] = 3;
    let later = decode(&frame);
    assert_eq!((later.tunnel, later.transport), (None, Transport::Fragment));
}
