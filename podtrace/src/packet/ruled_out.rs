//! Packets that an expression cannot accept at any hop, told by a look at their protocols.
use podtrace_ebpf::parse::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6, TUNNELS_MAX};

use super::{DecodeOptions, Framing};
use crate::filter::Protocols;

impl DecodeOptions {
    /// Whether a frame's innermost packet is of none of these protocols. One that is not IP, is in
    /// fragments or cannot be read is not ruled out.
    #[must_use]
    pub fn rules_out(&self, frame: &[u8], framing: Framing, wanted: Protocols) -> bool {
        let (mut start, mut is_ethernet) = (0, framing == Framing::Ethernet);
        for _ in 0..=TUNNELS_MAX {
            if is_ethernet {
                match parse::link(frame, start) {
                    Ok(link) if matches!(link.ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6) => {
                        start = link.next;
                    }
                    _ => return false,
                }
            }
            let layer = match parse::ip(frame, start) {
                Ok(layer) if layer.fragment.is_none() => layer,
                _ => return false,
            };
            if wanted.has(layer.protocol) {
                return false;
            }
            let is_vxlan = |port| self.is_vxlan(port);
            let inside = parse::inside(frame, layer.protocol, layer.transport, is_vxlan);
            let Some(inside) = inside else {
                return true;
            };
            (start, is_ethernet) = (inside.start, inside.is_ethernet);
        }
        false
    }
}
