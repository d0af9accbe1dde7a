//! Conclusions from what was not seen: no answer, or nothing at all.
use std::net::IpAddr;

use super::{ANSWER_NS, Decision, Diagnosis, Mode, Way, by_facts, unsent::Sent};
use crate::{
    diagnosis::report::Conclusion,
    model::probes::DNS_PORT,
    packet::Protocol,
    path::Path,
    rules::{Cause, Owner},
    verdict::{Confidence, Verdict, no_rule, unanswered, with_view},
    world::{
        World,
        locate::{Kind, Located},
    },
};

impl Diagnosis {
    /// Requests arrived, and no answer was seen.
    pub(super) fn unanswered(&self, lost: u64, world: &World) -> Decision<'_> {
        let path = self.request.arrived.as_deref();
        let Some(path) = path else {
            return self.open(world);
        };
        if !needs_answer(path) {
            let sentence = "the request arrived; no answer was seen, and UDP needs none";
            return Decision::new(Conclusion::Delivered, sentence);
        }
        let doubt = if self.now_ns.saturating_sub(self.request.last_ns) < ANSWER_NS {
            Some("the trace ended before an answer could have come")
        } else if path.incomplete {
            Some("the answer may have passed where podtrace was not attached yet")
        } else if self.unseen.is_some() {
            self.unseen
        } else if lost > 0 {
            Some("podtrace has lost events")
        } else if is_masqueraded(path) {
            Some("it may have died before its destination was translated back")
        } else if !self.would_show_answer(path, world) {
            Some("it may leave by an interface that podtrace does not tap")
        } else {
            None
        };
        if let Some(doubt) = doubt {
            let sentence =
                format!("the request arrived; whether it was answered is not known: {doubt}");
            return Decision::new(Conclusion::Unknown, sentence).about(Way::Reply, None);
        }
        if let Some(drop) = self.dropped[Way::Reply as usize].as_deref() {
            let sentence = "the request arrived, the reply died before it left its receiver";
            let died = (Way::Reply, sentence.to_owned());
            return self.unseen(died, drop, answer(path, world).as_ref(), world);
        }
        let sentence = "the request arrived, and no reply left its receiver";
        Decision {
            verdict: Some(self.silence(path, world)),
            ..Decision::new(Conclusion::Lost, sentence).about(Way::Reply, None)
        }
    }

    /// Why who got the request does not answer.
    fn silence(&self, path: &Path, world: &World) -> Verdict {
        let (cause, mut candidates) = unanswered(path, world);
        if let Some(cause) = self.full_queue(path, world).or(cause) {
            return by_facts(cause);
        }
        let answer = answer(path, world);
        let ruleset = answer
            .as_ref()
            .and_then(|sent| world.rulesets.get(&sent.netns));
        let rules = answer.as_ref().map(|sent| self.forbidding(sent, world));
        let rules = rules.unwrap_or_default();
        let is_read = ruleset.is_some_and(|rules| rules.is_whole());
        let owner = owner(path, world);
        let is_free = is_read && rules.is_empty();
        let free = owner.as_ref().filter(|_| is_free);
        let evidence: Vec<_> = free
            .map(|owner| no_rule(&owner.name, "the answer"))
            .into_iter()
            .collect();
        let is_dns = path.packet.protocol() == Protocol::Udp;
        if is_dns
            && is_free
            && let Some(owner) = owner
            && let Some(port) = path.ends().and_then(|ends| ends.to().1)
        {
            // Where no socket takes a datagram, the kernel says so.
            return Verdict {
                confidence: Confidence::Likely,
                evidence,
                ..by_facts(Cause::ServerSilent { owner, port })
            };
        }
        if is_read {
            candidates.retain(|candidate| !candidate.is_of_firewall());
            candidates.extend(rules);
        }
        let why = None;
        Verdict {
            evidence,
            ..by_facts(Cause::Unknown { why, candidates })
        }
    }

    /// Whether the socket that was asked for a connection had no room for it.
    fn full_queue(&self, path: &Path, world: &World) -> Option<Cause> {
        let listener = self.listener.filter(|listener| listener.overflows > 0)?;
        Some(Cause::AcceptQueueFull {
            owner: owner(path, world)?,
            port: path.ends()?.to().1?,
            waiting: listener.waiting,
        })
    }

    /// Whether a tap would see the answer: where it leaves a pod, or where it arrives.
    fn would_show_answer(&self, path: &Path, world: &World) -> bool {
        let [source, _] = self.ends(world);
        let last = path.last_point(world);
        last.is_some_and(|point| point.in_pod) || source.is_some_and(|end| end.netns.is_some())
    }

    /// The rules of the source that may keep back what podtrace has sent.
    fn not_sent(&self, source: &Located, world: &World) -> Option<Verdict> {
        let sent = Sent {
            netns: source.netns?,
            from: None,
            to: self.probes.as_ref().filter(|_| !self.probed.is_empty())?.to,
            ports: (None, self.pair.port),
        };
        let candidates = self.forbidding(&sent, world);
        let why = None;
        (!candidates.is_empty()).then(|| by_facts(Cause::Unknown { why, candidates }))
    }

    /// What podtrace's own socket was told of packets that pass no tap, as on the loopback interface
    /// of a node.
    fn told_by_socket(&self, source: &Located, destination: &Located) -> Option<Decision<'_>> {
        let asked = self.probed.first()?;
        let is_loopback = destination.addresses.iter().all(IpAddr::is_loopback);
        let is_own = source.netns.is_some() && source.netns == destination.netns;
        if asked.answered == 0 || asked.is_refused() || !(is_own || is_loopback) {
            return None;
        }
        let (from, to) = (&source.name, &destination.name);
        let sentence = format!("{from} reaches {to}: answers came, by no interface that is tapped");
        Some(Decision::new(Conclusion::Delivered, sentence))
    }

    /// No packet of the two was seen.
    pub(super) fn nothing(&self, ends: &[Option<Located>; 2], world: &World) -> Decision<'_> {
        let [source, destination] = ends;
        if let (Some(source), Some(destination)) = (source, destination) {
            let told = self.told_by_socket(source, destination);
            let told = told.or_else(|| self.died_at_source(source, destination, world));
            if let Some(told) = told {
                return told;
            }
        }
        let sentence = match self.probed.is_empty() {
            true => {
                let (from, to) = (&self.pair.source.text, &self.pair.destination.text);
                format!("no packet from {from} to {to} was seen")
            }
            false => "podtrace has sent packets, and none was seen to leave".to_owned(),
        };
        let is_own = |(source, destination): (&Located, &Located)| {
            source.kind == Kind::Node && source.netns.is_some() && source.netns == destination.netns
        };
        let sentence = match source
            .as_ref()
            .zip(destination.as_ref())
            .is_some_and(is_own)
        {
            true => format!("{sentence}: what a node sends to itself passes no tap"),
            false => sentence,
        };
        let decision = Decision::new(Conclusion::Unknown, sentence);
        let elsewhere = source.as_ref().filter(|source| source.netns.is_none());
        if let Some(advice) = elsewhere.and_then(elsewhere_advice) {
            return decision.advised(advice);
        }
        match self.mode {
            Mode::Watched => decision.advised(
                "podtrace diagnose --probe sends a few packets; or let the two talk meanwhile",
            ),
            Mode::Probed => Decision {
                verdict: source
                    .as_ref()
                    .and_then(|source| self.not_sent(source, world)),
                ..decision
            },
            Mode::Recorded => {
                decision.advised("record while the two talk: podtrace record -w FILE")
            }
        }
    }
}

/// Who has got a packet.
fn owner(path: &Path, world: &World) -> Option<Owner> {
    let last = path.last_point(world)?;
    with_view(world, |view| {
        let at = view.find(last.node, last.netns_id, last.ifindex)?;
        Some(view.owner(at))
    })
}

/// The answer to a request, as its receiver sends it.
fn answer(path: &Path, world: &World) -> Option<Sent> {
    let last = path.last_point(world)?;
    let ends = path.ends()?.reversed();
    let ((from, from_port), (to, to_port)) = (ends.from(), ends.to());
    Some(Sent {
        netns: last.netns_id,
        from: Some(from),
        to,
        ports: (from_port, to_port),
    })
}

/// Whether nothing tells the answer to a packet from those to others, until it is translated back.
fn is_masqueraded(path: &Path) -> bool {
    let mut translations = path.translations.iter();
    let has_ports = path.packet.ports().is_some();
    !has_ports && translations.any(|one| one.is_of_source())
}

/// Whether a packet that arrives is answered, unless something is wrong.
fn needs_answer(path: &Path) -> bool {
    let is_dns = path
        .ends()
        .is_some_and(|ends| ends.to().1 == Some(DNS_PORT));
    path.packet.protocol() != Protocol::Udp || is_dns
}

/// What to do where the source is not on a node that is traced.
fn elsewhere_advice(source: &Located) -> Option<String> {
    let (name, node) = (&source.name, source.node.as_ref()?);
    (source.kind != Kind::Service).then(|| {
        format!(
            "{name} is on node {node}: run podtrace diagnose there, or record on both nodes and \
             give both files: podtrace diagnose -r FILE -r FILE SRC DST"
        )
    })
}
