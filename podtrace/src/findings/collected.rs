//! Findings that are the same of several conversations, together.
use std::{cmp::Reverse, collections::hash_map::Entry, net::IpAddr};

use super::{Finding, Found, Kind};
use crate::{map::Map, order::Order as _, verdict::Confidence};

/// Upper bound of the findings that are kept.
const FINDINGS_MAX: usize = 256;
/// Upper bound of the conversations that a neighbour's finding names.
const WAITING_MAX: usize = 3;

/// What makes findings one: their kind, who asks, who is asked, and the advice.
type Key = (Kind, IpAddr, (IpAddr, Option<u16>), Option<String>);

/// The findings of all conversations.
#[derive(Clone, Debug, Default)]
pub(super) struct Collected {
    findings: Map<Key, Finding>,
    left_out: u64,
}

impl Collected {
    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    fn add(&mut self, finding: Finding) {
        let key = (
            finding.kind,
            finding.client.address,
            (finding.server.address, finding.server.port),
            finding.advice.clone(),
        );
        let is_full = self.findings.len() >= FINDINGS_MAX;
        match self.findings.entry(key) {
            Entry::Occupied(mut known) => known.get_mut().merge(finding),
            Entry::Vacant(_) if is_full => self.left_out += 1,
            Entry::Vacant(free) => drop(free.insert(finding)),
        }
    }

    /// Adds a finding about a neighbour that does not answer: what waits for it is part of it.
    pub(super) fn add_neighbour(&mut self, mut finding: Finding) {
        let address = finding.server.address;
        let mut waiting: Vec<_> = self
            .findings
            .extract_if(|_, other| other.waits_for == Some(address))
            .map(|(_, other)| other)
            .collect();
        waiting.order_by_key(|other| (other.first_ns, other.client.address));
        for other in waiting.iter().take(WAITING_MAX) {
            finding
                .evidence
                .push(format!("for it waits: {}", other.sentence));
        }
        if waiting.len() > WAITING_MAX {
            let more = waiting.len() - WAITING_MAX;
            finding.evidence.push(format!("and {more} more"));
        }
        finding.packets += waiting.iter().map(|other| other.packets).sum::<u64>();
        finding.conversations += waiting.iter().map(|other| other.conversations).sum::<u64>();
        if finding.advice.is_none() {
            finding.advice = waiting.into_iter().find_map(|other| other.advice);
        }
        self.add(finding);
    }

    /// The findings, the worst first. `is_whole`: whether podtrace sees all packets.
    pub(super) fn found(self, is_whole: bool, forgotten: u64) -> Found {
        let findings = self.findings.into_values();
        let mut findings: Vec<_> = findings
            .filter(|finding| is_whole || !finding.rests_on_absence)
            .collect();
        findings.order_by_key(|finding| {
            (
                finding.confidence != Confidence::Sure,
                finding.kind,
                Reverse(finding.packets),
                finding.first_ns,
                finding.sentence.clone(),
            )
        });
        Found {
            findings,
            left_out: self.left_out,
            forgotten,
        }
    }
}

impl Finding {
    /// Takes in the same finding of another conversation.
    fn merge(&mut self, other: Self) {
        self.conversations += other.conversations;
        self.packets += other.packets;
        self.last_ns = self.last_ns.max(other.last_ns);
        self.rests_on_absence &= other.rests_on_absence;
        let is_earlier = (other.first_ns, &other.sentence) < (self.first_ns, &self.sentence);
        if is_earlier {
            self.first_ns = other.first_ns;
            self.sentence = other.sentence;
            self.evidence = other.evidence;
            self.rules = other.rules;
            self.client = other.client;
            self.confidence = other.confidence;
        }
    }
}
