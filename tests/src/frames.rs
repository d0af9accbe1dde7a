//! The frames that the kernel programs are fed.
use podtrace::lab::plan::{VNI, VXLAN_PORT, overlay4, overlay6, underlay4};

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
    ethernet(IPV4, &ipv4_packet(ends, &udp(40_000, 5001, payload)))
}

/// The same in a frame of so many bytes.
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
    let ends = [underlay4(1), underlay4(2)];
    ethernet(IPV4, &ipv4_packet(ends, &udp(50_000, VXLAN_PORT, &payload)))
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

/// `struct __sk_buff` of a packet of many segments, as a test run takes it.
#[must_use]
pub fn gso_context(segments: u32, segment_len: u32) -> Vec<u8> {
    /// Of linux/bpf.h: the struct's size and the fields' offsets.
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

fn ipv4_packet(ends: [std::net::Ipv4Addr; 2], content: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend(length(20 + content.len()));
    packet.extend([0, 1, 0x40, 0, 64, UDP, 0, 0]);
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

/// A length field; that of a frame too long for it is full.
fn length(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}
