//! Why packets did not arrive, counted by cause and place.
use std::{collections::HashMap, mem};

use serde::Serialize;

use crate::{
    order::Order as _,
    output::text::Tone,
    path::{Path, flood::Copies},
    stats::TapPointName,
    verdict::verdict,
    world::World,
};

/// Upper bound of the causes with a row of their own.
const CAUSES_MAX: usize = 256;
/// A path that is corrected is one of at least so many of the latest.
const LATEST: usize = 32_768;

/// The causes of all paths that did not arrive.
#[derive(Default)]
pub(crate) struct Causes {
    rows: Vec<Cause>,
    index: HashMap<Key, usize>,
    others: u64,
    /// The row of each of the latest paths, in two generations.
    latest: [HashMap<u64, usize>; 2],
}

/// What tells causes apart.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    outcome: &'static str,
    what: Option<String>,
    last: Option<TapPointName>,
}

/// One cause at one place.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cause {
    /// How the paths ended.
    pub(crate) outcome: &'static str,
    /// Why, in words.
    pub(crate) what: Option<String>,
    /// How sure that is.
    pub(crate) confidence: Option<&'static str>,
    /// A command or words to check or mend it.
    pub(crate) advice: Option<String>,
    /// What it is based on, of the first path.
    pub(crate) evidence: Vec<String>,
    /// Where they were seen last.
    #[serde(skip)]
    pub(crate) last: Option<TapPointName>,
    /// How many there are.
    pub(crate) packets: u64,
    /// The first of them.
    pub(crate) example: u64,
    #[serde(skip)]
    /// How bad it is.
    pub(crate) tone: Tone,
}

impl Causes {
    /// Counts a path, if it did not arrive.
    pub(crate) fn count(&mut self, path: &Path, world: &World) {
        let tone = Tone::of(path.outcome);
        if let Some(before) = path.late_of {
            self.remove(before.id);
        }
        if matches!(tone, Tone::Lost | Tone::Refused) || path.was_refused() {
            self.add(path, tone, world);
        }
    }

    fn add(&mut self, path: &Path, tone: Tone, world: &World) {
        let verdict = verdict(path, world);
        let key = Key {
            outcome: path.outcome.name(),
            what: verdict.as_ref().map(|verdict| verdict.cause.to_string()),
            last: last(path, world),
        };
        let row = match self.index.get(&key) {
            Some(row) => *row,
            None if self.rows.len() >= CAUSES_MAX => {
                self.others += 1;
                return;
            }
            None => {
                let (confidence, advice, evidence) = match verdict {
                    Some(verdict) => (
                        Some(verdict.confidence.as_str()),
                        verdict.advice,
                        verdict.evidence,
                    ),
                    None => (None, None, Vec::new()),
                };
                self.rows.push(Cause {
                    outcome: key.outcome,
                    what: key.what.clone(),
                    confidence,
                    advice,
                    evidence,
                    last: key.last.clone(),
                    packets: 0,
                    example: path.id,
                    tone,
                });
                let row = self.rows.len() - 1;
                self.index.insert(key, row);
                row
            }
        };
        self.rows[row].packets += 1;
        self.remember(path.id, row);
    }

    fn remember(&mut self, id: u64, row: usize) {
        let [young, old] = &mut self.latest;
        if young.len() >= LATEST {
            *old = mem::take(young);
        }
        young.insert(id, row);
    }

    /// Takes back a path that a later one corrects.
    fn remove(&mut self, id: u64) {
        let mut latest = self.latest.iter_mut();
        if let Some(row) = latest.find_map(|generation| generation.remove(&id)) {
            let row = &mut self.rows[row];
            row.packets = row.packets.saturating_sub(1);
        }
    }

    /// The causes: losses first, most packets first; and how many packets have causes beyond the
    /// bound.
    pub(crate) fn finish(self) -> (Vec<Cause>, u64) {
        let mut rows = self.rows;
        rows.retain(|row| row.packets > 0);
        rows.order_by(|a, b| (a.tone, b.packets, a.example).cmp(&(b.tone, a.packets, b.example)));
        (rows, self.others)
    }
}

/// Where a packet was seen last, copies for others not counted.
fn last(path: &Path, world: &World) -> Option<TapPointName> {
    let last = Copies::of(path, world).last(path)?;
    Some(TapPointName::of(last, world))
}
