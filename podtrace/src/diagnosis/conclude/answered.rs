//! What answers tell that have come to the socket of podtrace.
use std::sync::Arc;

use super::{Decision, Diagnosis, Way};
use crate::{
    diagnosis::report::Conclusion,
    findings::Kind,
    model::probes::Probed,
    world::{World, locate::Located},
};

impl Diagnosis {
    /// Replies arrive at the source.
    pub(super) fn replied(&self, ends: &[Option<Located>; 2]) -> Decision<'_> {
        let [from, to] = self.names(ends);
        let asked = self.probed.first();
        if asked.is_some_and(|asked| asked.answered == 0) {
            return self.untaken(&from);
        }
        if let Some(error) = asked.and_then(Probed::refusal) {
            let sentence = format!("{from} is refused: {}", error.words);
            return Decision::new(Conclusion::Refused, sentence).about(Way::Reply, None);
        }
        Decision::new(Conclusion::Delivered, format!("{from} reaches {to}"))
    }

    /// Replies arrive at who has asked, whose socket gets none.
    fn untaken(&self, from: &str) -> Decision<'_> {
        let mut found = self.found.iter();
        let Some(nat) = found.find(|found| found.kind == Kind::OneWayNat) else {
            let sentence = format!(
                "replies arrive at {from}, and its socket gets none: they may come from another \
                 address, or a firewall of its own drops them"
            );
            return Decision::new(Conclusion::Unknown, sentence);
        };
        let sentence = format!("replies arrive at {from} from an address that it has not asked");
        let decision = Decision::new(Conclusion::Lost, sentence);
        Decision {
            found: Some(nat),
            ..decision.about(Way::Reply, None)
        }
    }

    /// The decision, unless it is a loss beside answers that have come: then nothing is sure.
    pub(super) fn beside_answers<'a>(&'a self, decision: Decision<'a>) -> Decision<'a> {
        // It is of those that no answer came to, or another has answered.
        let path = decision.path;
        let is_told =
            decision.answerer.is_some() || path.is_some_and(|path| self.is_of_ladder(path));
        if decision.conclusion != Conclusion::Lost || is_told {
            return decision;
        }
        let Some(asked) = self.probed.first().filter(|asked| !asked.is_refused()) else {
            return decision;
        };
        // Some may have been answered, and others not.
        let answered = u64::from(asked.answered);
        if !asked.is_answered() && answered <= self.reply.delivered() {
            return decision;
        }
        let but = decision.sentence;
        Decision {
            conclusion: Conclusion::Unknown,
            sentence: format!("{asked}, but {but}"),
            ..decision
        }
    }

    /// The request arrived, and answers have come to the socket of podtrace that no tap has seen.
    pub(super) fn answered_unseen(
        &self,
        ends: &[Option<Located>; 2],
        world: &World,
    ) -> Option<Decision<'_>> {
        let asked = self.probed.first()?;
        let wanted = ends[1].as_ref().and_then(|end| end.netns);
        let last = self.request.arrived.as_deref()?.last_point(world)?;
        if !asked.is_answered() || wanted.is_some_and(|wanted| last.netns_id != wanted) {
            return None;
        }
        let [from, to] = self.names(ends);
        let sentence = format!("{from} reaches {to}: answers came, which no tap has seen");
        Some(Decision::new(Conclusion::Delivered, sentence))
    }

    /// The two by name.
    fn names(&self, ends: &[Option<Located>; 2]) -> [Arc<str>; 2] {
        let [source, destination] = ends;
        let name = |end: &Option<Located>, text: &str| match end {
            Some(end) => Arc::clone(&end.name),
            None => text.into(),
        };
        let source = name(source, &self.pair.source.text);
        [source, name(destination, &self.pair.destination.text)]
    }

    /// Whether the answers that were seen come from this namespace.
    pub(super) fn answers_from(&self, netns: u64, world: &World) -> bool {
        let first = self
            .reply
            .arrived
            .as_deref()
            .and_then(|path| path.hops.first());
        let first = first.and_then(|hop| world.tap_points.get(hop.interface));
        first.is_some_and(|point| point.nearest_pod() == Some(netns) || point.netns_id == netns)
    }
}
