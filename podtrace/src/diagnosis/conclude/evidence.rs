//! What a conclusion is based on, in sentences.
use super::{Decision, Diagnosis, Way};
use crate::{
    diagnosis::{
        half::{Class, Group},
        words::{after, translated},
    },
    findings::Kind,
    rules::Cause,
};

impl Diagnosis {
    /// What the conclusion is based on, one sentence each.
    pub(super) fn evidence(
        &self,
        decision: &Decision<'_>,
        duplicate: Option<&Cause>,
        lost: u64,
    ) -> Vec<String> {
        let mut all = Vec::new();
        let by = decision.answerer.as_ref();
        let by = by.map_or_else(String::new, |by| format!(", by {by}"));
        all.extend(
            self.probed
                .iter()
                .map(|probed| format!("sent by podtrace: {probed}{by}")),
        );
        let about = decision.path.or_else(|| self.request.any());
        all.extend(about.and_then(translated));
        if let Some(verdict) = &decision.verdict {
            all.extend(verdict.cause.could_be());
            // An answer that refuses is the cause itself, as a rule.
            let cause = verdict.cause.to_string();
            let others = verdict
                .evidence
                .iter()
                .filter(|sentence| **sentence != cause);
            all.extend(others.cloned());
        }
        all.extend(self.told(decision));
        let cause = decision.verdict.as_ref().map(|verdict| &verdict.cause);
        all.extend(
            duplicate
                .filter(|_| cause != duplicate)
                .map(ToString::to_string),
        );
        all.extend(self.others(decision));
        if lost > 0 {
            all.push(format!("podtrace has lost {lost} events"));
        }
        all.extend(self.notes.iter().cloned());
        all
    }

    /// What the packets tell together, but for what the verdict says itself.
    fn told(&self, decision: &Decision<'_>) -> Vec<String> {
        let is_verdict = |kind| {
            matches!(
                kind,
                Kind::RequestLost | Kind::ReplyLost | Kind::Refused | Kind::OneWay | Kind::Lossy
            )
        };
        let mut all: Vec<_> = decision
            .found
            .map_or_else(Vec::new, |found| found.evidence.clone());
        let others = self.found.iter().filter(|other| {
            let is_shown = decision
                .found
                .is_some_and(|found| found.sentence == other.sentence);
            !is_shown && !is_verdict(other.kind)
        });
        all.extend(others.map(|other| other.sentence.clone()));
        all
    }

    /// Other ways in which packets died.
    fn others(&self, decision: &Decision<'_>) -> Vec<String> {
        let ways = [Way::Request, Way::Reply].into_iter();
        let groups = ways.flat_map(|way| {
            let groups = self.half(way).groups.iter();
            groups.map(move |group| (way, group))
        });
        let is_shown = |group: &Group| {
            let shown = decision.path.map(|path| path.id);
            shown == Some(group.path.id) || group.class == Class::Unheard
        };
        let others = groups.filter(|(_, group)| !is_shown(group));
        let say = |(way, group): (Way, &Group)| {
            let verdict = group.verdict.as_ref();
            let after = after(verdict.and_then(|verdict| verdict.last_hop.as_ref()));
            let cause = verdict.map(|verdict| format!(": {}", verdict.cause));
            let (count, class) = (group.count, group.class.as_str());
            format!(
                "of the other packets, {count} {way} {class}{after}{}",
                cause.unwrap_or_default(),
                way = way.as_str(),
            )
        };
        others.map(say).collect()
    }
}
