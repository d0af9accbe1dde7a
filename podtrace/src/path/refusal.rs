//! Answers that refuse a packet: errors of ICMP that quote it, and resets of TCP.
use std::{
    fmt::{self, Display},
    net::IpAddr,
};

use podtrace_ebpf::record::Direction;

use super::{Outcome, Path};
use crate::packet::{IcmpError, TunnelKind};

/// The answer which says that a packet goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Number of the packet that says so.
    pub packet: u64,
    /// Its source address.
    pub by: IpAddr,
    /// The tap that saw it first, if that tells who sent it.
    pub at: Option<(u32, Direction)>,
    /// When that was, in nanoseconds.
    pub ts_ns: u64,
    /// Its reason.
    pub reason: Reason,
    /// The tunnel, if the answer is about the packet that carries the refused one.
    pub carried: Option<Carried>,
    /// How many hops the refused packet had by then.
    pub hops: usize,
}

/// The tunnel that an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Its kind.
    pub by: TunnelKind,
    /// The UDP port of its packets.
    pub port: Option<u16>,
}

/// The reason that an answer gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An error of ICMP or ICMPv6.
    Icmp(IcmpError),
    /// A reset of TCP, the answer to a SYN.
    Reset,
    /// A reset of TCP, the answer to a segment of a connection that was open.
    Aborted,
}

impl Reason {
    /// Whether the packet goes no further: a redirect only advises.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        match self {
            Self::Icmp(error) => error.is_refusal(),
            Self::Reset | Self::Aborted => true,
        }
    }

    /// Whether it is a reset, whose address tells nobody.
    #[must_use]
    pub fn is_reset(self) -> bool {
        matches!(self, Self::Reset | Self::Aborted)
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset => f.write_str("connection refused"),
            Self::Aborted => f.write_str("connection reset"),
            Self::Icmp(error) => match error.name() {
                Some(name) => f.write_str(name),
                None => write!(f, "ICMP type {} code {}", error.kind, error.code),
            },
        }
    }
}

impl Path {
    /// Forgets an answer that its further way has contradicted. `outcome`: its own.
    pub(super) fn forget_refusal(&mut self, outcome: Outcome) {
        let is_refusal = |refusal: &Refusal| refusal.reason.is_refusal();
        if matches!(outcome, Outcome::Refused | Outcome::Loop) {
            return;
        }
        self.refusal.take_if(|refusal| is_refusal(refusal));
    }

    /// Whether it was refused where it was seen last.
    pub(super) fn is_refused(&self) -> bool {
        let refusal = self.refusal.as_deref();
        refusal
            .is_some_and(|refusal| refusal.reason.is_refusal() && refusal.hops == self.hops.len())
    }
}
