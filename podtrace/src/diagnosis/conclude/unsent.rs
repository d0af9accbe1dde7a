//! Conclusions about what does not leave its sender, and so passes no tap.
use std::net::IpAddr;

use super::{Decision, Diagnosis, Way, by_facts};
use crate::{
    diagnosis::{plan::is_broadcast, report::Conclusion},
    model::{
        drop::KernelDrop,
        hook::Hook,
        probes::{ErrorKind, ProbeError, Probed},
    },
    packet::{IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP, Protocol},
    path::Outcome,
    rules::{
        At, Candidate, Cause, Owner, View,
        advice::inside,
        firewall::{Asked, candidates, tell},
        link,
        route::{self, Wanted},
    },
    verdict::{Verdict, first_hop, reasons, verdict, with_view},
    world::{World, locate::Located},
};

/// What a namespace sends.
pub(super) struct Sent {
    /// Id of the namespace.
    pub(super) netns: u64,
    pub(super) from: Option<IpAddr>,
    pub(super) to: IpAddr,
    pub(super) ports: (Option<u16>, Option<u16>),
}

impl Diagnosis {
    /// Why nothing leaves the source: nobody answers its question for a neighbour, or its own kernel
    /// refuses to send.
    pub(super) fn died_at_source(
        &self,
        source: &Located,
        destination: &Located,
        world: &World,
    ) -> Option<Decision<'_>> {
        let to = match &self.probes {
            Some(probes) => probes.to,
            None => *destination.addresses.first()?,
        };
        let netns = source.netns?;
        let (next, cause) = first_hop(netns, to, world);
        let asked = [next, Some(to)].into_iter().flatten();
        let question = asked
            .filter(|next| !self.neighbours.contains(next))
            .filter_map(|next| self.questions.get_key_value(&next))
            .next();
        let name = &source.name;
        if let Some((about, path)) = question.filter(|(_, path)| !path.incomplete) {
            let who = match path.outcome {
                Outcome::Delivered if has_owner(*about, world) => {
                    "its owner gets the question, and does not answer"
                }
                _ => "nobody answers",
            };
            let sentence = format!("{name} asks for the MAC address of {about}, and {who}");
            // Its owner has got the question, or it has died on the way there.
            let silent = || by_facts(silent(netns, *about, world));
            return Some(Decision {
                verdict: verdict(path, world).or_else(|| Some(silent())),
                ..Decision::new(Conclusion::Lost, sentence).about(Way::Request, Some(path))
            });
        }
        let sent = Sent {
            netns,
            from: None,
            to,
            ports: (None, self.pair.port),
        };
        if let Some(refused) = self.refused_at_source(source, &sent, world) {
            return Some(refused);
        }
        if let Some(drop) = self.dropped[Way::Request as usize].as_deref() {
            let sentence = format!("the request died before it left {name}");
            return Some(self.unseen((Way::Request, sentence), drop, Some(&sent), world));
        }
        let error = self.probed.first()?.error.as_ref()?;
        self.refused_by_kernel(source, error, cause, &sent, world)
    }

    /// Who sends is refused in its own namespace, as by a rule that rejects.
    fn refused_at_source(
        &self,
        source: &Located,
        sent: &Sent,
        world: &World,
    ) -> Option<Decision<'_>> {
        let told = self.probed.first().and_then(Probed::refusal);
        let reset = || self.is_reset_at_source.then_some("connection reset");
        let words = told.map(|error| &*error.words).or_else(reset)?;
        let name = &source.name;
        let sentence = match self.is_reset_at_source {
            true => format!("{name} refuses itself what it sends: {words}"),
            false => format!("no tap sees what {name} sends, and it is told: {words}"),
        };
        let rules = self.forbidding(sent, world);
        let dropped = self.dropped[Way::Request as usize].as_ref();
        let is_by_firewall = dropped.is_some_and(|drop| drop.is_by_firewall());
        let is_known = !rules.is_empty() || is_by_firewall || self.is_reset_at_source;
        let cause = is_known.then(|| Cause::Refused {
            by: name.to_string(),
            reason: words.to_owned(),
            rules,
        });
        Some(Decision {
            verdict: cause.map(by_facts),
            advice: is_known.then(|| list_rules(sent.netns, world)).flatten(),
            ..Decision::new(Conclusion::Refused, sentence).about(Way::Request, None)
        })
    }

    /// What the error of the system means that podtrace was told when it sent.
    fn refused_by_kernel(
        &self,
        source: &Located,
        error: &ProbeError,
        cause: Option<Cause>,
        sent: &Sent,
        world: &World,
    ) -> Option<Decision<'_>> {
        let (name, to, words) = (&source.name, sent.to, &error.words);
        let kernel = format!("nothing leaves {name}: its own kernel says {words}");
        let (conclusion, sentence, cause) = match (error.kind, cause) {
            (ErrorKind::NoWay, cause) => (Conclusion::Lost, kernel, cause),
            (ErrorKind::Forbidden, _) => {
                let cause = Cause::Kernel {
                    reason: "EPERM".to_owned(),
                    function: None,
                    meaning: Some("a firewall rule for what it sends"),
                    rules: self.forbidding(sent, world),
                };
                (Conclusion::Lost, kernel, Some(cause))
            }
            (ErrorKind::Refused, _) => return None,
            // Routes refuse in other words than that there is none.
            (ErrorKind::Invalid, Some(cause @ Cause::RefusedByRoute { .. })) => {
                (Conclusion::Lost, kernel, Some(cause))
            }
            (ErrorKind::Invalid, _) => {
                let why = match is_broadcast(sent.netns, to, world) {
                    true => "which is a broadcast address",
                    false => words,
                };
                let sentence = format!("nothing was sent: {name} does not send to {to}: {why}");
                (Conclusion::Unknown, sentence, None)
            }
            (ErrorKind::Untried, _) => {
                let sentence = format!("nothing was sent: podtrace got no socket: {words}");
                (Conclusion::Unknown, sentence, None)
            }
            (ErrorKind::Other, _) => return None,
        };
        let has_rules = cause
            .as_ref()
            .is_some_and(|cause| cause.rules().next().is_some());
        let listed = (has_rules || error.kind == ErrorKind::Forbidden)
            .then(|| list_rules(sent.netns, world))
            .flatten();
        Some(Decision {
            verdict: cause.map(by_facts),
            advice: listed,
            ..Decision::new(conclusion, sentence).about(Way::Request, None)
        })
    }

    /// What a kernel says of a packet that no tap has seen. `sent`: the packet.
    pub(super) fn unseen(
        &self,
        (way, sentence): (Way, String),
        drop: &KernelDrop,
        sent: Option<&Sent>,
        world: &World,
    ) -> Decision<'_> {
        let netns = sent.map_or(drop.netns, |sent| sent.netns);
        let own = sent.filter(|_| drop.is_by_firewall());
        let rules = own.map_or_else(Vec::new, |sent| self.forbidding(sent, world));
        let verdict = Verdict {
            advice: reasons::advice(drop, &owner(netns, world), &[]),
            ..by_facts(reasons::cause(drop, rules))
        };
        Decision {
            verdict: Some(verdict),
            ..Decision::new(Conclusion::Lost, sentence).about(way, None)
        }
    }

    /// The rules of the sender's own firewall that could drop what it sends.
    pub(super) fn forbidding(&self, sent: &Sent, world: &World) -> Vec<Candidate> {
        let Some(ruleset) = world.rulesets.get(&sent.netns) else {
            return Vec::new();
        };
        let output = output(sent, world);
        let is_ipv4 = sent.to.is_ipv4();
        let asked = Asked {
            is_ipv4,
            source: sent.from,
            destination: Some(sent.to),
            protocol: Some(match (self.asked_protocol(), is_ipv4) {
                (Protocol::Tcp, _) => IPPROTO_TCP,
                (Protocol::Udp, _) => IPPROTO_UDP,
                (_, true) => IPPROTO_ICMP,
                (_, false) => IPPROTO_ICMPV6,
            }),
            source_port: sent.ports.0,
            destination_port: sent.ports.1,
            ttl: None,
            message_type: None,
            input: None,
            output: output.as_deref(),
        };
        let hooks = [Hook::Output, Hook::Postrouting];
        let owner = owner(sent.netns, world).to_string();
        let found = hooks.map(|hook| candidates(ruleset, hook.of_ip(), &asked));
        let found = found.into_iter().flatten();
        tell(found.map(|found| (owner.clone(), found)).collect())
    }
}

/// The pod or node that has a namespace.
fn owner(netns: u64, world: &World) -> Owner {
    let known = with_view(world, |view| Some(view.owner(view.within(netns)?)));
    known.unwrap_or_else(|| Owner::unnamed(netns))
}

/// Whether an interface is known that has an address, and gets frames from outside of its pod.
fn has_owner(address: IpAddr, world: &World) -> bool {
    with_view(world, |view| {
        let is_reached = |at: At<'_>| {
            let host = view.peer(at);
            host.is_none_or(|host| link::unbridged(view, host).is_none())
        };
        view.owners(address).any(is_reached)
    })
}

/// The command that lists the rules of a namespace.
fn list_rules(netns: u64, world: &World) -> Option<String> {
    with_view(world, |view| {
        let owner = view.owner(view.within(netns)?);
        Some(inside(&owner, "nft list ruleset"))
    })
}

/// Why nobody answers the question of a namespace for a neighbour.
fn silent(netns: u64, about: IpAddr, world: &World) -> Cause {
    let found = with_view(world, |view| {
        let by = leaves(view, netns, about, None)?;
        Some(route::silent(view, by, about))
    });
    found.unwrap_or(Cause::Unknown {
        why: None,
        candidates: Vec::new(),
    })
}

/// The interface by which it is sent.
fn output(sent: &Sent, world: &World) -> Option<String> {
    with_view(world, |view| {
        let by = leaves(view, sent.netns, sent.to, sent.from)?;
        Some(by.device.name.clone())
    })
}

/// The interface by which a namespace sends to an address.
fn leaves<'a>(view: View<'a>, netns: u64, to: IpAddr, from: Option<IpAddr>) -> Option<At<'a>> {
    let wanted = Wanted {
        to,
        from,
        input: None,
    };
    route::onward(view, view.within(netns)?, wanted).ok()?.by
}
