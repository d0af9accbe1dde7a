//! Interfaces that are not watched yet: those of other pods tell nothing about the two.
use std::{borrow::Cow, collections::BTreeSet};

use super::Diagnosis;
use crate::{
    path::{Outcome, Path},
    update::Update,
    world::World,
};

/// Upper bound of the pods that are known.
const PODS_MAX: usize = 4096;

/// What was not watched for some time.
#[derive(Debug, Default)]
pub(super) struct Unwatched {
    /// Whether interfaces are among them that are no pod's, which any packet may pass.
    is_any: bool,
    /// Until when there were such.
    until_ns: u64,
    /// The pods, by namespace, that the others are of or lead to.
    pods: BTreeSet<u64>,
}

impl Unwatched {
    fn take(&mut self, update: &Update) {
        let Update::Attaching {
            left,
            refused,
            partial,
            pods,
            ts_ns,
            ..
        } = update
        else {
            return;
        };
        let is_none = (*left, *refused, *partial) == (0, 0, 0);
        if is_none && self.is_any {
            *self = Self {
                until_ns: *ts_ns,
                ..Self::default()
            };
        }
        self.is_any |= !is_none && pods.is_empty() || self.pods.len() >= PODS_MAX;
        if !self.is_any {
            self.pods.extend(pods);
        }
    }

    /// Whether a packet that was seen first at that time has passed none of them, if it is of these
    /// pods.
    fn spares(&self, first_ns: u64, pods: [u64; 2]) -> bool {
        let is_theirs = pods.iter().any(|pod| self.pods.contains(pod));
        !self.is_any && first_ns > self.until_ns && !is_theirs
    }
}

impl Diagnosis {
    /// Takes what an update tells of interfaces that are not watched.
    pub fn note_unwatched(&mut self, update: &Update) {
        self.unwatched.take(update);
    }

    /// A path as it would have ended if interfaces that the packets of the two do not pass had been
    /// watched.
    pub(super) fn as_watched<'a>(&mut self, path: &'a Path, world: &World) -> Cow<'a, Path> {
        if !path.is_unwatched {
            return Cow::Borrowed(path);
        }
        let first_ns = path.first_ns();
        let [Some(source), Some(destination)] = self.located(world) else {
            return Cow::Borrowed(path);
        };
        let (Some(source), Some(destination)) = (source.netns, destination.netns) else {
            return Cow::Borrowed(path);
        };
        if !self.unwatched.spares(first_ns, [source, destination]) {
            return Cow::Borrowed(path);
        }
        Cow::Owned(Path {
            outcome: match path.packet.question() {
                Some(_) => Outcome::Unanswered,
                None => Outcome::NotSeenFurther,
            },
            incomplete: false,
            ..path.clone()
        })
    }
}
