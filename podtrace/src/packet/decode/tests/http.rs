//! First lines of HTTP and messages of DNS in TCP segments.
use super::*;

const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: web\r\n\r\n";

/// A segment from port 40000, with a header of so many words.
fn tcp(port: u16, words: u8, content: &[u8]) -> Vec<u8> {
    let mut segment = vec![0x9c, 0x40];
    segment.extend(port.to_be_bytes());
    segment.extend([0; 8]);
    segment.extend([words << 4, 0x18, 0, 0, 0, 0, 0, 0]);
    segment.resize(usize::from(words) * 4, 1);
    segment.extend(content);
    ethernet(ETHERTYPE_IPV4, &ipv4(6, &segment))
}

fn words(frame: &[u8]) -> Option<String> {
    let mut words = String::new();
    match *payload(frame)? {
        Payload::Http(http) => http.describe(&mut words),
        Payload::Dns(dns) => dns.describe(&mut words),
        Payload::Quote(_) => return None,
    }
    Some(words)
}

#[test]
fn request_is_read_at_any_port_plainly_and_in_a_tunnel() {
    for (port, header) in [(80, 5), (31_234, 8), (443, 15)] {
        let request = tcp(port, header, REQUEST);
        for frame in [request.clone(), in_vxlan(&request)] {
            assert_eq!(words(&frame).as_deref(), Some("HTTP GET /a web"));
        }
    }
}

#[test]
fn padding_and_cut_headers_are_no_content() {
    let mut padded = tcp(80, 5, b"");
    padded.extend(REQUEST);
    assert_eq!(words(&padded), None);
    let request = tcp(80, 8, REQUEST);
    for length in [34, 46, 54, 65, 66] {
        assert_eq!(words(&request[..length]), None, "{length}");
    }
}

#[test]
fn dns_is_read_in_segments() {
    let query = b"\0\x15\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03web\0\0\x1c\0\x01";
    let frame = tcp(53, 8, query);
    assert_eq!(words(&frame).as_deref(), Some("DNS query AAAA web"));
    assert_eq!(words(&tcp(80, 8, query)), None);
}
