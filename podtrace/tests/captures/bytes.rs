//! Small captures as other tools write them.

/// Seconds since 1970 of the first packet.
const BEGIN_S: u32 = 1_700_000_000;

/// An echo request of that sequence number, from the IP header on.
pub(crate) fn ping(sequence: u16) -> Vec<u8> {
    let mut echo = vec![8, 0, 0, 0, 0, 7];
    echo.extend(sequence.to_be_bytes());
    echo.extend([b'x'; 16]);
    let len = u16::try_from(20 + echo.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(len.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(echo);
    packet
}

/// The same in an Ethernet frame.
pub(crate) fn frame(sequence: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend(ping(sequence));
    frame
}

/// The same as `tcpdump -i any` sees it at an interface; `kind`: 0 came in, 4 went out.
pub(crate) fn cooked(sequence: u16, ifindex: u32, kind: u8) -> Vec<u8> {
    let mut frame = vec![8, 0, 0, 0];
    frame.extend(ifindex.to_be_bytes());
    frame.extend([0, 1, kind, 6, 2, 0, 0, 0, 0, 1, 0, 0]);
    frame.extend(ping(sequence));
    frame
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// pcap: packets with their times in microseconds.
pub(crate) fn pcap(link: u32, packets: &[(u32, Vec<u8>)]) -> Vec<u8> {
    records([0xa1b2_c3d4, 0x0004_0002], link, &[], packets)
}

/// pcap of any magic number and version; `more`: what follows the header of each record.
pub(crate) fn records(
    begin: [u32; 2],
    link: u32,
    more: &[u8],
    packets: &[(u32, Vec<u8>)],
) -> Vec<u8> {
    let mut bytes = words(&[begin[0], begin[1], 0, 0, 262_144, link]);
    for (micros, packet) in packets {
        let len = u32::try_from(packet.len()).unwrap();
        bytes.extend(words(&[
            BEGIN_S + micros / 1_000_000,
            micros % 1_000_000,
            len,
            len,
        ]));
        bytes.extend(more);
        bytes.extend(packet);
    }
    bytes
}

/// Pings, one a second.
pub(crate) fn pings(sequences: std::ops::Range<u16>) -> Vec<(u32, Vec<u8>)> {
    let pings = sequences.map(|sequence| (u32::from(sequence) * 1_000_000, frame(sequence)));
    pings.collect()
}

pub(crate) fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let len = u32::try_from(body.len() + 12).unwrap();
    [words(&[kind, len]), body, words(&[len])].concat()
}

/// A section of pcapng with an interface of that link type and resolution of times.
pub(crate) fn section(link: u16, resolution: u8) -> Vec<u8> {
    section_with(link, &[9, 0, 1, 0, resolution, 0, 0, 0])
}

/// A section of pcapng with an interface of that link type and these options.
pub(crate) fn section_with(link: u16, options: &[u8]) -> Vec<u8> {
    let header = words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]);
    let mut interface = words(&[link.into(), 0]);
    interface.extend(options);
    interface.extend([0; 4]);
    [block(0x0a0d_0d0a, &header), block(1, &interface)].concat()
}

/// The description of a further interface, with its name.
pub(crate) fn interface(link: u16, name: &[u8]) -> Vec<u8> {
    let mut body = words(&[link.into(), 0]);
    body.extend([2, 0]);
    body.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    body.extend(name);
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend([0; 4]);
    block(1, &body)
}

/// An enhanced packet block at the interface of that number.
pub(crate) fn packet_at(interface: u32, time: u64, data: &[u8]) -> Vec<u8> {
    let mut block = packet(6, time, data);
    block[8..12].copy_from_slice(&interface.to_le_bytes());
    block
}

/// An enhanced packet block (6), or one of the older kind (2), at the first interface.
pub(crate) fn packet(kind: u32, time: u64, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).unwrap();
    let interface = if kind == 2 { 0xffff_0000 } else { 0 };
    let (high, low) = ((time >> 32) as u32, time as u32);
    let head = words(&[interface, high, low, len, len]);
    block(kind, &[head, data.to_vec()].concat())
}

/// An enhanced packet block with these flags.
pub(crate) fn flagged_packet(time: u64, data: &[u8], flags: u32) -> Vec<u8> {
    let len = u32::try_from(data.len()).unwrap();
    let mut body = words(&[0, (time >> 32) as u32, time as u32, len, len]);
    body.extend(data);
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend(words(&[2 | 4 << 16, flags, 0]));
    block(6, &body)
}

/// A packet inside UDP to that port, in an Ethernet frame.
pub(crate) fn in_udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut udp = 5000_u16.to_be_bytes().to_vec();
    udp.extend(port.to_be_bytes());
    udp.extend(u16::try_from(payload.len() + 8).unwrap().to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    in_ip(17, &udp)
}

/// A packet inside another of IPv4, in an Ethernet frame.
pub(crate) fn in_ip(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame(9)[..34].to_vec();
    let len = u16::try_from(20 + payload.len()).unwrap();
    frame[16..18].copy_from_slice(&len.to_be_bytes());
    frame[23] = protocol;
    frame[26..34].copy_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2]);
    frame.extend(payload);
    frame
}

/// The same behind a header of VXLAN.
pub(crate) fn in_vxlan(frame: &[u8]) -> Vec<u8> {
    [&[8, 0, 0, 0, 0, 0, 42, 0], frame].concat()
}

/// A simple packet block.
pub(crate) fn simple_packet(data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).unwrap();
    block(3, &[words(&[len]), data.to_vec()].concat())
}

/// Microseconds since 1970 of the first packet.
pub(crate) fn begin_us() -> u64 {
    u64::from(BEGIN_S) * 1_000_000
}
