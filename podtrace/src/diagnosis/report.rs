//! The report: fields of JSON, and what text is made of.
use std::{net::IpAddr, sync::Arc};

use serde::Serialize;

use crate::{
    field::{object, texts},
    rules::candidate::RuleObject,
    verdict::Tap,
};

/// Whether the source reaches the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// It does.
    Delivered,
    /// Packets die on the way there or back.
    Lost,
    /// Somebody refuses them.
    Refused,
    /// What was seen does not tell.
    Unknown,
}

texts!(Conclusion);

object! {
    /// Whether one end reaches another, and where not.
    pub Report as "diagnosis" {
        /// `delivered`, `lost`, `refused` or `unknown`
        conclusion: Conclusion,
        /// the same in a sentence
        verdict: String,
        /// who asks
        source: ReportedEnd,
        /// who answers
        destination: ReportedEnd,
        /// `icmp`, `tcp` or `udp`; none where packets of several were looked at
        protocol: Option<&'static str>,
        /// port of the destination
        port: Option<u16>,
        /// the direction that packets died in, or of whose end nothing is known: `request` or
        /// `reply`
        direction: Option<&'static str>,
        /// the cause, as in [verdicts](#verdict), or what packets tell together, as in
        /// [findings](#finding)
        cause: Option<&'static str>,
        /// the cause in words
        what: Option<String>,
        /// how sure the cause is: `sure`, `likely` or `unknown`
        confidence: Option<&'static str>,
        /// the last tap that saw what died
        last_hop: Option<Stop>,
        /// the tap that should have seen it next
        expected_next: Option<Stop>,
        /// the rules of firewalls that could be the cause
        rules: Option<Vec<RuleObject>>,
        /// a command or words to check or mend it, or to know more
        advice: Option<String>,
        /// what it is based on, one sentence each
        evidence: Vec<String>,
        /// the packets to the destination
        request: HalfReport,
        /// the answers
        reply: HalfReport,
        /// the echo requests with DF that podtrace has sent
        ladder: Vec<Rung>,
    }
}

object! {
    /// An end that is asked about.
    pub ReportedEnd as "diagnosed end" {
        /// its name, or what was given where nobody of that name is known
        name: Arc<str>,
        /// `pod`, `service`, `node` or `address`
        kind: Option<&'static str>,
        /// the node that it is on
        node: Option<Arc<str>>,
        /// its addresses
        addresses: Vec<IpAddr>,
    }
}

object! {
    /// The packets of one direction.
    pub HalfReport as "diagnosed half" {
        /// how many were seen
        packets: u64,
        /// of them, how many arrived
        delivered: u64,
        /// how many died
        lost: u64,
        /// how many an answer refuses
        refused: u64,
        /// how many reached the pod, and no socket of a container there took them
        no_socket: u64,
        /// how many left for where podtrace does not watch
        left: u64,
        /// of how many nothing is known
        unknown: u64,
        /// the road of one of them: of one that died, if any has
        road: Vec<Stop>,
    }
}

object! {
    /// A tap on a road.
    pub Stop as "road stop" (Clone, Debug, PartialEq, Eq) {
        /// `seen`, `last` (seen there, and died before the next) or `expected` (by the nodes'
        /// tables, and not seen)
        mark: &'static str,
        /// the node
        node: Arc<str>,
        /// the pod, `namespace/name`; none on the node itself
        pod: Option<Arc<str>>,
        /// the interface
        interface: Arc<str>,
        /// `ingress` or `egress`
        direction: &'static str,
    }
}

object! {
    /// An echo request of the ladder.
    pub Rung as "rung" (Clone, Copy, Debug, PartialEq, Eq) {
        /// its length, with the IP header
        bytes: u32,
        /// whether the answer was seen
        answered: bool,
    }
}

impl HalfReport {
    /// `3 seen: 2 delivered, 1 lost`
    #[must_use]
    pub fn in_words(&self) -> String {
        let counts = [
            (self.delivered, "delivered"),
            (self.lost, "lost"),
            (self.refused, "refused"),
            (self.no_socket, "taken by no socket"),
            (self.left, "left for where podtrace does not watch"),
            (self.unknown, "unknown"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        match self.packets {
            0 => "none seen".to_owned(),
            packets => format!("{packets} seen: {}", counts.join(", ")),
        }
    }
}

/// Marks of stops.
pub(super) const SEEN: &str = "seen";
pub(super) const LAST: &str = "last";
pub(super) const EXPECTED: &str = "expected";

impl Stop {
    pub(super) fn new(mark: &'static str, tap: &Tap) -> Self {
        Self {
            mark,
            node: Arc::clone(&tap.place.node),
            pod: tap.place.pod.clone(),
            interface: Arc::clone(&tap.place.interface),
            direction: tap.direction.as_str(),
        }
    }

    /// The pod or node that it is in.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.pod.as_deref().unwrap_or(&self.node)
    }

    /// Whether a packet was seen there.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.mark != EXPECTED
    }

    /// Whether one was seen there last.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.mark == LAST
    }
}
