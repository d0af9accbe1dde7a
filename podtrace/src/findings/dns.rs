//! Queries of DNS without an answer, and those that connection tracking loses: a socket sends a
//! query for A and one for AAAA at once, both are taken up as a new flow, and the second to be
//! confirmed is dropped (kubernetes#56903).
use super::{
    Finding, Kind,
    conversation::Conversation,
    judge::Judge,
    lost::Lost,
    queries::Query,
    side::{Fate, Of},
};
use crate::{text::count::counted, verdict::Confidence};

/// How long resolvers wait for an answer (RES_TIMEOUT), in nanoseconds.
const ANSWER_NS: u64 = 5_000_000_000;
/// How far apart queries are that one look-up sends at once, in nanoseconds.
const AT_ONCE_NS: u64 = 20_000_000;

impl Query {
    /// Whether it was lost where connection tracking takes up another one of the same socket.
    fn is_raced(&self, others: &[Self], lost: &Lost) -> Option<Confidence> {
        let mut others = others.iter().filter(|other| {
            let got_through = other.is_answered || matches!(other.fate, Fate::Arrived | Fate::Left);
            other.id != self.id
                && got_through
                && other.first_ns.abs_diff(self.first_ns) <= AT_ONCE_NS
        });
        let other = others.next()?;
        let function = lost.drop.as_ref().map(|(_, function)| function.as_deref());
        match function {
            Some(Some(function)) if CONFIRMS.contains(&function) => Some(Confidence::Sure),
            // An older kernel names the function that all hooks share.
            Some(Some("nf_hook_slow") | None) | None
                if other.is_translated && !WAITS.contains(&lost.cause_name()) =>
            {
                let is_open = lost.drop.is_some() || lost.cause().is_none();
                (is_open && !lost.is_translated).then_some(Confidence::Likely)
            }
            _ => None,
        }
    }
}

/// Causes of a query that waits for a neighbour, and is lost by that.
const WAITS: [&str; 2] = ["neighbour_asked", "neighbour_failed"];

/// The kernel's functions that take up a new flow.
const CONFIRMS: [&str; 4] = [
    "nf_confirm",
    "nf_conntrack_confirm",
    "__nf_conntrack_confirm",
    "ipv4_confirm",
];

impl Judge<'_> {
    /// The queries of a conversation that have no answer.
    pub(super) fn queries(&self, talk: &Conversation) -> Vec<Finding> {
        let all = &talk.queries.0;
        let open = all.iter().filter(|query| !query.is_answered);
        open.filter_map(|query| self.query(talk, query, all))
            .collect()
    }

    fn query(&self, talk: &Conversation, query: &Query, all: &[Query]) -> Option<Finding> {
        let (client, server) = (talk.sender(Of::Client), talk.sender(Of::Server));
        let what = &query.what;
        let lost = (query.fate == Fate::Lost).then_some(talk.side(Of::Client));
        let lost = lost.and_then(|side| side.lost.as_deref());
        let own = lost.filter(|lost| lost.path == query.path);
        if let Some(own) = own
            && let Some(confidence) = query.is_raced(all, own)
        {
            return Some(race(talk, query, own, confidence));
        }
        let answer_lost = talk.side(Of::Server).lost.as_deref();
        let answer_lost = answer_lost.filter(|_| query.is_answer_lost);
        let asked = format!("asked {}", counted(query.times, "time"));
        let is_missing = matches!(query.fate, Fate::Arrived | Fate::Left);
        let has_waited = self.has_waited(query.first_ns, ANSWER_NS);
        let (why, evidence, lost) = match (answer_lost, lost) {
            (Some(lost), _) => (
                format!("the answer is lost after {}", lost.place()),
                format!("{asked}, an answer was sent"),
                Some(lost),
            ),
            (None, Some(lost)) => (
                format!("the query is lost after {}", lost.place()),
                asked,
                Some(lost),
            ),
            (None, None) if is_missing && has_waited => {
                let side = talk.side(Of::Client);
                if !side.is_from_sender || self.may_have_missed(query.first_ns) {
                    return None;
                }
                match side.exit.as_deref() {
                    Some(exit) => (
                        "nothing comes back".to_owned(),
                        format!("{asked}, the query left by {exit}"),
                        None,
                    ),
                    None => (
                        "the server does not answer".to_owned(),
                        format!("{asked}, the query arrived"),
                        None,
                    ),
                }
            }
            _ => return None,
        };
        let sentence = format!("DNS query unanswered: {client} asked {server} for {what}, {why}");
        let mut evidence = vec![evidence];
        evidence.extend(lost.map(Lost::evidence).unwrap_or_default());
        Some(Finding {
            evidence,
            packets: query.times,
            first_ns: query.first_ns,
            last_ns: query.last_ns,
            rests_on_absence: lost.is_none(),
            ..talk
                .finding(Kind::DnsUnanswered, Of::Client, sentence)
                .because(lost)
        })
    }
}

fn race(talk: &Conversation, query: &Query, lost: &Lost, confidence: Confidence) -> Finding {
    let (client, server) = (talk.sender(Of::Client), talk.sender(Of::Server));
    let sentence = format!(
        "conntrack race: {client} sent two queries to {server} at once from one socket, and {} was \
         lost where connection tracking takes up the flow",
        query.what
    );
    let mut evidence = vec!["the other query of the same socket got through".to_owned()];
    evidence.extend(lost.evidence());
    Finding {
        evidence,
        confidence,
        rules: lost.rules(),
        advice: Some(
            "options single-request-reopen or use-vc in the pod's dnsConfig, or NodeLocal \
             DNSCache; conntrack -S counts insert_failed"
                .into(),
        ),
        packets: query.times,
        first_ns: query.first_ns,
        last_ns: query.last_ns,
        ..talk.finding(Kind::ConntrackRace, Of::Client, sentence)
    }
}
