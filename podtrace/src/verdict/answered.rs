//! Verdicts on packets that an answer refuses, and on questions that nobody answers.
use std::net::IpAddr;

use podtrace_ebpf::record::Direction;

use super::{Verdict, question::Question, unknown};
use crate::{
    path::{
        ends::{Who, refuser},
        refusal::{Reason, Refusal},
    },
    rules::{
        Candidate, Cause, link,
        route::{self, NextMac},
        tunnel,
    },
};

/// What an error of ICMP says of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// The packet is too big.
    TooBig,
    /// Its TTL has expired.
    Expired,
    /// The last hop before the host found nobody.
    NoHost,
    /// There is no way.
    Unreachable,
    /// Anything else: a socket or a firewall refuses.
    Other,
}

fn said(reason: Reason) -> Said {
    let Reason::Icmp(error) = reason else {
        return Said::Other;
    };
    match (error.is_v4, error.kind, error.code) {
        (true, 3, 4) | (false, 2, _) => Said::TooBig,
        (true, 11, 0) | (false, 3, 0) => Said::Expired,
        (true, 3, 1) | (false, 1, 3) => Said::NoHost,
        (true, 3, 0 | 6 | 7 | 11 | 12) | (false, 1, 0 | 6) => Said::Unreachable,
        // A prohibiting route says so too: the facts tell.
        (true, 3, 9 | 10 | 13) | (false, 1, 1) => Said::Unreachable,
        _ => Said::Other,
    }
}

impl Question<'_> {
    /// Names who refused it and why: the facts say more than the answer.
    pub(super) fn refused(&self, verdict: &mut Verdict) {
        let Some(refusal) = self.path.refusal.as_deref() else {
            return;
        };
        let plain = Cause::Refused {
            by: self.name_of(refusal),
            reason: refusal.reason.to_string(),
        };
        let said = said(refusal.reason);
        verdict.evidence.push(plain.to_string());
        let step = match said {
            Said::Other => {
                let cause = self.closed_tunnel().unwrap_or(plain);
                return self.conclude(verdict, cause, false);
            }
            _ => self.walk(),
        };
        verdict.expected_next = step.next.map(|next| self.tap(&next));
        let is_meant = |cause: &Cause| match said {
            Said::TooBig => matches!(cause, Cause::MtuExceeded { .. }),
            Said::Expired => matches!(cause, Cause::TtlExpired { .. }),
            _ => !matches!(
                cause,
                Cause::MtuExceeded { .. } | Cause::TtlExpired { .. } | Cause::WrongMac { .. }
            ),
        };
        // It asked for the next hop (arp_error_report of net/ipv4/arp.c, ndisc_error_report).
        let asked = step.next.and_then(|next| next.mac_from);
        let asked = asked.filter(|(at, next)| {
            said == Said::NoHost && !matches!(route::next_mac(*at, *next), NextMac::Known(_))
        });
        match (step.cause.filter(is_meant), asked) {
            (None, Some((at, next))) => {
                self.conclude(verdict, route::silent(self.view, at, next), true);
            }
            (Some(cause), _) => {
                self.conclude(verdict, cause, step.is_doubtful && said != Said::TooBig)
            }
            (None, None) => self.conclude(verdict, plain, false),
        }
    }

    /// Why a node refuses the tunnel that the packet came in: it has none that takes it.
    fn closed_tunnel(&self) -> Option<Cause> {
        self.state?.outer?;
        self.walk().cause.filter(|cause| {
            matches!(
                cause,
                Cause::DeviceDown { .. } | Cause::VniDiffers { .. } | Cause::PortDiffers { .. }
            )
        })
    }

    /// `default/web (10.244.1.3)`, or the address alone
    fn name_of(&self, refusal: &Refusal) -> String {
        let by = refusal.by;
        match refuser(refusal, self.world).who {
            Who::Pod(name) | Who::Node(name) => format!("{name} ({by})"),
            Who::On(_) | Who::Unknown => by.to_string(),
        }
    }

    /// Why a question did not get further: an interface is down, or a tunnel carries none.
    fn question_lost(&self, address: IpAddr) -> Option<Cause> {
        let state = self.state?;
        let tunnel = tunnel::settings(state.at).filter(|own| !own.learning);
        if tunnel.is_some() && state.direction == Direction::Egress {
            let at = self.view.place(state.at);
            let right = tunnel::mac_of(self.view, state.at, address);
            return Some(Cause::NeighbourMissing { at, address, right });
        }
        let cause = self.walk().cause;
        cause.filter(|cause| matches!(cause, Cause::DeviceDown { .. } | Cause::PortBlocked { .. }))
    }

    /// Names why nobody answers a question for a neighbour's address.
    pub(super) fn unanswered(&self, verdict: &mut Verdict) {
        let Some(question) = self.path.packet.question() else {
            verdict.cause = unknown(self.lacking(), Vec::new());
            return;
        };
        let address = question.about;
        if let Some(cause) = self.question_lost(address) {
            return self.conclude(verdict, cause, false);
        }
        let Some(owner) = self.view.owners(address).next() else {
            let cause = Cause::NoOwner {
                address,
                behind: None,
            };
            // Others than the traced nodes may have it, on a network of theirs.
            let is_ours = self.state.is_some_and(|state| {
                let bridge = state.at.bridge().unwrap_or(state.at);
                route::is_of_pods(bridge, address)
            });
            return self.conclude(verdict, cause, !is_ours);
        };
        let host = self.view.peer(owner);
        let down = link::down(self.view, owner).filter(|_| !owner.device.up);
        let down = down
            .or_else(|| host.and_then(|host| link::down(self.view, host)))
            .or_else(|| link::down(self.view, owner));
        let blocked = || host.and_then(|host| link::to_port(self.view, host, None));
        match down.or_else(blocked) {
            Some(cause) => self.conclude(verdict, cause, false),
            None => {
                let place = self.view.place(owner);
                let candidates = vec![
                    Candidate::Unseen(format!(
                        "arp_ignore and firewall rules of family arp at {place}"
                    )),
                    Candidate::Programs(place.to_string()),
                ];
                verdict.cause = unknown(self.lacking(), candidates);
            }
        }
    }
}
