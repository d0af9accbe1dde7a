//! Verdicts on packets that an answer refuses, and on questions that nobody answers.
use std::net::IpAddr;

use podtrace_ebpf::record::Direction;

use super::{Verdict, question::Question, rejected::Refused, step::Step, unknown, with_view};
use crate::{
    path::{
        Path,
        ends::{Who, refuser},
        refusal::{Reason, Refusal},
    },
    rules::{
        Candidate, Cause, link,
        route::{self, NextMac},
        tunnel,
    },
    world::World,
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

/// Whether a rule of a firewall can answer so.
fn may_be_rejected(reason: Reason) -> bool {
    match reason {
        Reason::Reset | Reason::Aborted => true,
        Reason::Icmp(error) if error.is_v4 => error.kind == 3 && error.code != 4,
        Reason::Icmp(error) => error.kind == 1,
    }
}

/// Who refused a packet, in words.
#[must_use]
pub fn refused_by(path: &Path, world: &World) -> Option<String> {
    let refusal = path.refusal.as_deref()?;
    with_view(world, |view| {
        Some(Question::of(path, view, world).name_of(refusal))
    })
}

/// Why nobody answers a question for a neighbour that has reached the owner of the address.
#[must_use]
pub fn silent_owner(path: &Path, world: &World) -> Option<Cause> {
    let about = path.packet.question()?.about;
    let first = path.hops.first()?.interface;
    let first = world.tap_points.get(first)?;
    with_view(world, |view| {
        let asker = view.find(first.node, first.netns_id, first.ifindex)?;
        view.owners(about).next()?;
        Some(route::silent(view, asker, about))
    })
}

impl Question<'_> {
    /// Names who refused it and why: a firewall's rule or the facts say more than the answer.
    pub(super) fn refused(&self, verdict: &mut Verdict) {
        let Some(refusal) = self.path.refusal.as_deref() else {
            return;
        };
        let plain = Refused {
            by: self.name_of(refusal),
            reason: refusal.reason.to_string(),
            is_by_kernel: said(refusal.reason) != Said::Other,
        };
        verdict.evidence.push(plain.cause(Vec::new()).to_string());
        let (said, step) = (said(refusal.reason), self.walk());
        if said != Said::Other {
            verdict.expected_next = step.next.map(|next| self.tap(&next));
        }
        // That a firewall has dropped it leaves nothing to the facts.
        let by_facts = match self.dropped_by_firewall() {
            Some(_) => None,
            None => self.refused_by_facts(said, &step),
        };
        match by_facts {
            Some((cause, is_doubtful)) => self.conclude(verdict, cause, is_doubtful),
            None if may_be_rejected(refusal.reason) => {
                self.rejected(verdict, refusal, &plain, &step);
            }
            None => self.conclude(verdict, plain.cause(Vec::new()), false),
        }
    }

    /// What of the facts explains what an answer says, and whether that is doubtful.
    fn refused_by_facts(&self, said: Said, step: &Step<'_>) -> Option<(Cause, bool)> {
        let is_meant = |cause: &Cause| match said {
            // It has no tunnel that takes it.
            Said::Other => {
                self.state.is_some_and(|state| state.outer.is_some())
                    && matches!(
                        cause,
                        Cause::DeviceDown { .. }
                            | Cause::VniDiffers { .. }
                            | Cause::PortDiffers { .. }
                    )
            }
            Said::TooBig => matches!(cause, Cause::MtuExceeded { .. }),
            Said::Expired => matches!(cause, Cause::TtlExpired { .. }),
            _ => !matches!(
                cause,
                Cause::MtuExceeded { .. } | Cause::TtlExpired { .. } | Cause::WrongMac { .. }
            ),
        };
        if let Some(cause) = step.cause.clone().filter(is_meant) {
            let is_doubtful = step.is_doubtful && !matches!(said, Said::TooBig | Said::Other);
            return Some((cause, is_doubtful));
        }
        // It asked for the next hop (arp_error_report of net/ipv4/arp.c, ndisc_error_report).
        let asked = step.next.and_then(|next| next.mac_from);
        let (at, next) = asked.filter(|(at, next)| {
            said == Said::NoHost && !matches!(route::next_mac(*at, *next), NextMac::Known(_))
        })?;
        Some((route::silent(self.view, at, next), true))
    }

    /// `default/web (10.244.1.3)`, or the address alone; `worker1 (in the name of 10.244.1.3)` of
    /// what has not the address itself
    fn name_of(&self, refusal: &Refusal) -> String {
        let by = refusal.by;
        match refuser(refusal, self.world).who {
            Who::Pod(name) | Who::Node(name) if self.lacks(refusal, by) => {
                format!("{name} (in the name of {by})")
            }
            Who::Pod(name) | Who::Node(name) => format!("{name} ({by})"),
            Who::On(_) | Who::Unknown => match self.first_tap(refusal) {
                Some(tap) => format!("{by} (first seen at {tap})"),
                None => by.to_string(),
            },
        }
    }

    /// The tap that saw a reset first, which may be anybody's.
    fn first_tap(&self, refusal: &Refusal) -> Option<String> {
        let (interface, direction) = refusal.at.filter(|_| refusal.reason.is_reset())?;
        self.world.tap_in_words(interface, direction)
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

    /// Whether a question for an address reaches nobody who has it from where it was first seen.
    fn off_link(&self, address: IpAddr) -> Option<Cause> {
        let first = self.path.hops.first()?.interface;
        let first = self.world.tap_points.get(first)?;
        let asker = self.view.find(first.node, first.netns_id, first.ifindex)?;
        link::off_link(self.view, asker, address)
    }

    /// Why the owner of an address does not answer who asks, by the facts of both.
    fn silenced(&self, address: IpAddr) -> Option<Cause> {
        let first = self.path.hops.first()?.interface;
        let first = self.world.tap_points.get(first)?;
        let asker = self.view.find(first.node, first.netns_id, first.ifindex)?;
        let cause = route::silent(self.view, asker, address);
        let is_told = !matches!(cause, Cause::NeighbourFailed { .. } | Cause::NoOwner { .. });
        is_told.then_some(cause)
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
        if let Some(cause) = self.off_link(address) {
            return self.conclude(verdict, cause, false);
        }
        let host = self.view.peer(owner);
        let down = link::down(self.view, owner).filter(|_| !owner.device.up);
        let down = down
            .or_else(|| host.and_then(|host| link::down(self.view, host)))
            .or_else(|| link::down(self.view, owner));
        let blocked = || host.and_then(|host| link::to_port(self.view, host, None));
        match down.or_else(blocked) {
            Some(cause) => self.conclude(verdict, cause, false),
            None if let Some(cause) = self.silenced(address) => {
                self.conclude(verdict, cause, false);
            }
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
