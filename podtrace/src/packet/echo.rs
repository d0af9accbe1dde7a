//! Messages of ICMP and ICMPv6 echo, as a pinging program sends them.
use std::net::IpAddr;

/// Bytes of an echo message before its payload.
pub(crate) const ECHO_HEADER: usize = 8;

/// An echo request; the kernel fills in the checksum of ICMPv6.
pub(crate) fn echo_request(to: IpAddr, id: u16, sequence: u16, payload: usize) -> Vec<u8> {
    let kind = if to.is_ipv4() { 8 } else { 128 };
    let mut packet = vec![kind, 0, 0, 0];
    packet.extend(id.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend((0_u8..=255).cycle().take(payload));
    if to.is_ipv4() {
        let sum = checksum(&packet).to_be_bytes();
        packet[2..4].copy_from_slice(&sum);
    }
    packet
}

/// The internet checksum of RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The echo reply in what a raw socket has received: those of IPv4 deliver the IP header too, those
/// of IPv6 do not.
pub(crate) fn echo_reply(received: &[u8], is_ipv4: bool) -> Option<&[u8]> {
    let (kind, icmp) = if is_ipv4 {
        let header = usize::from(received.first()? & 0x0f) * 4;
        (0, received.get(header..)?)
    } else {
        (129, received)
    };
    (icmp.len() >= ECHO_HEADER && icmp[0] == kind).then_some(icmp)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The answer that a kernel gives.
    fn answer(request: &[u8]) -> Vec<u8> {
        let mut reply = request.to_vec();
        reply[0] = if request[0] == 8 { 0 } else { 129 };
        reply
    }

    #[test]
    fn reply_is_found_behind_the_header_of_ipv4() {
        for to in ["10.244.1.2", "fd00::2"] {
            let to: IpAddr = to.parse().unwrap();
            let request = echo_request(to, 7, 3, 56);
            assert_eq!(request.len(), ECHO_HEADER + 56);
            let reply = answer(&request);
            let mut received = Vec::new();
            if to.is_ipv4() {
                received.extend([0x45; 20]);
            }
            received.extend(&reply);
            let found = echo_reply(&received, to.is_ipv4()).unwrap();
            assert_eq!(found[4..], request[4..]);
            received.truncate(received.len() - 57);
            assert_eq!(echo_reply(&received, to.is_ipv4()), None);
        }
    }

    proptest! {
        #[test]
        fn sum_of_a_request_is_zero_and_no_bytes_panic(
            payload in 0_usize..100,
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let request = echo_request("10.0.0.1".parse().unwrap(), 1, 2, payload);
            prop_assert_eq!(checksum(&request), 0);
            let _ = (echo_reply(&bytes, true), echo_reply(&bytes, false));
        }
    }
}
