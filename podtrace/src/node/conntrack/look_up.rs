//! Looks up single flows in the connection tracking of a network namespace.
use std::{io, net::IpAddr};

use rtnetlink::{
    packet_core::NLM_F_REQUEST,
    sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER},
};

use super::{is_there, message::status};
use crate::{
    model::drop::Tracked,
    netns::NetNs,
    packet::Ends,
    ruleset::message::{put, put_nested},
};

/// `NFNL_SUBSYS_CTNETLINK` with `IPCTNL_MSG_CT_GET`.
const CT_GET: u16 = 1 << 8 | 1;
/// Length of `struct nlmsghdr` and of `struct nfgenmsg` behind it.
const HEADERS: usize = 20;
/// `AF_INET` and `AF_INET6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// `IPS_SEEN_REPLY`, `IPS_SRC_NAT`, `IPS_DST_NAT`.
const REPLIED: u32 = 1 << 1;
const TRANSLATED: u32 = 1 << 4 | 1 << 5;
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
    /// may be what they were translated to.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub(crate) fn find(&self, protocol: u8, ends: Ends) -> io::Result<Tracked> {
        for ends in [ends, ends.reversed()] {
            let Some(request) = request(protocol, ends) else {
                break;
            };
            self.0.send(&request, 0)?;
            let mut answer = Vec::with_capacity(ANSWER);
            self.0.recv(&mut answer, 0)?;
            if let Some(status) = status(&answer) {
                return Ok(Tracked {
                    is_known: true,
                    has_reply: status & REPLIED != 0,
                    is_translated: status & TRANSLATED != 0,
                });
            }
        }
        Ok(Tracked::default())
    }
}

/// Asks for the flow with these ends; none of what has no ports.
fn request(protocol: u8, ends: Ends) -> Option<Vec<u8>> {
    let (from, to) = ends.ports?;
    let mut ip = Vec::new();
    let family = match (ends.source, ends.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            put(&mut ip, 1, &source.octets());
            put(&mut ip, 2, &destination.octets());
            IPV4
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            put(&mut ip, 3, &source.octets());
            put(&mut ip, 4, &destination.octets());
            IPV6
        }
        _ => return None,
    };
    let mut ports = Vec::new();
    put(&mut ports, 1, &[protocol]);
    put(&mut ports, 2, &from.to_be_bytes());
    put(&mut ports, 3, &to.to_be_bytes());
    let mut tuple = Vec::new();
    put_nested(&mut tuple, 1, &ip);
    put_nested(&mut tuple, 2, &ports);
    let mut request = vec![0; HEADERS];
    request[4..6].copy_from_slice(&CT_GET.to_ne_bytes());
    request[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    request[16] = family;
    put_nested(&mut request, 1, &tuple);
    let length = u32::try_from(request.len()).ok()?;
    request[..4].copy_from_slice(&length.to_ne_bytes());
    Some(request)
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
