//! Queries of DNS without an answer, and those that connection tracking loses: a socket sends a
//! query for A and one for AAAA at once, both are taken up as a new flow, and the second to be
//! confirmed is dropped (kubernetes#56903).
use super::{
    Finding, Kind,
    conversation::Conversation,
    judge::Judge,
    lost::Lost,
    side::{Fate, Of},
};
use crate::{packet::Dns, path::Path, text::count::counted, verdict::Confidence};

/// Upper bound of the queries that are known of a conversation.
const QUERIES_MAX: usize = 4;
/// How long resolvers wait for an answer (RES_TIMEOUT), in nanoseconds.
const ANSWER_NS: u64 = 5_000_000_000;
/// How far apart queries are that one look-up sends at once, in nanoseconds.
const AT_ONCE_NS: u64 = 20_000_000;

/// The newest queries of a conversation.
#[derive(Clone, Debug, Default)]
pub(super) struct Queries(Vec<Query>);

#[derive(Clone, Debug)]
struct Query {
    id: u16,
    /// The number of its newest path.
    path: u64,
    /// Its type and name, as long as it has no answer.
    what: Box<str>,
    first_ns: u64,
    last_ns: u64,
    times: u64,
    fate: Fate,
    is_answered: bool,
    is_translated: bool,
    is_answer_lost: bool,
}

impl Queries {
    /// Upper bound of the bytes of all.
    #[cfg(test)]
    pub(super) const BYTES_MAX: usize = QUERIES_MAX * (size_of::<Query>() + 256);

    /// Adds the path of a query or a response.
    pub(super) fn add(&mut self, path: &Path, dns: &Dns, fate: Fate) {
        let corrected = path.late_of.map(|before| before.id);
        let known = self.0.iter_mut().find(|query| query.id == dns.id);
        if dns.is_response {
            if let Some(query) = known {
                query.answer(fate);
            }
            return;
        }
        let ts_ns = path.hops.first().map_or(0, |hop| hop.ts_ns);
        match known {
            Some(query) if corrected.is_none_or(|id| id == query.path) => {
                query.times += u64::from(corrected.is_none());
                query.path = path.id;
                query.last_ns = query.last_ns.max(ts_ns);
                query.fate = fate;
            }
            Some(_) => {}
            None => {
                if self.0.len() >= QUERIES_MAX {
                    let answered = self.0.iter().position(|query| query.is_answered);
                    self.0.remove(answered.unwrap_or(0));
                }
                let mut translations = path.translations.iter();
                self.0.push(Query {
                    id: dns.id,
                    path: path.id,
                    what: what(dns),
                    first_ns: ts_ns,
                    last_ns: ts_ns,
                    times: 1,
                    fate,
                    is_answered: false,
                    is_translated: translations.any(|one| one.is_of_destination()),
                    is_answer_lost: false,
                });
            }
        }
    }
}

/// `AAAA web.default.svc`
fn what(dns: &Dns) -> Box<str> {
    let kind = dns.kind_name().unwrap_or_default();
    let name = dns.name.as_deref().unwrap_or_default();
    format!("{kind} {name}").trim().into()
}

impl Query {
    fn answer(&mut self, fate: Fate) {
        self.is_answer_lost = fate == Fate::Lost;
        if !self.is_answer_lost {
            self.is_answered = true;
            self.what = Box::default();
        }
    }

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
                if other.is_translated && lost.cause_name() != "neighbour_failed" =>
            {
                let is_open = lost.drop.is_some() || lost.cause().is_none();
                (is_open && !lost.is_translated).then_some(Confidence::Likely)
            }
            _ => None,
        }
    }
}

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
            confidence: lost.map_or(Confidence::Likely, Lost::confidence),
            advice: lost.and_then(Lost::advice),
            packets: query.times,
            first_ns: query.first_ns,
            last_ns: query.last_ns,
            rests_on_absence: lost.is_none(),
            waits_for: lost.and_then(Lost::neighbour),
            ..talk.finding(Kind::DnsUnanswered, Of::Client, sentence)
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
