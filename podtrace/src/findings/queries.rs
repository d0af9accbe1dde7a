//! The queries of DNS that a conversation has seen.
use super::side::Fate;
use crate::{packet::Dns, path::Path};

/// Upper bound of the queries that are known of a conversation.
const QUERIES_MAX: usize = 4;
/// The newest queries of a conversation.
#[derive(Clone, Debug, Default)]
pub(super) struct Queries(pub(super) Vec<Query>);

#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) id: u16,
    /// The number of its newest path.
    pub(super) path: u64,
    /// Its type and name, as long as it has no answer.
    pub(super) what: Box<str>,
    pub(super) first_ns: u64,
    pub(super) last_ns: u64,
    pub(super) times: u64,
    pub(super) fate: Fate,
    pub(super) is_answered: bool,
    pub(super) is_translated: bool,
    pub(super) is_answer_lost: bool,
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
        let ts_ns = path.first_ns();
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
}
