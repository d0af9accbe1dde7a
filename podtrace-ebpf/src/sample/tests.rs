use proptest::prelude::*;

use super::*;

const VXLAN_PORT: u16 = 8472;

fn options(ethertype: u16) -> InspectOptions<impl Fn(u16) -> bool> {
    InspectOptions {
        ethertype,
        is_vxlan: |port| port == VXLAN_PORT,
        opens: true,
    }
}

/// The fields that differ at each hop.
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
    match inspect(&Copied::of(packet), &options(ethertype)) {
        Inspection::Packet(seen) => seen,
        other => panic!("{other:?}"),
    }
}

fn inner(ethertype: u16, packet: &[u8]) -> Option<Inner> {
    match inspect(&Copied::of(packet), &options(ethertype)) {
        Inspection::Tunnel(inner) => Some(inner),
        _ => None,
    }
}

proptest! {
    #[test]
    fn digest_stays_the_same_on_the_way(
        ttl: u8, checksum: u16, ends: [u8; 8], ports: [u16; 2],
        id: u16, numbers: [u32; 2], payload in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        prop_assume!(!matches!(ports[1], VXLAN_PORT | GENEVE_PORT));
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
    fn any_bytes_can_be_inspected(ethertype: u16, packet in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = inspect(&Copied::of(&packet), &options(ethertype));
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
fn error_is_taken_whoever_its_packet_is_from() {
    let error = |kind: u8, packet: &[u8]| [&[kind, 1, 3, 9, 0, 0, 5, 0], packet].concat();
    let translated = Hop {
        ends: [10, 96, 0, 10, 192, 0, 2, 9],
        checksum: 77,
        ..HOP
    };
    let quoted = |hop, id| ipv4(hop, 17, id, &udp(hop, &[7; 20]));
    let four = |hop, id| {
        seen(
            ETHERTYPE_IPV4,
            &ipv4(HOP, 1, 0, &error(3, &quoted(hop, id))),
        )
    };
    assert_eq!(four(HOP, 5), four(translated, 5));
    assert_ne!(four(HOP, 5), four(HOP, 6));
    let quoted = |hop, len| ipv6(hop, 17, 0, &udp(hop, &vec![7; len]));
    let six = |hop, len| {
        seen(
            ETHERTYPE_IPV6,
            &ipv6(HOP, 58, 0, &error(1, &quoted(hop, len))),
        )
    };
    assert_eq!(six(HOP, 20), six(translated, 20));
    assert_ne!(six(HOP, 20), six(HOP, 21));
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

/// The packet found in a packet of that protocol, in IPv4 and in IPv6.
fn found(protocol: u8, transport: &[u8]) -> [Option<Inner>; 2] {
    [
        inner(ETHERTYPE_IPV4, &ipv4(HOP, protocol, 0, transport)),
        inner(ETHERTYPE_IPV6, &ipv6(HOP, protocol, 0, transport)),
    ]
}

#[test]
fn packet_in_a_tunnel_is_found() {
    let both = |at: u32, is_ethernet| {
        [20, 40].map(|ip_len: u32| {
            Some(Inner {
                at: ip_len + at,
                is_ethernet,
            })
        })
    };
    let to = |port, begin: [u8; 8]| {
        let ports = [50_000, port];
        udp(Hop { ports, ..HOP }, &begin)
    };
    let vxlan = [8, 0, 0, 0, 0, 0, 1, 0];
    assert_eq!(found(17, &to(VXLAN_PORT, vxlan)), both(16, true));
    assert_eq!(found(17, &to(VXLAN_PORT, [0; 8])), [None; 2]);
    assert_eq!(found(17, &to(53, vxlan)), [None; 2]);
    let geneve = |lengths, e0, e1| to(GENEVE_PORT, [lengths, 0, e0, e1, 0, 0, 1, 0]);
    assert_eq!(found(17, &geneve(0x3f, 0x65, 0x58)), both(16 + 252, true));
    assert_eq!(found(17, &geneve(0, 0x08, 0)), both(16, false));
    assert_eq!(found(17, &geneve(0x40, 0x65, 0x58)), [None; 2]);
    assert_eq!(found(17, &geneve(0, 0x88, 0xcc)), [None; 2]);
    let gre = |flags, e0, e1| [flags, 0, e0, e1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(found(47, &gre(0, 0x08, 0)), both(4, false));
    assert_eq!(found(47, &gre(0x30, 0x65, 0x58)), both(12, true));
    assert_eq!(found(47, &gre(0x40, 0x08, 0)), [None; 2]);
    for version in [4, 41] {
        assert_eq!(found(version, &[0; 20]), both(0, false));
        // Behind the option that limits nested tunnels.
        let limit = [version, 0, 4, 1, 4, 1, 1, 0];
        let inner = inner(ETHERTYPE_IPV6, &ipv6(HOP, 60, 0, &limit));
        assert_eq!(inner.unwrap().at, 48);
    }
    let closed = InspectOptions {
        opens: false,
        ..options(ETHERTYPE_IPV4)
    };
    let inspection = inspect(&Copied::of(&ipv4(HOP, 4, 0, &[0; 20])), &closed);
    assert!(matches!(inspection, Inspection::Packet(_)));
}

#[test]
fn version_of_ip_is_its_own() {
    let (four, six) = (ipv4(HOP, 17, 1, &[0; 20]), ipv6(HOP, 17, 1, &[0; 20]));
    assert_eq!(seen(ETHERTYPE_IPV4, &four), seen(ETHERTYPE_IPV6, &four));
    assert_eq!(seen(ETHERTYPE_IPV4, &six), seen(ETHERTYPE_IPV6, &six));
    assert_eq!(
        inspect(&Copied::of(&[0x50; 40]), &options(ETHERTYPE_IPV4)),
        Inspection::Unknown
    );
}

#[test]
fn all_fragments_of_a_datagram_are_taken_together() {
    let mut first = ipv4(HOP, 17, 500, &udp(HOP, &[1; 40]));
    let mut last = ipv4(HOP, 17, 500, &[9; 40]);
    first[6..8].copy_from_slice(&0x2000u16.to_be_bytes());
    last[6..8].copy_from_slice(&185u16.to_be_bytes());
    let (first, last) = (seen(ETHERTYPE_IPV4, &first), seen(ETHERTYPE_IPV4, &last));
    assert_eq!(first.digest, last.digest);
    assert_eq!(first.headers, 20 + 8 + KEY_PAYLOAD);
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

/// One in eight of packets that are nearly equal.
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
fn other_protocols_have_no_digest() {
    assert_eq!(
        inspect(&Copied::of(&[0; 60]), &options(0x88cc)),
        Inspection::Unknown
    );
}
