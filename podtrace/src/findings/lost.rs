//! Where a packet of a conversation was lost, and why.
use std::{net::IpAddr, sync::Arc};

use super::Finding;
use crate::{
    path::{Outcome, Path, refusal::Reason},
    rules::{Cause, candidate::RuleCandidate},
    verdict::{Confidence, Verdict, judge, refused_by, with_view},
    world::World,
};

/// Upper bound of the bytes of one, with its texts.
#[cfg(test)]
pub(super) const BYTES_MAX: usize = size_of::<Lost>() + 1024;

/// The end of a packet that was lost.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    /// The number of its path.
    pub(super) path: u64,
    /// When it was first seen, in nanoseconds.
    pub(super) ts_ns: u64,
    /// Whether its destination was translated.
    pub(super) is_translated: bool,
    /// The kernel's reason and function, where it tells them.
    pub(super) drop: Option<(Option<String>, Option<String>)>,
    verdict: Verdict,
}

impl Lost {
    /// Judges the path of a packet that was lost.
    pub(super) fn of(path: &Path, world: &World) -> Option<Arc<Self>> {
        let verdict = with_view(world, |view| judge(path, view, world))?;
        let mut translations = path.translations.iter();
        let dropped = path.kernel_drop();
        Some(Arc::new(Self {
            path: path.id,
            ts_ns: path.first_ns(),
            is_translated: translations.any(|one| one.is_of_destination()),
            drop: dropped.map(|by| (by.reason.clone(), by.function.clone())),
            verdict,
        }))
    }

    /// The cause, if it is known.
    pub(super) fn cause(&self) -> Option<&Cause> {
        let cause = &self.verdict.cause;
        (!matches!(cause, Cause::Unknown { .. })).then_some(cause)
    }

    /// The name of the cause in JSON.
    pub(super) fn cause_name(&self) -> &'static str {
        self.verdict.cause.name()
    }

    /// The neighbour that did not answer, if that is the cause, or may be.
    pub(super) fn neighbour(&self) -> Option<IpAddr> {
        match self.verdict.cause {
            Cause::NeighbourFailed { address, .. }
            | Cause::NeighbourMissing { address, .. }
            | Cause::NoOwner { address, .. } => Some(address),
            _ => self.verdict.waits_for(),
        }
    }

    /// Whether it is too long for an interface.
    pub(super) fn is_too_long(&self) -> bool {
        let reason = self.drop.as_ref().and_then(|(reason, _)| reason.as_deref());
        matches!(self.verdict.cause, Cause::MtuExceeded { .. }) || reason == Some("PKT_TOO_BIG")
    }

    /// `cni0 ingress of worker1`
    pub(super) fn place(&self) -> String {
        match &self.verdict.last_hop {
            Some(tap) => format!(
                "{} {} of {}",
                tap.place.interface,
                tap.direction.as_str(),
                tap.place.owner()
            ),
            None => "its last hop".to_owned(),
        }
    }

    /// Statements about its end.
    pub(super) fn evidence(&self) -> Vec<String> {
        let mut evidence = vec![format!("last seen at {}", self.place())];
        if let Some(next) = &self.verdict.expected_next {
            evidence.push(format!(
                "expected next at {} {} of {}",
                next.place.interface,
                next.direction.as_str(),
                next.place.owner()
            ));
        }
        let confidence = match self.verdict.confidence {
            Confidence::Likely => " (likely)",
            _ => "",
        };
        evidence.push(format!("cause: {}{confidence}", self.verdict.cause));
        evidence.extend(self.could_be());
        evidence.extend(self.verdict.evidence.iter().cloned());
        evidence
    }

    /// What could be the cause, where its words do not say it.
    pub(super) fn could_be(&self) -> impl Iterator<Item = String> {
        self.verdict.cause.could_be()
    }

    /// The rules of firewalls that could be the cause.
    pub(super) fn rules(&self) -> Vec<RuleCandidate> {
        self.verdict.cause.rules().cloned().collect()
    }

    /// What to do about it.
    pub(super) fn advice(&self) -> Option<String> {
        self.verdict.advice.clone()
    }

    /// How sure it is that it was lost.
    pub(super) fn confidence(&self) -> Confidence {
        match (self.cause(), self.verdict.outcome) {
            (_, Outcome::Dropped) => Confidence::Sure,
            (None, _) => Confidence::Likely,
            _ => self.verdict.confidence,
        }
    }
}

/// A packet that somebody refused.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    /// Who, in words.
    pub(super) by: String,
    pub(super) reason: Reason,
    /// Its end, if that is kept.
    pub(super) end: Option<Arc<Lost>>,
}

impl Refused {
    /// Upper bound of its bytes, without its end.
    #[cfg(test)]
    pub(super) const BYTES_MAX: usize = size_of::<Self>() + 256;

    /// The refusal of a path's packet, without its end.
    pub(super) fn of(path: &Path, world: &World) -> Option<Self> {
        Some(Self {
            by: refused_by(path, world)?,
            reason: path.refusal.as_deref()?.reason,
            end: None,
        })
    }

    /// The firewall whose rule did it, if it is known.
    pub(super) fn firewall(&self) -> Option<&str> {
        match self.end.as_deref()?.cause()? {
            Cause::FirewallRule { owner, .. } => Some(&owner.name),
            _ => None,
        }
    }

    /// Statements about why.
    pub(super) fn evidence(&self) -> Vec<String> {
        let Some(end) = self.end.as_deref() else {
            return Vec::new();
        };
        let cause = self.firewall().and(end.cause());
        let cause = cause.map(|cause| format!("cause: {cause}"));
        cause.into_iter().chain(end.could_be()).collect()
    }

    /// The rules of firewalls that could have done it.
    pub(super) fn rules(&self) -> Vec<RuleCandidate> {
        self.end.as_deref().map(Lost::rules).unwrap_or_default()
    }

    /// What to do about it.
    pub(super) fn advice(&self) -> Option<String> {
        self.end.as_deref()?.advice()
    }
}

impl Finding {
    /// With what is known of a packet that was lost, but for the statements about its end.
    pub(super) fn because(self, lost: Option<&Lost>) -> Self {
        Self {
            confidence: lost.map_or(Confidence::Likely, Lost::confidence),
            rules: lost.map(Lost::rules).unwrap_or_default(),
            advice: lost.and_then(Lost::advice),
            waits_for: lost.and_then(Lost::neighbour),
            ..self
        }
    }
}

/// The length of a path's packet; of one in segments, that of the longest.
pub(super) fn length(path: &Path) -> u32 {
    /// Length of the headers of IPv4 and TCP, without options.
    const HEADERS: u32 = 40;
    let bytes = path.packet.length;
    match u32::from(path.gso_segments) {
        0 | 1 => bytes,
        segments => bytes.saturating_sub(HEADERS).div_ceil(segments) + HEADERS,
    }
}
