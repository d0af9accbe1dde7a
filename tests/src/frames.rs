//! Frames as input of the kernel programs.
use podtrace::{
    lab::plan::{VNI, overlay4, overlay6, underlay4},
    packet::FLANNEL_PORT,
};
use podtrace_ebpf::parse::{ETHERNET_LEN, GENEVE_PORT, PROTOCOL_GRE, PROTOCOL_IPV4};

const MAC: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const UDP: u8 = 17;
/// Bytes of Ethernet, IPv4 and UDP headers.
const HEADERS: usize = 42;

/// UDP over IPv4 with this payload, in an Ethernet frame.
#[must_use]
pub fn datagram(payload: &[u8]) -> Vec<u8> {
    let ends = [overlay4(1, 2), overlay4(1, 3)];
    ethernet(IPV4, &ipv4_packet(ends, UDP, &udp(40_000, 5001, payload)))
}

/// The same in a frame of this length.
#[must_use]
pub fn ipv4(len: usize) -> Vec<u8> {
    datagram(&vec![7; len.saturating_sub(HEADERS)])
}

/// A frame inside VXLAN.
#[must_use]
pub fn in_vxlan(frame: &[u8]) -> Vec<u8> {
    let mut payload = vec![8, 0, 0, 0];
    payload.extend((VNI << 8).to_be_bytes());
    payload.extend(frame);
    in_ipv4(UDP, &udp(50_000, FLANNEL_PORT, &payload))
}

/// A frame inside Geneve with an option of 8 bytes.
#[must_use]
pub fn in_geneve(frame: &[u8]) -> Vec<u8> {
    let mut payload = vec![2, 0, 0x65, 0x58, 0, 0, 5, 0];
    payload.extend([1, 2, 3, 1, 0, 0, 0, 9]);
    payload.extend(frame);
    in_ipv4(UDP, &udp(50_000, GENEVE_PORT, &payload))
}

/// A frame's packet inside GRE with a key.
#[must_use]
pub fn in_gre(frame: &[u8]) -> Vec<u8> {
    let header = [0x20, 0, 0x08, 0, 0, 0, 0, 7];
    in_ipv4(PROTOCOL_GRE, &[&header, &frame[ETHERNET_LEN..]].concat())
}

/// A frame's packet inside IP.
#[must_use]
pub fn in_ipip(frame: &[u8]) -> Vec<u8> {
    in_ipv4(PROTOCOL_IPV4, &frame[ETHERNET_LEN..])
}

/// A frame of IPv4 with three VLAN tags.
#[must_use]
pub fn tagged(frame: &[u8]) -> Vec<u8> {
    let tags = [0, 5, 0x81, 0, 0, 6, 0x81, 0, 0, 7, 0x08, 0];
    ethernet(0x88a8, &[&tags, &frame[ETHERNET_LEN..]].concat())
}

/// A frame's packet behind two MPLS labels.
#[must_use]
pub fn labelled(frame: &[u8]) -> Vec<u8> {
    let labels = [0, 1, 0, 64, 0, 1, 0x11, 64];
    ethernet(0x8847, &[&labels, &frame[ETHERNET_LEN..]].concat())
}

fn in_ipv4(protocol: u8, content: &[u8]) -> Vec<u8> {
    let ends = [underlay4(1), underlay4(2)];
    ethernet(IPV4, &ipv4_packet(ends, protocol, content))
}

/// UDP over IPv6 in a frame of 118 bytes.
#[must_use]
pub fn ipv6() -> Vec<u8> {
    let datagram = udp(40_000, 5001, &[7; 56]);
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length(datagram.len()));
    packet.extend([UDP, 64]);
    packet.extend(overlay6(1, 2).octets());
    packet.extend(overlay6(1, 3).octets());
    packet.extend(datagram);
    ethernet(IPV6, &packet)
}

/// `struct __sk_buff` of a packet of many segments, for a test run.
#[must_use]
pub fn gso_context(segments: u32, segment_len: u32) -> Vec<u8> {
    /// From linux/bpf.h: the struct's size and the fields' offsets.
    const SIZE: usize = 192;
    const GSO_SEGS: usize = 164;
    const GSO_SIZE: usize = 176;
    let mut context = vec![0; SIZE];
    context[GSO_SEGS..][..4].copy_from_slice(&segments.to_ne_bytes());
    context[GSO_SIZE..][..4].copy_from_slice(&segment_len.to_ne_bytes());
    context
}

fn ethernet(kind: u16, packet: &[u8]) -> Vec<u8> {
    [&MAC[..], &kind.to_be_bytes(), packet].concat()
}

fn ipv4_packet(ends: [std::net::Ipv4Addr; 2], protocol: u8, content: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend(length(20 + content.len()));
    packet.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(ends.iter().flat_map(|end| end.octets()));
    packet.extend(content);
    packet
}

fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(from.to_be_bytes());
    datagram.extend(to.to_be_bytes());
    datagram.extend(length(8 + payload.len()));
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

/// A length field; saturates for longer frames.
fn length(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}
