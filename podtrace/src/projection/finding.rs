//! What the packets of conversations tell together.
use std::net::IpAddr;

use crate::{
    field::{TimeNs, object},
    findings::{Finding, Party},
    rules::candidate::RuleObject,
};

object! {
    /// What the packets of one or more conversations tell together, and a single one does not:
    /// at the end, before the summary, the worst first.
    pub(crate) FindingObject<'a> as "finding" {
        /// what it is about: `reply_lost`, `request_lost`, `one_way_nat`, `pmtu_black_hole`,
        /// `accept_queue_full`, `receive_buffer_full`, `syn_unanswered`, `conntrack_race`,
        /// `dns_unanswered`, `refused`, `neighbour_unanswered`, `duplicate_address`, `one_way`,
        /// `lossy` or `asymmetric_route`
        kind: &'static str,
        /// what is found, in one sentence
        what: &'a str,
        /// how sure that is: `sure` or `likely`
        confidence: &'static str,
        /// their protocol
        protocol: &'a str,
        /// who asks
        client: PartyObject<'a>,
        /// who is asked; of a neighbour, the address that is asked for
        server: PartyObject<'a>,
        /// what it is based on: counts, hops, causes
        evidence: &'a [String],
        /// the rules of firewalls that could be the cause
        rules: Option<Vec<RuleObject>>,
        /// a command or words to check or mend it
        advice: Option<&'a str>,
        /// how many conversations show it
        conversations: u64,
        /// how many packets show it
        packets: u64,
        /// when the first of their packets was sent, nanoseconds since 1970 (UTC)
        first_ns: TimeNs,
        /// when the last of them was
        last_ns: TimeNs,
    }
}

object! {
    /// One end of a conversation.
    pub(crate) PartyObject<'a> as "party" {
        /// the pod, `namespace/name`, or the node, if it is known
        name: Option<&'a str>,
        /// whether that is a pod
        is_pod: bool,
        /// its address
        address: IpAddr,
        /// its port, of TCP and UDP
        port: Option<u16>,
    }
}

impl<'a> FindingObject<'a> {
    pub(crate) fn new(finding: &'a Finding, epoch_ns: i128) -> Self {
        Self {
            kind: finding.kind.as_str(),
            what: &finding.sentence,
            confidence: finding.confidence.as_str(),
            protocol: &finding.protocol,
            client: PartyObject::new(&finding.client),
            server: PartyObject::new(&finding.server),
            evidence: &finding.evidence,
            rules: RuleObject::all(finding.rules.iter()),
            advice: finding.advice.as_deref(),
            conversations: finding.conversations,
            packets: finding.packets,
            first_ns: TimeNs::new(epoch_ns, finding.first_ns),
            last_ns: TimeNs::new(epoch_ns, finding.last_ns),
        }
    }
}

impl<'a> PartyObject<'a> {
    fn new(party: &'a Party) -> Self {
        Self {
            name: party.name.as_deref(),
            is_pod: party.is_pod,
            address: party.address,
            port: party.port,
        }
    }
}
