//! The conclusion: what decides it, and the sentence that says it.
mod answered;
mod evidence;
mod explained;
mod silence;
mod unsent;

use std::sync::Arc;

use super::{
    ANSWER_NS, Diagnosis, Mode, Way,
    half::{Class, Group, Half},
    report::{Conclusion, EXPECTED, HalfReport, LAST, Report, ReportedEnd, Rung},
    road::road,
    words::{after, share},
};
use crate::{
    findings::Finding,
    model::probes::{Ask, Probes},
    path::{Outcome, Path, ends::node_at},
    rules::{Cause, candidate::RuleObject},
    verdict::{Confidence, Verdict, verdict},
    world::{World, locate::Located},
};

/// One in so many packets has to die for the source not to reach the destination: TCP loses some
/// on purpose.
const LOSS_SHARE: u64 = 10;

/// What was concluded.
pub(super) struct Decision<'a> {
    pub(super) conclusion: Conclusion,
    sentence: String,
    /// The direction that it is about, and a packet there.
    way: Option<Way>,
    path: Option<&'a Path>,
    verdict: Option<Verdict>,
    advice: Option<String>,
    /// What the packets tell together, if that explains it.
    found: Option<&'a Finding>,
    /// Who has answered, if it was another than who was asked.
    answerer: Option<Arc<str>>,
}

impl<'a> Decision<'a> {
    fn new(conclusion: Conclusion, sentence: impl Into<String>) -> Self {
        Self {
            conclusion,
            sentence: sentence.into(),
            way: None,
            path: None,
            verdict: None,
            advice: None,
            found: None,
            answerer: None,
        }
    }

    fn about(self, way: Way, path: Option<&'a Path>) -> Self {
        Self {
            way: Some(way),
            path,
            ..self
        }
    }

    /// Whether it has no cause.
    pub(super) fn is_open(&self) -> bool {
        let is_unknown = |own: &Verdict| matches!(own.cause, Cause::Unknown { .. });
        self.found.is_none() && self.verdict.as_ref().is_none_or(is_unknown)
    }

    fn advised(self, advice: impl Into<String>) -> Self {
        Self {
            advice: Some(advice.into()),
            ..self
        }
    }
}

impl Diagnosis {
    /// What decides it by what is known now. `lost`: how many events podtrace has lost.
    pub(super) fn decide_now(&self, lost: u64, world: &World) -> Decision<'_> {
        let ends = self.ends(world);
        let duplicate = self.duplicate(&ends, world);
        self.decide(lost, &ends, duplicate.as_ref(), world)
    }

    /// The report by what is known now. `lost`: how many events podtrace has lost.
    #[must_use]
    pub fn conclude(&self, lost: u64, world: &World) -> Report {
        let ends = self.ends(world);
        let duplicate = self.duplicate(&ends, world);
        let without_ipv4 = self.without_ipv4(&ends);
        let decision = self.decide(lost, &ends, duplicate.as_ref(), world);
        let [source, destination] = ends;
        let request = self.half_report(&self.request, Way::Request, &decision, world);
        let reply = self.half_report(&self.reply, Way::Reply, &decision, world);
        let road = match decision.way {
            Some(Way::Reply) => &reply.road,
            _ => &request.road,
        };
        let marked = |mark| road.iter().find(|stop| stop.mark == mark).cloned();
        let mut evidence = self.evidence(&decision, duplicate.as_ref(), lost);
        evidence.extend(without_ipv4);
        let (found, verdict) = (decision.found, decision.verdict);
        let verdict = verdict.filter(|_| found.is_none());
        let cause = verdict.as_ref().map(|verdict| verdict.cause.name());
        let what = verdict.as_ref().map(|verdict| verdict.cause.to_string());
        let confidence = verdict.as_ref().map(|verdict| verdict.confidence);
        let confidence = confidence.or(found.map(|found| found.confidence));
        Report {
            conclusion: decision.conclusion,
            verdict: decision.sentence,
            source: reported(source, &self.pair.source.text),
            destination: reported(destination, &self.pair.destination.text),
            protocol: self.protocol(),
            port: self.pair.port,
            direction: decision.way.map(Way::as_str),
            cause: cause.or(found.map(|found| found.kind.as_str())),
            what: what.or(found.map(|found| found.sentence.clone())),
            confidence: confidence.map(Confidence::as_str),
            rules: verdict
                .as_ref()
                .and_then(|verdict| RuleObject::all(verdict.cause.rules())),
            last_hop: marked(LAST),
            expected_next: marked(EXPECTED),
            advice: decision
                .advice
                .or_else(|| verdict.and_then(|verdict| verdict.advice))
                .or_else(|| found.and_then(|found| found.advice.clone())),
            evidence,
            request,
            reply,
            ladder: self.rungs(),
        }
    }

    fn protocol(&self) -> Option<&'static str> {
        let seen = self.request.any().or_else(|| self.reply.any());
        let seen = seen.map(|path| path.packet.protocol());
        Some(self.pair.protocol.or(seen)?.as_str())
    }

    fn decide(
        &self,
        lost: u64,
        ends: &[Option<Located>; 2],
        duplicate: Option<&Cause>,
        world: &World,
    ) -> Decision<'_> {
        let decision = self.seen(lost, ends, world);
        self.beside_answers(self.explained(decision, duplicate))
    }

    /// What the packets that were seen decide.
    fn seen(&self, lost: u64, ends: &[Option<Located>; 2], world: &World) -> Decision<'_> {
        if self.request.all() + self.reply.all() == 0 {
            return self.nothing(ends, world);
        }
        if let Some(astray) = self.astray(ends, world) {
            return astray;
        }
        if let Some(group) = self.died(Way::Request) {
            return self.death(Way::Request, group, world);
        }
        if let Some(group) = self.died(Way::Reply) {
            return self.death(Way::Reply, group, world);
        }
        if self.reply.delivered() > 0 {
            let large = self.too_large(world);
            return large.unwrap_or_else(|| self.replied(ends));
        }
        if self.request.delivered() > 0 && self.reply.all() == 0 {
            let told = self.answered_unseen(ends, world);
            return told.unwrap_or_else(|| self.unanswered(lost, world));
        }
        self.open(world)
    }

    fn half(&self, way: Way) -> &Half {
        match way {
            Way::Request => &self.request,
            Way::Reply => &self.reply,
        }
    }

    /// The ends that are no arrival: who answers has a socket.
    fn deaths(&self) -> &'static [Class] {
        match self.reply.delivered() {
            0 => &[Class::Lost, Class::Refused, Class::Unheard],
            _ => &[Class::Lost, Class::Refused],
        }
    }

    fn dead(&self, way: Way) -> u64 {
        let half = self.half(way);
        self.deaths().iter().map(|class| half.of(*class)).sum()
    }

    /// How packets of a direction died, if enough of them have.
    fn died(&self, way: Way) -> Option<&Group> {
        let (half, dead) = (self.half(way), self.dead(way));
        let is_enough = dead > 0 && dead.saturating_mul(LOSS_SHARE) >= half.decided();
        is_enough.then(|| half.deadliest(self.deaths())).flatten()
    }

    fn death<'a>(&'a self, way: Way, group: &'a Group, world: &World) -> Decision<'a> {
        let half = self.half(way);
        let verdict = group.judged(world);
        let after = after(
            verdict
                .as_ref()
                .and_then(|verdict| verdict.last_hop.as_ref()),
        );
        let (before, name) = (way.before(&self.request), way.as_str());
        let share = share(self.dead(way), half.decided());
        let (conclusion, sentence) = match group.class {
            Class::Refused => (
                Conclusion::Refused,
                format!("{before}the {name} was refused{after}{share}"),
            ),
            Class::Unheard => (
                Conclusion::Lost,
                format!("the {name} arrived, and no container's socket took it{share}"),
            ),
            _ => (
                Conclusion::Lost,
                format!("{before}the {name} died{after}{share}"),
            ),
        };
        Decision {
            verdict,
            ..Decision::new(conclusion, sentence).about(way, Some(&group.path))
        }
    }

    /// Why large packets die, if small ones arrive.
    fn too_large(&self, world: &World) -> Option<Decision<'_>> {
        let [request, reply] = &self.large;
        let classes = [Class::Lost, Class::Refused];
        let requested = request
            .deadliest(&classes)
            .map(|group| (Way::Request, group));
        let replied = || reply.deadliest(&classes).map(|group| (Way::Reply, group));
        let (way, group) = requested.or_else(replied)?;
        let largest = self.answered.last();
        // Where no echo passes, that says nothing of others.
        let asks_echo = |probes: &Probes| matches!(probes.ask, Ask::Echo);
        if largest.is_none() && !self.probes.as_ref().is_none_or(asks_echo) {
            return None;
        }
        // It is not for its length that one dies where a longer one arrives.
        if largest.is_some_and(|largest| *largest > group.path.packet.length) {
            return None;
        }
        let up_to = largest.map_or_else(
            || "small packets arrive".to_owned(),
            |bytes| format!("packets of up to {bytes} bytes arrive"),
        );
        let verdict = group.judged(world);
        let after = after(
            verdict
                .as_ref()
                .and_then(|verdict| verdict.last_hop.as_ref()),
        );
        let (conclusion, ended) = match group.class {
            Class::Refused => (Conclusion::Refused, "was refused"),
            _ => (Conclusion::Lost, "died"),
        };
        let (bytes, name) = (group.path.packet.length, way.as_str());
        let sentence = format!("{up_to}, a {name} of {bytes} {ended}{after}");
        Some(Decision {
            verdict,
            ..Decision::new(conclusion, sentence).about(way, Some(&group.path))
        })
    }

    /// Packets were seen, and nothing tells whether they arrived.
    fn open(&self, world: &World) -> Decision<'_> {
        let way = match self.reply.all() {
            0 => Way::Request,
            _ => Way::Reply,
        };
        let name = way.as_str();
        let path = self.half(way).open.as_deref();
        let Some(path) = path else {
            let sentence = format!("what became of the {name} is not known");
            return Decision::new(Conclusion::Unknown, sentence).about(way, None);
        };
        let before = way.before(&self.request);
        let left = match path.outcome {
            Outcome::LeftForVtep(vtep) => {
                let node = node_at(vtep, path.last_ns(), world);
                Some(node.map_or_else(|| vtep.to_string(), |node| node.to_string()))
            }
            Outcome::LeftNode => Some("the network beyond".to_owned()),
            _ => None,
        };
        if let Some(left) = left {
            let sentence = format!("{before}the {name} left for {left}, which is not traced here");
            let advice = format!(
                "run podtrace diagnose on {left} too, or record on both nodes and give both files: \
                 podtrace diagnose -r FILE -r FILE SRC DST"
            );
            let advice = match path.outcome {
                Outcome::LeftNode => "see to what is beyond the node, as with tracepath".to_owned(),
                _ => advice,
            };
            let decision = Decision::new(Conclusion::Unknown, sentence);
            return decision.about(way, Some(path)).advised(advice);
        }
        let why = match path.ambiguous {
            true => Some("ambiguous, as equal packets were under way at once".to_owned()),
            false => verdict(path, world).map(|verdict| verdict.cause.to_string()),
        };
        let why = why.map_or_else(String::new, |why| {
            let why = why.strip_prefix("unknown: ").unwrap_or(&why).to_owned();
            format!(": {why}")
        });
        let sentence = format!("{before}what became of the {name} is not known{why}");
        Decision::new(Conclusion::Unknown, sentence).about(way, Some(path))
    }

    fn half_report(
        &self,
        half: &Half,
        way: Way,
        decision: &Decision<'_>,
        world: &World,
    ) -> HalfReport {
        let is_it = decision.way == Some(way);
        let shown = decision.path.filter(|_| is_it);
        let has_died = matches!(decision.conclusion, Conclusion::Lost | Conclusion::Refused);
        let other = || half.any();
        let road = match (shown, other()) {
            (Some(path), _) => road(path, has_died, world),
            (None, Some(path)) => road(path, false, world),
            (None, None) => Vec::new(),
        };
        HalfReport {
            packets: half.all(),
            delivered: half.delivered(),
            lost: half.of(Class::Lost),
            refused: half.of(Class::Refused),
            no_socket: half.of(Class::Unheard),
            left: half.of(Class::Left),
            unknown: half.of(Class::Unknown),
            road,
        }
    }

    fn rungs(&self) -> Vec<Rung> {
        let ladder = self.probes.iter().flat_map(|probes| &probes.ladder);
        let rung = |bytes: &u32| Rung {
            bytes: *bytes,
            answered: self.answered.contains(bytes),
        };
        // What was not sent in the end, or passed no tap, was not tried.
        let is_seen = self.large.iter().any(|half| half.all() > 0);
        let is_tried = is_seen || !self.answered.is_empty();
        ladder.filter(|_| is_tried).map(rung).collect()
    }
}

fn reported(located: Option<Located>, text: &str) -> ReportedEnd {
    match located {
        Some(found) => ReportedEnd {
            name: found.name,
            kind: Some(found.kind.as_str()),
            node: found.node,
            addresses: found.addresses,
        },
        None => ReportedEnd {
            name: text.into(),
            kind: None,
            node: None,
            addresses: Vec::new(),
        },
    }
}

/// A verdict of facts about what no packet shows.
fn by_facts(cause: Cause) -> Verdict {
    let is_known = !matches!(cause, Cause::Unknown { .. });
    Verdict {
        outcome: Outcome::Unknown,
        last_hop: None,
        expected_next: None,
        confidence: match is_known {
            true => Confidence::Sure,
            false => Confidence::Unknown,
        },
        evidence: Vec::new(),
        advice: cause.advice(),
        cause,
    }
}
