mod cut;
mod dns;
mod http;
mod link;
mod quote;
mod ruled_out;
mod tunnels;

use proptest::prelude::*;

use super::{
    super::{Beside, Carrier, Payload},
    *,
};

fn options() -> DecodeOptions {
    DecodeOptions {
        vxlan_ports: vec![8472],
        key_payload: 16,
        filter: None,
    }
}

fn decode(frame: &[u8]) -> Packet {
    let len = u32::try_from(frame.len()).unwrap();
    Packet::decode(frame, len, Framing::Ethernet, &options())
}

/// What the payload of a frame says.
fn payload(frame: &[u8]) -> Option<Box<Payload>> {
    let len = u32::try_from(frame.len()).unwrap();
    Packet::decode_with_payload(frame, len, Framing::Ethernet, &options()).1
}

fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x45, 0, len[0], len[1], 0, 7, 0x40, 0, 64, protocol, 0, 0];
    packet.extend([10, 244, 1, 4, 10, 244, 2, 7]);
    packet.extend(payload);
    packet
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap();
    let mut datagram = vec![0x13, 0x88];
    datagram.extend(port.to_be_bytes());
    datagram.extend(len.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

fn echo() -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0, 0, 23, 0, 1];
    message.extend([0x55; 20]);
    ethernet(ETHERTYPE_IPV4, &ipv4(1, &message))
}

fn in_vxlan(inner: &[u8]) -> Vec<u8> {
    let mut vxlan = vec![8, 0, 0, 0, 0, 0, 1, 0];
    vxlan.extend(inner);
    ethernet(ETHERTYPE_IPV4, &ipv4(17, &udp(8472, &vxlan)))
}

fn what(packet: &Packet) -> String {
    let mut text = String::new();
    packet.describe(&mut text);
    text
}

#[test]
fn frames_are_described() {
    let arp = [
        0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
    ];
    let syn = [
        0, 80, 1, 187, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
    ];
    let cases = [
        (echo(), "ICMP echo request id 23 seq 1"),
        (
            ethernet(ETHERTYPE_ARP, &arp),
            "ARP who has 10.0.0.2 tell 10.0.0.1",
        ),
        (
            ethernet(ETHERTYPE_IPV4, &ipv4(6, &syn)),
            "TCP 80 > 443 [SYN] seq 9 ack 0 len 0",
        ),
        (
            ethernet(ETHERTYPE_IPV4, &ipv4(17, &udp(53, b"abc"))),
            "UDP 5000 > 53 len 3",
        ),
        (ethernet(0x88cc, b"x"), "ethertype 0x88cc"),
        (ethernet(ETHERTYPE_IPV4, &ipv4(132, b"")), "SCTP"),
        (
            ethernet(ETHERTYPE_IPV4, &ipv4(6, &[0; 4])),
            "IP protocol 6, header cut off",
        ),
        (vec![1, 2, 3], "unreadable frame"),
        (
            ethernet(0x8100, &[0, 5, 0x88, 0xcc]),
            "ethertype 0x88cc vlan 5",
        ),
        (in_vxlan(&[1; 10]), "UDP 5000 > 8472 len 18"),
    ];
    for (frame, expected) in cases {
        assert_eq!(what(&decode(&frame)), expected);
    }
}

#[test]
fn key_is_the_same_inside_vxlan_and_after_routing() {
    let plain = decode(&echo());
    let tunnelled = decode(&in_vxlan(&echo()));
    assert_eq!(tunnelled.tunnel.unwrap().carrier, Carrier::Vxlan(1));
    assert_eq!(plain.key(), tunnelled.key());
    let mut routed = echo();
    routed[0] = 6; // destination MAC
    routed[22] = 63; // TTL
    routed[24] = 1; // checksum
    assert_eq!(plain.key(), decode(&routed).key());
}

#[test]
fn key_ignores_ethernet_padding() {
    let frame = ethernet(ETHERTYPE_IPV4, &ipv4(17, &udp(53, b"a")));
    let mut padded = frame.clone();
    padded.resize(60, 0);
    assert_eq!(decode(&frame).key(), decode(&padded).key());
}

#[test]
fn keys_of_different_packets_differ() {
    let frame = echo();
    for at in [19, 29, 33, 34, 39, 41, 43] {
        let mut other = frame.clone();
        other[at] ^= 1;
        assert_ne!(decode(&frame).key(), decode(&other).key(), "byte {at}");
    }
}

#[test]
fn echo_reply_pairs_with_its_request() {
    let request = decode(&echo());
    let mut reply = echo();
    reply[34] = 0;
    reply[26..34].rotate_left(4);
    let reply = decode(&reply);
    assert_eq!(request.echo_pair().unwrap().0, reply.echo_pair().unwrap().0);
    assert!(reply.echo_pair().unwrap().1);
}

#[test]
fn gso_packet_takes_its_length_from_the_wire() {
    let mut frame = ethernet(ETHERTYPE_IPV4, &ipv4(6, &[0x50; 20]));
    frame[16..18].fill(0);
    let packet = Packet::decode(&frame, 65_549, Framing::Ethernet, &options());
    assert_eq!(packet.length, 65_535);
}

proptest! {
    #[test]
    fn any_bytes_decode(bytes in prop::collection::vec(any::<u8>(), 0..200), wire in any::<u32>()) {
        for framing in [Framing::Ethernet, Framing::Ip] {
            let packet = Packet::decode(&bytes, wire, framing, &options());
            let _ = (packet.key(), packet.echo_pair(), what(&packet));
        }
    }

    #[test]
    fn any_damage_decodes(at in 0usize..120, value in any::<u8>(), cut in 0usize..120) {
        let mut frame = in_vxlan(&echo());
        if let Some(byte) = frame.get_mut(at) {
            *byte = value;
        }
        frame.truncate(cut);
        let packet = Packet::decode(&frame, 120, Framing::Ethernet, &options());
        let _ = (packet.key(), what(&packet));
    }
}
