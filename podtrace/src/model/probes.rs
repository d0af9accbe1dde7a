//! Packets that are sent to find out whether a way is open, and what came of them.
use std::{
    fmt::{self, Display},
    io,
    net::IpAddr,
};

use crate::text::{count::counted, names::list};

/// How many of a kind are sent.
pub const ATTEMPTS: u16 = 3;
/// The least length of the ladder: the MTU that each link of IPv6 has (RFC 8200).
const LADDER_MIN: u32 = 1280;
/// Steps between that and the MTU of the sender: with a tunnel of WireGuard, of VXLAN and of IPIP
/// in an Ethernet of 1500 bytes, that itself, and with VXLAN in jumbo frames.
const STEPS: [u32; 6] = [1280, 1420, 1450, 1480, 1500, 8950];

/// The echo requests of the ladder, in words.
pub const LADDER: &str = "large ping";

/// The port of DNS.
pub const DNS_PORT: u16 = 53;

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probes {
    /// Id of the network namespace that sends.
    pub netns: u64,
    /// Where to.
    pub to: IpAddr,
    /// What is asked.
    pub ask: Ask,
    /// Identifier of the echo requests; those of the ladder have the next one.
    pub echo_id: u16,
    /// Lengths of the echo requests with DF, their IP headers included.
    pub ladder: Vec<u32>,
    /// Id of the network namespace that is to answer, if it is of a traced node.
    pub server: Option<u64>,
}

/// What came of packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// What came of those of each kind.
    pub probed: Vec<Probed>,
    /// The socket that connections were asked of, if there is one, and it could be seen.
    pub listener: Option<Listener>,
}

/// A listening socket of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// How many connections wait to be accepted.
    pub waiting: u32,
    /// How many were not taken meanwhile, of all listening sockets of its namespace, as their queues
    /// were full (`ListenOverflows` of `TcpExt`).
    pub overflows: u64,
}

/// The question that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Echo requests.
    Echo,
    /// Connections to a TCP port.
    Connect(u16),
    /// Datagrams to a UDP port, queries for [`DNS_PORT`].
    Datagram(u16),
}

impl Probes {
    /// The lengths of a ladder for a sender with this MTU.
    #[must_use]
    pub fn ladder(mtu: u32) -> Vec<u32> {
        let between = STEPS.into_iter().filter(|step| *step < mtu);
        between.chain([mtu]).collect()
    }

    /// Identifier of the echo requests of the ladder.
    #[must_use]
    pub fn ladder_id(&self) -> u16 {
        self.echo_id.wrapping_add(1)
    }

    /// Whether an MTU can be tried: above it there is nothing to find.
    #[must_use]
    pub fn is_worth(mtu: u32) -> bool {
        (LADDER_MIN..=65_535).contains(&mtu)
    }
}

impl Ask {
    /// What is sent, in words.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Echo => "ping",
            Self::Connect(_) => "TCP connection",
            Self::Datagram(DNS_PORT) => "DNS query",
            Self::Datagram(_) => "UDP datagram",
        }
    }
}

/// `3 pings to 10.244.2.2, and echo requests with DF of 1280, 1420, 1450 bytes`
impl Display for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at_most = match self.ask {
            Ask::Datagram(_) => "at most ",
            _ => "",
        };
        let asked = counted(ATTEMPTS.into(), self.ask.what());
        write!(f, "{at_most}{asked} to {}", self.to)?;
        if let Ask::Connect(port) | Ask::Datagram(port) = self.ask {
            write!(f, " port {port}")?;
        }
        if !self.ladder.is_empty() {
            let lengths: Vec<_> = self.ladder.iter().map(ToString::to_string).collect();
            write!(
                f,
                ", and one echo request with DF of {} bytes each",
                list(&lengths)
            )?;
        }
        Ok(())
    }
}

/// What came of the packets of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What was sent.
    pub what: &'static str,
    /// How many were to be sent.
    pub tried: u32,
    /// How many were answered.
    pub answered: u32,
    /// The lengths of echo requests that were answered.
    pub lengths: Vec<u32>,
    /// The lengths of those that the system did not send.
    pub unsent: Vec<u32>,
    /// The last error of the system.
    pub error: Option<ProbeError>,
}

/// What the system says of packets that are to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeError {
    /// What it means.
    pub kind: ErrorKind,
    /// The same in the system's words.
    pub words: String,
}

/// What an error means for the way of the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No route leads there, or no packet of that length.
    NoWay,
    /// A firewall of the sender's own forbids it.
    Forbidden,
    /// Somebody refuses what was sent.
    Refused,
    /// The kernel does not send to this address: it is no host's, or a route refuses it.
    Invalid,
    /// No socket could be had.
    Untried,
    /// Any other.
    Other,
}

impl ErrorKind {
    /// What an error of sending or receiving means.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error().unwrap_or_default() {
            libc::ENETUNREACH
            | libc::EHOSTUNREACH
            | libc::ENETDOWN
            | libc::EHOSTDOWN
            | libc::EMSGSIZE => Self::NoWay,
            // What netfilter says where it drops (NF_DROP_GETERR in linux/netfilter.h).
            libc::EPERM => Self::Forbidden,
            libc::ECONNREFUSED | libc::ECONNRESET | libc::ENOPROTOOPT | libc::EPROTO => {
                Self::Refused
            }
            // Of a blackhole; of broadcast, or prohibited.
            libc::EINVAL | libc::EACCES | libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT => Self::Invalid,
            _ => Self::Other,
        }
    }
}

impl Probed {
    /// Whether all were answered, and no answer refuses.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.tried > 0 && self.answered >= self.tried && !self.is_refused()
    }

    /// The answer that refuses.
    #[must_use]
    pub fn refusal(&self) -> Option<&ProbeError> {
        let error = self.error.as_ref();
        error.filter(|error| error.kind == ErrorKind::Refused)
    }

    /// Whether an answer refuses.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.refusal().is_some()
    }
}

/// `0 of 3 pings answered: Network is unreachable`, `2 of 3 large pings answered, that of 1500 bytes
/// could not be sent: Message too long`
impl Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            tried,
            answered,
            unsent,
            error,
            ..
        } = self;
        let all = counted((*tried).into(), what);
        write!(f, "{answered} of {all} answered")?;
        let lengths: Vec<_> = unsent.iter().map(ToString::to_string).collect();
        match lengths.len() {
            0 => {}
            1 => write!(f, ", that of {} bytes could not be sent", list(&lengths))?,
            _ => write!(f, ", those of {} bytes could not be sent", list(&lengths))?,
        }
        // Where all are answered, an error is of another packet, unless it is the answer.
        let error = error.as_ref();
        let error = error.filter(|_| answered < tried || self.is_refused());
        match error {
            Some(error) => write!(f, ": {}", error.words),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_said() {
        let probes = |ask, ladder| Probes {
            netns: 1,
            to: "10.244.2.2".parse().unwrap(),
            ask,
            echo_id: 7,
            ladder,
            server: None,
        };
        for (probes, words) in [
            (
                probes(Ask::Echo, Probes::ladder(1450)),
                "3 pings to 10.244.2.2, and one echo request with DF of 1280, 1420, 1450 bytes each",
            ),
            (
                probes(Ask::Connect(80), Vec::new()),
                "3 TCP connections to 10.244.2.2 port 80",
            ),
            (
                probes(Ask::Datagram(53), Vec::new()),
                "at most 3 DNS queries to 10.244.2.2 port 53",
            ),
        ] {
            assert_eq!(probes.to_string(), words);
        }
    }

    #[test]
    fn error_is_said_of_what_was_not_answered() {
        let probed = |what, answered, unsent: &[u32], (kind, words): (_, &str)| Probed {
            what,
            tried: 3,
            answered,
            lengths: Vec::new(),
            unsent: unsent.to_vec(),
            error: Some(ProbeError {
                kind,
                words: words.into(),
            }),
        };
        let too_long = || (ErrorKind::NoWay, "Message too long");
        for (probed, words) in [
            (
                probed("ping", 0, &[], (ErrorKind::NoWay, "Network is unreachable")),
                "0 of 3 pings answered: Network is unreachable",
            ),
            (probed("ping", 3, &[], too_long()), "3 of 3 pings answered"),
            (
                probed("large ping", 2, &[1500], too_long()),
                "2 of 3 large pings answered, that of 1500 bytes could not be sent: Message too long",
            ),
            (
                probed("large ping", 1, &[1450, 1500], too_long()),
                "1 of 3 large pings answered, those of 1450, 1500 bytes could not be sent: Message \
                 too long",
            ),
            (
                probed(
                    "TCP connection",
                    3,
                    &[],
                    (ErrorKind::Refused, "Connection refused"),
                ),
                "3 of 3 TCP connections answered: Connection refused",
            ),
        ] {
            assert_eq!(probed.to_string(), words);
        }
    }

    #[test]
    fn errors_of_sending_are_told_apart() {
        for (number, kind) in [
            (libc::ENETUNREACH, ErrorKind::NoWay),
            (libc::EPERM, ErrorKind::Forbidden),
            (libc::ECONNREFUSED, ErrorKind::Refused),
            (libc::EINVAL, ErrorKind::Invalid),
            (libc::EACCES, ErrorKind::Invalid),
            (libc::ENOBUFS, ErrorKind::Other),
        ] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(ErrorKind::of(&error), kind, "{error}");
        }
    }

    #[test]
    fn ladder_ends_at_the_senders_mtu() {
        assert_eq!(Probes::ladder(1280), [1280]);
        assert_eq!(Probes::ladder(1500), [1280, 1420, 1450, 1480, 1500]);
        assert_eq!(
            Probes::ladder(9000),
            [1280, 1420, 1450, 1480, 1500, 8950, 9000]
        );
        assert!(!Probes::is_worth(1000) && !Probes::is_worth(65_536));
    }
}
