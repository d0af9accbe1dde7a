use std::net::IpAddr;

use super::*;

fn tcp(sequence: u32, acknowledgment: u32, flags: u8, payload: u32) -> Packet {
    let address: IpAddr = "10.244.1.2".parse().unwrap();
    let mut packet = Packet::unread();
    packet.network = Network::Ip(Ip {
        source: address,
        destination: address,
        ttl: 64,
        protocol: 6,
        id: 7,
        may_fragment: false,
        fragment: None,
    });
    packet.transport = Transport::Tcp {
        source: 1,
        destination: 2,
        sequence,
        acknowledgment,
        flags,
        payload,
    };
    packet
}

fn numbers(packet: &Packet) -> Vec<u16> {
    Buckets::new(200).of_packet(packet, 0).to_vec()
}

#[test]
fn segment_goes_to_all_windows_that_may_need_it() {
    let window = 1 << STREAM_BITS;
    assert_eq!(numbers(&tcp(window + 500_000, 0, TCP_ACK, 1000)), [1]);
    // Its packet may have begun in the window before, and what it is merged with ends behind.
    assert_eq!(numbers(&tcp(window + 1000, 0, TCP_ACK, 1000)), [0, 1]);
    assert_eq!(numbers(&tcp(2 * window - 1000, 0, TCP_ACK, 100)), [1, 2]);
    // Without payload, nothing is cut.
    assert_eq!(numbers(&tcp(window, 0, TCP_ACK, 0)), [1]);
    // Numbers wrap around.
    let last = (u32::MAX >> STREAM_BITS) as u16 % 200;
    assert_eq!(numbers(&tcp(u32::MAX - 10, 0, TCP_ACK, 100)), [last, 0]);
}

#[test]
fn answer_goes_where_the_question_is() {
    let (asked, answered) = (5 << STREAM_BITS, 9 << STREAM_BITS);
    let syn = tcp(asked, 0, TCP_SYN, 0);
    assert_eq!(numbers(&syn), [5]);
    let accepts = tcp(answered, asked + 1, TCP_SYN | TCP_ACK, 0);
    assert_eq!(numbers(&accepts), [9, 5]);
    let refuses = tcp(0, asked + 1, TCP_RST | TCP_ACK, 0);
    assert_eq!(numbers(&refuses), [5]);
    let aborts = tcp(answered, 0, TCP_RST, 0);
    assert_eq!(numbers(&aborts).len(), 200);
    assert_eq!(Buckets::new(200).owner(&aborts, None), 9);
}
