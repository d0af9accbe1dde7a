//! Messages of DNS, wherever they are.
use super::*;

const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x00\x00\x1c\x00\x01";

fn words(frame: &[u8]) -> Option<String> {
    let mut words = String::new();
    payload(frame)?.dns()?.describe(&mut words);
    Some(words)
}

#[test]
fn query_is_read_plainly_and_in_a_tunnel() {
    let query = ethernet(ETHERTYPE_IPV4, &ipv4(17, &udp(53, QUERY)));
    for frame in [query.clone(), in_vxlan(&query)] {
        assert_eq!(words(&frame).as_deref(), Some("DNS query AAAA web"));
    }
}

#[test]
fn other_ports_are_not_read() {
    let other = ethernet(ETHERTYPE_IPV4, &ipv4(17, &udp(5_000, QUERY)));
    assert_eq!(words(&other), None);
    // A frame that is cut in the header of UDP.
    let query = ethernet(ETHERTYPE_IPV4, &ipv4(17, &udp(53, QUERY)));
    assert_eq!(words(&query[..40]), None);
}
