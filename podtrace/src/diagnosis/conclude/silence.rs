//! Conclusions from what was not seen: no answer, or nothing at all.
use super::{ANSWER_NS, Decision, Diagnosis, Mode, Way, by_facts};
use crate::{
    diagnosis::report::Conclusion,
    model::{drop::KernelDrop, probes::DNS_PORT},
    packet::Protocol,
    path::Path,
    rules::Cause,
    verdict::{Verdict, first_hop, reasons, unanswered, verdict},
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
        } else if lost > 0 {
            Some("podtrace has lost events")
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
            return unseen(Way::Reply, sentence.to_owned(), drop);
        }
        let (cause, candidates) = unanswered(path, world);
        let cause = cause.unwrap_or(Cause::Unknown {
            why: None,
            candidates,
        });
        let sentence = "the request arrived, and no reply left its receiver";
        Decision {
            verdict: Some(by_facts(cause)),
            ..Decision::new(Conclusion::Lost, sentence).about(Way::Reply, None)
        }
    }

    /// Whether a tap would see the answer: where it leaves a pod, or where it arrives.
    fn would_show_answer(&self, path: &Path, world: &World) -> bool {
        let [source, _] = self.ends(world);
        let last = path.hops.last();
        let last = last.and_then(|last| world.tap_points.get(last.interface));
        last.is_some_and(|point| point.in_pod) || source.is_some_and(|end| end.netns.is_some())
    }

    /// No packet of the two was seen.
    pub(super) fn nothing(&self, ends: &[Option<Located>; 2], world: &World) -> Decision<'_> {
        let [source, destination] = ends;
        if let (Some(source), Some(destination)) = (source, destination) {
            let died = self.died_at_source(source, destination, world);
            if let Some(died) = died {
                return died;
            }
        }
        let sentence = match self.probed.is_empty() {
            true => {
                let (from, to) = (&self.pair.source.text, &self.pair.destination.text);
                format!("no packet from {from} to {to} was seen")
            }
            false => "podtrace has sent packets, and none was seen to leave".to_owned(),
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
            Mode::Probed => decision,
            Mode::Recorded => {
                decision.advised("record while the two talk: podtrace record -w FILE")
            }
        }
    }

    /// Why nothing leaves the source: nobody answers its question for a neighbour, or its own kernel
    /// refuses to send.
    fn died_at_source(
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
            .filter_map(|next| self.questions.get_key_value(&next))
            .next();
        let name = &source.name;
        if let Some((about, path)) = question {
            let sentence =
                format!("{name} asks for the MAC address of {about}, and nobody answers");
            return Some(Decision {
                verdict: verdict(path, world),
                ..Decision::new(Conclusion::Lost, sentence).about(Way::Request, Some(path))
            });
        }
        if let Some(drop) = self.dropped[Way::Request as usize].as_deref() {
            let sentence = format!("the request died before it left {name}");
            return Some(unseen(Way::Request, sentence, drop));
        }
        let mut errors = self
            .probed
            .iter()
            .filter_map(|probed| probed.error.as_deref());
        let error = errors.next()?;
        let sentence = format!("nothing leaves {name}: its own kernel says {error}");
        Some(Decision {
            verdict: cause.map(by_facts),
            ..Decision::new(Conclusion::Lost, sentence).about(Way::Request, None)
        })
    }
}

/// What a kernel says of a packet that no tap has seen.
fn unseen<'a>(way: Way, sentence: String, drop: &KernelDrop) -> Decision<'a> {
    let (cause, advice) = reasons::cause(drop, Vec::new());
    let verdict = Verdict {
        advice,
        ..by_facts(cause)
    };
    Decision {
        verdict: Some(verdict),
        ..Decision::new(Conclusion::Lost, sentence).about(way, None)
    }
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
