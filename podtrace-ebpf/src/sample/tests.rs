use proptest::prelude::*;

use super::*;

const PORTS: [u16; VXLAN_PORTS_MAX] = [8472, 0, 0, 0];

fn view(packet: &[u8]) -> Copied {
    let mut bytes = [0; VIEW_LEN];
    let len = packet.len().min(VIEW_LEN);
    bytes[..len].copy_from_slice(&packet[..len]);
    let mut words = [0; VIEW_WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    Copied(words)
}

/// What is different at each hop.
#[derive(Clone, Copy, Debug)]
struct Hop {
    ttl: u8,
    checksum: u16,
    ends: [u8; 8],
    ports: [u16; 2],
}

const HOP: Hop = Hop {
    ttl: 64,
    checksum: 0x1234,
    ends: [10, 244, 1, 2, 10, 244, 2, 3],
    ports: [4000, 53],
};

fn ipv4(hop: Hop, protocol: u8, id: u16, transport: &[u8]) -> Vec<u8> {
    let len = 20 + transport.len() as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(len.to_be_bytes());
    packet.extend(id.to_be_bytes());
    packet.extend([0x40, 0, hop.ttl, protocol]);
    packet.extend(hop.checksum.to_be_bytes());
    packet.extend(hop.ends);
    packet.extend(transport);
    packet
}

fn ipv6(hop: Hop, protocol: u8, label: u16, transport: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0];
    packet.extend(label.to_be_bytes());
    packet.extend((transport.len() as u16).to_be_bytes());
    packet.extend([protocol, hop.ttl]);
    packet.extend(hop.ends.repeat(4));
    packet.extend(transport);
    packet
}

fn udp(hop: Hop, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(hop.ports.iter().flat_map(|port| port.to_be_bytes()));
    bytes.extend((8 + payload.len() as u16).to_be_bytes());
    bytes.extend(hop.checksum.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn tcp(hop: Hop, sequence: u32, acknowledgment: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(hop.ports.iter().flat_map(|port| port.to_be_bytes()));
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(acknowledgment.to_be_bytes());
    bytes.extend([0x80, 0x10, 1, 1]);
    bytes.extend(hop.checksum.to_be_bytes());
    bytes.extend([0; 14]);
    bytes
}

fn echo(hop: Hop, kind: u8, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0];
    bytes.extend(hop.checksum.to_be_bytes());
    bytes.extend([0, 7]);
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn seen(ethertype: u16, packet: &[u8]) -> Seen {
    look(ethertype, &view(packet), &PORTS).unwrap()
}

proptest! {
    #[test]
    fn digest_stays_the_same_on_the_way(
        ttl: u8, checksum: u16, ends: [u8; 8], ports: [u16; 2],
        id: u16, numbers: [u32; 2], payload in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        prop_assume!(ports[1] != PORTS[0]);
        let there = Hop { ttl, checksum, ends, ports };
        for (protocol, transport) in [
            (17, [HOP, there].map(|hop| udp(hop, &payload))),
            (6, [HOP, there].map(|hop| tcp(hop, numbers[0], numbers[1]))),
        ] {
            let [here, there_] = &transport;
            let four = [(HOP, here), (there, there_)]
                .map(|(hop, transport)| seen(ETHERTYPE_IPV4, &ipv4(hop, protocol, id, transport)));
            prop_assert_eq!(four[0], four[1]);
            let six = [(HOP, here), (there, there_)]
                .map(|(hop, transport)| seen(ETHERTYPE_IPV6, &ipv6(hop, protocol, id, transport)));
            prop_assert_eq!(six[0], six[1]);
        }
    }

    #[test]
    fn any_bytes_are_looked_at(ethertype: u16, packet in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = look(ethertype, &view(&packet), &PORTS);
    }
}

#[test]
fn echo_request_and_reply_are_taken_together() {
    let payload = [7; 56];
    let request = seen(
        ETHERTYPE_IPV4,
        &ipv4(HOP, 1, 11, &echo(HOP, 8, 3, &payload)),
    );
    let reply = seen(
        ETHERTYPE_IPV4,
        &ipv4(HOP, 1, 99, &echo(HOP, 0, 3, &payload)),
    );
    let other = seen(
        ETHERTYPE_IPV4,
        &ipv4(HOP, 1, 11, &echo(HOP, 8, 4, &payload)),
    );
    assert_eq!(request, reply);
    assert_ne!(request.digest, other.digest);
}

#[test]
fn arp_request_and_reply_are_taken_together() {
    let message = |operation, sender: [u8; 4], target: [u8; 4]| {
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, 1];
        bytes.extend(sender);
        bytes.extend([2, 0, 0, 0, 0, 2]);
        bytes.extend(target);
        seen(ETHERTYPE_ARP, &bytes)
    };
    let (one, other) = ([10, 244, 1, 2], [10, 244, 1, 3]);
    assert_eq!(message(1, one, other), message(2, other, one));
    assert_ne!(message(1, one, other), message(1, one, [10, 244, 1, 4]));
}

#[test]
fn packet_in_a_tunnel_is_found() {
    let vxlan = [8, 0, 0, 0, 0, 0, 1, 0];
    let to = Hop {
        ports: [50_000, PORTS[0]],
        ..HOP
    };
    let ethernet = [&[2; 12][..], &ETHERTYPE_ARP.to_be_bytes()].concat();
    let outer = udp(to, &[&vxlan[..], &ethernet].concat());
    assert_eq!(
        seen(ETHERTYPE_IPV4, &ipv4(to, 17, 0, &outer)).inner,
        Some(Inner {
            at: 50,
            ethertype: Some(ETHERTYPE_ARP),
        })
    );
    // It is behind the view.
    assert_eq!(
        seen(ETHERTYPE_IPV6, &ipv6(to, 17, 0, &outer)).inner,
        Some(Inner {
            at: 70,
            ethertype: None,
        })
    );
    let elsewhere = udp(HOP, &vxlan);
    assert_eq!(
        seen(ETHERTYPE_IPV4, &ipv4(HOP, 17, 0, &elsewhere)).inner,
        None
    );
    let no_port = look(ETHERTYPE_IPV4, &view(&ipv4(to, 17, 0, &outer)), &[0; 4]);
    assert_eq!(no_port.unwrap().inner, None);
}

#[test]
fn all_fragments_of_a_datagram_are_taken_together() {
    let mut first = ipv4(HOP, 17, 500, &udp(HOP, &[1; 40]));
    let mut last = ipv4(HOP, 17, 500, &[9; 40]);
    first[6..8].copy_from_slice(&0x2000u16.to_be_bytes());
    last[6..8].copy_from_slice(&185u16.to_be_bytes());
    let (first, last) = (seen(ETHERTYPE_IPV4, &first), seen(ETHERTYPE_IPV4, &last));
    assert_eq!(first.digest, last.digest);
    assert_eq!(last.headers, 20 + KEY_PAYLOAD);
}

#[test]
fn headers_end_behind_what_tells_packets_apart() {
    let headers = |protocol, transport: &[u8]| {
        seen(ETHERTYPE_IPV4, &ipv4(HOP, protocol, 1, transport)).headers
    };
    assert_eq!(headers(17, &udp(HOP, &[0; 30])), 20 + 8 + KEY_PAYLOAD);
    assert_eq!(headers(6, &tcp(HOP, 1, 2)), 20 + 32 + KEY_PAYLOAD);
    assert_eq!(headers(1, &echo(HOP, 8, 1, &[0; 30])), u32::MAX);
    let six = seen(ETHERTYPE_IPV6, &ipv6(HOP, 17, 1, &udp(HOP, &[0; 30])));
    assert_eq!(six.headers, 40 + 8 + KEY_PAYLOAD);
}

/// One in eight of packets that are nearly the same.
#[test]
fn digests_are_spread_evenly() {
    const COUNT: u32 = 80_000;
    for protocol in [6, 17] {
        let taken = (0..COUNT).filter(|n| {
            let transport = match protocol {
                6 => tcp(HOP, n * 1448, 77),
                _ => udp(HOP, &n.to_be_bytes()),
            };
            let seen = seen(ETHERTYPE_IPV4, &ipv4(HOP, protocol, 0, &transport));
            seen.digest <= u32::MAX / 8
        });
        let taken = taken.count() as u32;
        assert!(
            taken.abs_diff(COUNT / 8) < COUNT / 200,
            "{protocol}: {taken}"
        );
    }
}

#[test]
fn other_protocols_are_not_ours_to_tell_apart() {
    assert_eq!(look(0x88cc, &view(&[0; 60]), &PORTS), None);
}
