use super::*;
use crate::filter::{Expression, Filter, Scope};

fn filter(text: &str) -> Filter {
    Filter {
        expression: Expression::compile(text).unwrap(),
        scope: Scope::Both,
    }
}

fn is_ruled_out(frame: &[u8], text: &str) -> bool {
    let wanted = filter(text).protocols().unwrap();
    options().rules_out(frame, Framing::Ethernet, wanted)
}

fn tcp() -> Vec<u8> {
    let mut header = vec![0, 80, 0x90, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10];
    header.extend([1, 0, 0, 0, 0, 0]);
    header
}

#[test]
fn innermost_protocol_decides() {
    let segment = ethernet(0x0800, &ipv4(6, &tcp()));
    let ping = echo();
    let question = ethernet(0x0800, &ipv4(17, &udp(53, &[1; 12])));
    let mut fragment = ipv4(6, &tcp());
    fragment[6] = 0x20;
    let fragment = ethernet(0x0800, &fragment);
    let tagged = [&segment[..12], &[0x81, 0, 0, 5], &segment[12..]].concat();
    let arp = ethernet(0x0806, &[0; 28]);
    for (frame, expression, expected) in [
        (&segment, "sctp", true),
        (&segment, "tcp port 99", false),
        (&in_vxlan(&segment), "sctp", true),
        (&in_vxlan(&segment), "host 10.0.0.1 and tcp", false),
        (&in_vxlan(&in_vxlan(&segment)), "sctp", true),
        (&tagged, "sctp", true),
        (&question, "tcp or icmp", true),
        (&in_vxlan(&question), "tcp", true),
        // Its errors tell of all others.
        (&ping, "tcp", false),
        (&in_vxlan(&ping), "tcp", false),
        // What is not known to be of another protocol.
        (&fragment, "sctp", false),
        (&arp, "tcp", false),
        (&segment[..30].to_vec(), "sctp", false),
    ] {
        assert_eq!(is_ruled_out(frame, expression), expected, "{expression}");
    }
}

proptest! {
    /// What is ruled out matches nowhere: neither as it is, nor in a tunnel.
    #[test]
    fn nothing_that_matches_is_ruled_out(
        protocol in prop::sample::select(vec![1, 2, 4, 6, 17, 41, 47, 58, 132]),
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        vxlan in any::<bool>(),
        len in 0..200_usize,
    ) {
        let content = match (protocol, vxlan) {
            (17, true) => udp(8472, &[&[8, 0, 0, 0, 0, 0, 1, 0], &bytes[..]].concat()),
            _ => bytes,
        };
        let mut frame = ethernet(0x0800, &ipv4(protocol, &content));
        frame.truncate(len);
        for carried in [frame.clone(), in_vxlan(&frame)] {
            for text in ["tcp", "icmp6", "igmp or sctp", "tcp[13] & 2 != 0 and net 10.0.0.0/8"] {
                let decode = DecodeOptions {
                    filter: Some(filter(text).into()),
                    ..options()
                };
                let len = u32::try_from(carried.len()).unwrap();
                let beside = Beside::default();
                let mut packet = Packet::unread();
                let framing = Framing::Ethernet;
                let seen = packet.read_at_tap(&carried, len, framing, &decode, beside);
                prop_assert!(!(seen.matches && is_ruled_out(&carried, text)), "{}", text);
            }
        }
    }
}
