//! Packets that ICMP errors quote.
use super::*;
use crate::packet::{IcmpError, Quote};

fn icmp(kind: u8, code: u8, value: u32, quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(value.to_be_bytes());
    message.extend(quoted);
    message
}

/// The quote of an ICMP error about the packet.
fn error(kind: u8, code: u8, value: u32, quoted: &[u8]) -> Option<Quote> {
    let message = icmp(kind, code, value, quoted);
    quote(&ethernet(ETHERTYPE_IPV4, &ipv4(1, &message)))
}

fn quote(frame: &[u8]) -> Option<Quote> {
    payload(frame)?.quote().cloned()
}

fn tcp() -> Vec<u8> {
    let mut segment = vec![
        0x9c, 0x40, 0, 80, 0, 0, 0, 77, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
    ];
    segment.extend([0x55; 30]);
    segment
}

/// A quote shows of a packet what tells it from others.
#[track_caller]
fn check(quote: &Option<Quote>, about: &Packet) {
    let quote = quote.as_ref().unwrap();
    assert_eq!(quote.packet.key().quoted(), about.key().quoted());
    assert_eq!(quote.packet.key().tag(), about.key().tag());
}

#[test]
fn packet_is_recognised_by_a_quote_of_any_length() {
    let echo = icmp(8, 0, 0x17_0001, &[0x55; 20]);
    for (protocol, content) in [(17, udp(53, b"a question")), (6, tcp()), (1, echo)] {
        let packet = ipv4(protocol, &content);
        let about = decode(&ethernet(ETHERTYPE_IPV4, &packet));
        for length in [28, packet.len() - 1, packet.len()] {
            let error = error(3, 3, 0, &packet[..length]);
            check(&error, &about);
        }
        for length in 0..28 {
            assert!(error(3, 3, 0, &packet[..length]).is_none());
        }
    }
}

#[test]
fn quote_of_a_packet_in_a_tunnel_is_of_the_inner_one() {
    let inner = ipv4(6, &tcp());
    let about = decode(&ethernet(ETHERTYPE_IPV4, &inner));
    let outer = in_vxlan(&ethernet(ETHERTYPE_IPV4, &inner));
    check(&error(3, 4, 1450, &outer[ETHERNET_LEN..]), &about);
    // As far as it goes.
    let cut = error(3, 4, 1450, &outer[ETHERNET_LEN..][..50]);
    let quote = cut.unwrap();
    assert_eq!(quote.packet.ports().unwrap().1, 8472);
}

proptest! {
    #[test]
    fn any_damage_is_read(at in 0usize..200, value in any::<u8>(), cut in 0usize..200) {
        let outer = in_vxlan(&ethernet(ETHERTYPE_IPV4, &ipv4(6, &tcp())));
        let message = icmp(3, 4, 1450, &outer[ETHERNET_LEN..]);
        let mut frame = in_vxlan(&ethernet(ETHERTYPE_IPV4, &ipv4(1, &message)));
        if let Some(byte) = frame.get_mut(at) {
            *byte = value;
        }
        frame.truncate(cut);
        let _ = quote(&frame).map(|quote| what(&quote.packet));
    }
}

#[test]
fn errors_tell_what_they_are() {
    let packet = ipv4(17, &udp(53, b"?"));
    for (kind, code, value, name, mtu) in [
        (3, 4, 1450, "fragmentation needed", Some(1450)),
        (3, 4, 0, "fragmentation needed", None),
        (3, 13, 0, "communication prohibited", None),
        (11, 0, 0, "TTL exceeded", None),
    ] {
        let error = error(kind, code, value, &packet).unwrap().error;
        assert_eq!((error.name(), error.mtu()), (Some(name), mtu));
        assert!(error.is_refusal());
    }
    let redirect = error(5, 1, 0x0a00_0001, &packet).unwrap().error;
    assert_eq!(redirect.gateway(), Some([10, 0, 0, 1].into()));
    assert!(!redirect.is_refusal());
    assert!(error(8, 0, 0, &packet).is_none());
}

/// All codes of ICMP and ICMPv6 errors have a name.
#[test]
fn every_code_has_a_name() {
    let v4 = [(3, 15), (5, 3), (11, 1), (12, 2)];
    let v6 = [(1, 8), (2, 0), (3, 1), (4, 3)];
    for (is_v4, kinds) in [(true, v4), (false, v6)] {
        for (kind, last) in kinds {
            for code in 0..=last {
                let error = IcmpError {
                    is_v4,
                    kind,
                    code,
                    value: 0,
                };
                assert!(error.name().is_some(), "{error:?}");
            }
        }
    }
}

#[test]
fn icmpv6_quotes_too() {
    let ipv6 = |protocol: u8, payload: &[u8]| {
        let mut packet = vec![0x60, 0, 0, 9, 0, payload.len() as u8, protocol, 64];
        packet.extend([0xfd; 32]);
        packet.extend(payload);
        packet
    };
    let packet = ipv6(6, &tcp());
    let about = decode(&ethernet(0x86dd, &packet));
    let too_big = quote(&ethernet(
        0x86dd,
        &ipv6(58, &icmp(2, 0, 1280, &packet[..48])),
    ));
    check(&too_big, &about);
    let error = too_big.unwrap().error;
    assert_eq!(
        (error.name(), error.mtu()),
        (Some("packet too big"), Some(1280))
    );
}
