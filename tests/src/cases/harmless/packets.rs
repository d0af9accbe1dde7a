//! Packets of many kinds, valid and invalid.

use std::net::Ipv4Addr;

use crate::frames;

/// Our MAC address, which identifies bridged packets.
const OURS: [u8; 6] = [2, 0, 0, 0, 0xfe, 1];
/// The end of a sequence's last packet.
pub(super) const LAST: &[u8] = b"the last packet of all of them";
/// The begin of routed packets' payload, which identifies them instead of a MAC address.
const MARK: &[u8] = b"podtrace-harmless";

const IPV4: [u8; 2] = [8, 0];
const IPV6: [u8; 2] = [0x86, 0xdd];
const TCP: u8 = 6;
const UDP: u8 = 17;

/// A packet to send.
#[derive(Debug)]
pub(super) struct Packet {
    /// `struct virtio_net_hdr`.
    pub(super) offload: [u8; 10],
    pub(super) bytes: Vec<u8>,
}

impl Packet {
    fn plain(bytes: Vec<u8>) -> Self {
        let offload = [0; 10];
        Self { offload, bytes }
    }

    /// TCP with checksum offload, and with a segment size also segmentation offload.
    fn offloaded(bytes: Vec<u8>, segment: Option<u16>) -> Self {
        // Flag NEEDS_CSUM, type TCPV4; header length, segment size, begin and offset of the
        // checksum (linux/virtio_net.h).
        let mut offload = [1, 0, 54, 0, 0, 0, 34, 0, 16, 0];
        if let Some(segment) = segment {
            offload[1] = 1;
            offload[4..6].copy_from_slice(&segment.to_le_bytes());
        }
        Self { offload, bytes }
    }

    /// Whether a received packet is one of these.
    pub(super) fn is_ours(bytes: &[u8]) -> bool {
        bytes.get(6..12) == Some(&OURS[..]) || bytes.windows(MARK.len()).any(|part| part == MARK)
    }
}

/// For a pod of the same node; nothing on the way reads beyond the Ethernet header.
pub(super) fn raw(to: [u8; 6]) -> Vec<Packet> {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    // Sizes around the limits of the capture.
    for len in [42, 43, 60, 64, 98, 131, 132, 159, 160, 161, 512, 1463, 1464] {
        frames.push(frames::ipv4(len));
    }
    frames.push(frames::ipv6());
    frames.push(frames::in_vxlan(&frames::ipv4(98)));
    frames.push(frames::in_vxlan(&frames::in_vxlan(&frames::ipv6())));
    frames.extend(fragments());
    frames.extend(broken_ipv4());
    frames.extend(tagged());
    frames.extend(with_extensions());
    frames.push(ethernet(IPV4, &ipv4(TCP, &syn())));
    frames.push(ethernet(
        IPV4,
        &ipv4(1, &[8, 0, 1, 2, 0, 3, 0, 4, 5, 6, 7, 8]),
    ));
    frames.push(ethernet(IPV4, &ipv4(47, &[0, 0, 8, 0, 1, 2, 3, 4])));
    for protocol in [
        [8, 6],
        [0x88, 0x47],
        [0x88, 0xcc],
        [0x88, 0x8e],
        [0x88, 0xb5],
        [0xff, 0xff],
    ] {
        frames.push(ethernet(protocol, &[0x5a; 46]));
    }
    // LLC: the protocol is a length.
    frames.push(ethernet([0, 38], &[0x42; 46]));
    frames.push(ethernet([0, 3], &[0xe0, 0xe0, 3]));
    // Hardly any byte behind the header.
    for len in 0..3 {
        frames.push(ethernet(IPV4, &[0x45; 3][..len]));
        frames.push(ethernet(IPV6, &[0x60; 3][..len]));
    }
    for frame in &mut frames {
        address(frame, to);
    }
    // Broadcast and multicast.
    for to in [[0xff; 6], [1, 0, 0x5e, 0, 0, 77], [0x33, 0x33, 0, 0, 0, 77]] {
        for mut frame in [ethernet([8, 6], &arp()), frames::ipv4(98), frames::ipv6()] {
            address(&mut frame, to);
            frames.push(frame);
        }
    }
    let mut packets: Vec<_> = frames.into_iter().map(Packet::plain).collect();
    for (len, segment) in [
        (100, None),
        (1400, None),
        (6000, Some(1400)),
        (60_000, Some(536)),
    ] {
        let mut frame = ethernet(IPV4, &ipv4(TCP, &tcp(&vec![0x77; len])));
        address(&mut frame, to);
        packets.push(Packet::offloaded(frame, segment));
    }
    let mut last = frames::datagram(LAST);
    address(&mut last, to);
    packets.push(Packet::plain(last));
    packets
}

/// A datagram to a pod of the same node.
pub(super) fn datagram_to(to: [u8; 6], port: u16) -> Packet {
    let mut datagram = udp(&[0x66; 32]);
    datagram[2..4].copy_from_slice(&port.to_be_bytes());
    let mut frame = ethernet(IPV4, &ipv4(UDP, &datagram));
    address(&mut frame, to);
    Packet::plain(frame)
}

/// The last packet: it is not IP, so that no program stops it.
pub(super) fn last_to(to: [u8; 6]) -> Packet {
    let mut frame = ethernet([0x88, 0xb5], LAST);
    address(&mut frame, to);
    Packet::plain(frame)
}

/// Through the node's gateway to a pod elsewhere: only IPv4, some packets of which may not
/// arrive.
pub(super) fn from_pod(gateway: [u8; 6], from: Ipv4Addr, to: Ipv4Addr) -> Vec<Packet> {
    let packet = |ttl: u8, flags: u16, content: &[u8]| {
        let content = [MARK, content].concat();
        let mut packet = ipv4(UDP, &udp(&content));
        packet[6..8].copy_from_slice(&flags.to_be_bytes());
        packet[8] = ttl;
        routed(packet, gateway, from, to)
    };
    let mut frames = vec![
        packet(64, 0x4000, &[]),
        packet(64, 0, &[1; 900]),
        packet(3, 0, &[2; 40]),
        packet(1, 0, &[3; 40]),
        packet(64, 0x2000, &[4; 64 - MARK.len()]),
        packet(64, 0x2009, &[5; 64 - MARK.len()]),
        packet(64, 9 + 9, &[6; 30]),
        packet(255, 0x4000, &[7; 1390]),
    ];
    // A packet with a wrong IP checksum is not routed, one with a wrong UDP checksum is.
    let mut wrong = packet(64, 0, &[8; 50]);
    wrong[24] ^= 0xff;
    frames.push(wrong);
    let mut wrong = packet(64, 0, &[9; 50]);
    wrong[40] ^= 0xff;
    frames.push(wrong);
    let mut packets: Vec<_> = frames.into_iter().map(Packet::plain).collect();
    for (len, segment) in [(100, None), (5000, Some(1300))] {
        let content = [MARK, &vec![0x77; len]].concat();
        let frame = routed(ipv4(TCP, &tcp(&content)), gateway, from, to);
        packets.push(Packet::offloaded(frame, segment));
    }
    packets.push(Packet::plain(packet(64, 0, LAST)));
    packets
}

/// Sets these addresses and correct checksums.
fn routed(mut packet: Vec<u8>, gateway: [u8; 6], from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    packet[12..16].copy_from_slice(&from.octets());
    packet[16..20].copy_from_slice(&to.octets());
    set_sum(&mut packet);
    if packet[9] == TCP {
        // Of the addresses and the length: the device adds the rest.
        let length = u16::try_from(packet.len() - 20).unwrap();
        let mut pseudo = packet[12..20].to_vec();
        pseudo.extend([0, TCP]);
        pseudo.extend(length.to_be_bytes());
        packet[36..38].copy_from_slice(&sum(&pseudo).to_be_bytes());
    }
    let mut frame = ethernet(IPV4, &packet);
    address(&mut frame, gateway);
    frame
}

fn address(frame: &mut [u8], to: [u8; 6]) {
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&OURS);
}

fn ethernet(protocol: [u8; 2], content: &[u8]) -> Vec<u8> {
    [&[0; 12][..], &protocol, content].concat()
}

fn ipv4(protocol: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + content.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0x12, 0x34, 0, 0, 64, protocol, 0, 0]);
    packet.extend([10, 244, 1, 2, 10, 244, 1, 3]);
    packet.extend(content);
    set_sum(&mut packet);
    packet
}

fn set_sum(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let sum = !sum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// The internet checksum of RFC 1071, not yet inverted.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|two| u16::from_be_bytes([two[0], two[1]]));
    let sum: u32 = words.map(u32::from).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    ((folded & 0xffff) + (folded >> 16)) as u16
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let mut datagram = vec![0x9c, 0x40, 0x13, 0x89];
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

fn tcp(payload: &[u8]) -> Vec<u8> {
    let mut segment = vec![
        0x9c, 0x40, 0x13, 0x89, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0,
    ];
    segment.extend([0; 4]);
    segment.extend(payload);
    segment
}

/// With options.
fn syn() -> Vec<u8> {
    let mut segment = tcp(&[2, 4, 5, 0xb4, 1, 3, 3, 7]);
    (segment[12], segment[13]) = (0x70, 2);
    segment
}

fn arp() -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 2];
    packet.extend(OURS);
    packet.extend([10, 244, 1, 99]);
    packet.extend([0xff; 6]);
    packet.extend([10, 244, 1, 99]);
    packet
}

/// First, middle and last, and a repeated one.
fn fragments() -> Vec<Vec<u8>> {
    let fragment = |flags: u16| {
        let mut packet = ipv4(UDP, &udp(&[flags as u8; 56]));
        packet[6..8].copy_from_slice(&flags.to_be_bytes());
        set_sum(&mut packet);
        ethernet(IPV4, &packet)
    };
    [0x2000, 0x2008, 0x0010, 0x2008, 0x4000]
        .map(fragment)
        .into()
}

/// Wrong checksums, lengths and versions.
fn broken_ipv4() -> Vec<Vec<u8>> {
    let good = || ipv4(UDP, &udp(&[0x33; 60]));
    let change = |at: usize, value: u8| {
        let mut packet = good();
        packet[at] = value;
        ethernet(IPV4, &packet)
    };
    let mut all = vec![
        change(11, 0xee),
        change(8, 1),
        change(8, 0),
        change(0, 0x44),
        change(0, 0x4f),
        change(0, 0x95),
        change(2, 0xff),
        change(3, 10),
    ];
    // Longer and shorter than the header states.
    all.push(ethernet(IPV4, &[good(), vec![0; 17]].concat()));
    all.push(ethernet(IPV4, &good()[..25]));
    all
}

fn tagged() -> Vec<Vec<u8>> {
    let inner = [&IPV4[..], &ipv4(UDP, &udp(&[0x44; 64]))].concat();
    let one = [&[0x60, 7][..], &inner].concat();
    let two = [&[0x20, 9, 0x81, 0][..], &one].concat();
    vec![
        ethernet([0x81, 0], &one),
        ethernet([0x88, 0xa8], &two),
        ethernet([0x81, 0], &two),
        ethernet([0x81, 0], &[0, 5, 0x88, 0xb5, 1, 2, 3]),
        ethernet([0x81, 0], &[0, 5]),
    ]
}

/// IPv6 with hop-by-hop and destination options, a routing and a fragment header, an unknown
/// one, and a truncated chain.
fn with_extensions() -> Vec<Vec<u8>> {
    let packet = |first: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap();
        let mut packet = vec![0x60, 0, 0x12, 0x34];
        packet.extend(length.to_be_bytes());
        packet.extend([first, 64]);
        packet.extend([0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        packet.extend([0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
        packet.extend(content);
        ethernet(IPV6, &packet)
    };
    let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let fragment = |next: u8, offset: u8| [next, 0, 0, offset, 0, 0, 0, 9];
    let datagram = udp(&[0x55; 40]);
    vec![
        packet(0, &[&options(60)[..], &options(UDP), &datagram].concat()),
        packet(43, &[&[UDP, 0, 4, 0, 0, 0, 0, 0][..], &datagram].concat()),
        packet(44, &[&fragment(UDP, 1)[..], &datagram].concat()),
        packet(44, &[&fragment(UDP, 0x30)[..], &datagram].concat()),
        packet(253, &datagram),
        packet(0, &options(60)),
        packet(59, &[]),
        packet(UDP, &datagram),
    ]
}
