//! Looks up single flows in the connection tracking of a network namespace.
use std::io;

use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use super::{
    is_there,
    message::{TRANSLATED, request, status},
};
use crate::{model::drop::Tracked, netns::NetNs, packet::Ends};

/// `IPS_SEEN_REPLY`.
const REPLIED: u32 = 1 << 1;
/// Room for an answer.
const ANSWER: usize = 4096;

/// Asks for flows, one after the other.
pub(crate) struct FlowLookup(Socket);

impl FlowLookup {
    /// Connects. Needs `CAP_NET_ADMIN` here and in what follows.
    ///
    /// # Errors
    /// When the kernel has no connection tracking there, or refuses.
    pub(crate) fn open(netns: &NetNs) -> io::Result<Self> {
        netns.run(|| {
            if !is_there() {
                return Err(io::ErrorKind::Unsupported.into());
            }
            let mut socket = Socket::new(NETLINK_NETFILTER)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            // The kernel answers before it returns.
            socket.set_non_blocking(true)?;
            Ok(Self(socket))
        })?
    }

    /// What the kernel knows of the flow of a TCP or UDP packet: its ends, or those of an answer,
    /// may be what they were translated to. None of other packets.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub(crate) fn find(&self, protocol: u8, ends: Ends) -> io::Result<Option<Tracked>> {
        for ends in [ends, ends.reversed()] {
            let Some(request) = request(protocol, ends) else {
                return Ok(None);
            };
            self.0.send(&request, 0)?;
            let mut answer = Vec::with_capacity(ANSWER);
            self.0.recv(&mut answer, 0)?;
            if let Some(status) = status(&answer) {
                return Ok(Some(Tracked {
                    is_known: true,
                    has_reply: status & REPLIED != 0,
                    is_translated: status & TRANSLATED != 0,
                }));
            }
        }
        Ok(Some(Tracked::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flow_is_asked_for_by_its_ends() {
        let ends = Ends {
            source: [10, 244, 1, 2].into(),
            destination: [10, 96, 0, 10].into(),
            ports: Some((40_000, 53)),
        };
        let request = request(17, ends).unwrap();
        assert_eq!(request.len(), 20 + 4 + 20 + 28);
        assert_eq!(request[..4], 72_u32.to_ne_bytes());
        let without_ports = Ends {
            ports: None,
            ..ends
        };
        assert_eq!(super::request(1, without_ports), None);
    }
}
