//! The packets of one direction: how many ended how, and one of each kind.
use std::collections::VecDeque;

use super::Way;
use crate::{
    path::{LateOf, Outcome, Path},
    rules::Cause,
    verdict::{Confidence, Tap, Verdict, verdict},
    world::World,
};

/// Upper bound of the ways to die that are told apart.
const GROUPS_MAX: usize = 16;
/// Upper bound of the packets of each that a later report may correct.
const IDS_MAX: usize = 64;

/// How a packet ended, as far as it says whether the one reaches the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// It arrived.
    Delivered,
    /// It died on its way.
    Lost,
    /// An answer refuses it.
    Refused,
    /// It reached its pod, and no socket of a container there took it.
    Unheard,
    /// It left for where nobody watches.
    Left,
    /// Nothing says.
    Unknown,
}

impl Class {
    pub(super) fn of(path: &Path, way: Way, verdict: Option<&Verdict>) -> Self {
        if path.was_refused() {
            return Self::Refused;
        }
        let has_cause =
            verdict.is_some_and(|verdict| !matches!(verdict.cause, Cause::Unknown { .. }));
        match Self::of_outcome(path.outcome, path.incomplete) {
            // The answer is for the socket that podtrace has opened there, or for a program from
            // outside of the pod.
            Self::Unheard if way == Way::Reply => Self::Delivered,
            Self::Left if has_cause => Self::Lost,
            Self::Lost if verdict.is_some_and(Verdict::may_wait) => Self::Unknown,
            // It may be an equal packet that went on.
            Self::Lost if path.ambiguous => Self::Unknown,
            class => class,
        }
    }

    fn of_outcome(outcome: Outcome, is_incomplete: bool) -> Self {
        match outcome {
            Outcome::Delivered => Self::Delivered,
            Outcome::NoSocket => Self::Unheard,
            Outcome::LeftForVtep(_) | Outcome::LeftNode => Self::Left,
            Outcome::Refused => Self::Refused,
            Outcome::Dropped | Outcome::Loop => Self::Lost,
            Outcome::NotSeenFurther | Outcome::Unanswered if !is_incomplete => Self::Lost,
            Outcome::NotSeenFurther
            | Outcome::Unanswered
            | Outcome::EventsLost
            | Outcome::GivenUp
            | Outcome::InFlight
            | Outcome::Unknown
            | Outcome::NoReceiver => Self::Unknown,
        }
    }

    /// Its name for so many packets.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Lost => "lost",
            Self::Refused => "refused",
            Self::Unheard => "taken by no socket",
            Self::Left => "left for where podtrace does not watch",
            Self::Unknown => "unknown",
        }
    }

    pub(super) const ALL: [Self; 6] = [
        Self::Delivered,
        Self::Lost,
        Self::Refused,
        Self::Unheard,
        Self::Left,
        Self::Unknown,
    ];
}

/// Packets that ended the same way.
pub(super) struct Group {
    pub(super) class: Class,
    /// One of them, and its verdict.
    pub(super) path: Box<Path>,
    pub(super) verdict: Option<Verdict>,
    pub(super) count: u64,
    /// The numbers of the newest.
    ids: VecDeque<u64>,
}

impl Group {
    fn key(&self) -> (Class, &'static str, Option<&Tap>) {
        key(self.class, self.verdict.as_ref())
    }

    /// The verdict, by what is known now if there was nothing to judge by.
    pub(super) fn judged(&self, world: &World) -> Option<Verdict> {
        self.verdict.clone().or_else(|| verdict(&self.path, world))
    }
}

fn key(class: Class, verdict: Option<&Verdict>) -> (Class, &'static str, Option<&Tap>) {
    let cause = verdict.map_or("", |verdict| verdict.cause.name());
    (
        class,
        cause,
        verdict.and_then(|verdict| verdict.last_hop.as_ref()),
    )
}

/// The packets of one direction.
#[derive(Default)]
pub(super) struct Half {
    counts: [u64; Class::ALL.len()],
    /// Those that did not arrive.
    pub(super) groups: Vec<Group>,
    /// One that arrived, with as many hops as any.
    pub(super) arrived: Option<Box<Path>>,
    /// One of whose end nothing is known.
    pub(super) open: Option<Box<Path>>,
    /// When the newest was last seen.
    pub(super) last_ns: u64,
}

impl Half {
    pub(super) fn add(&mut self, path: &Path, class: Class, verdict: Option<Verdict>) {
        if let Some(before) = path.late_of {
            self.take_back(before);
        }
        self.last_ns = self.last_ns.max(path.last_ns());
        self.counts[class as usize] += 1;
        match class {
            Class::Delivered => keep(&mut self.arrived, path),
            Class::Left | Class::Unknown => keep(&mut self.open, path),
            Class::Lost | Class::Refused | Class::Unheard => self.group(path, class, verdict),
        }
    }

    /// Forgets an earlier report, which a later one corrects.
    fn take_back(&mut self, before: LateOf) {
        let groups = self
            .groups
            .iter()
            .position(|group| group.ids.contains(&before.id));
        let class = match groups {
            Some(at) => {
                let group = &mut self.groups[at];
                let class = group.class;
                group.ids.retain(|id| *id != before.id);
                group.count -= 1;
                if group.count == 0 {
                    self.groups.remove(at);
                }
                class
            }
            None => match Class::of_outcome(before.outcome, before.incomplete) {
                // It waited in a queue.
                class if self.of(class) == 0 => Class::Unknown,
                class => class,
            },
        };
        let count = &mut self.counts[class as usize];
        *count = count.saturating_sub(1);
    }

    fn group(&mut self, path: &Path, class: Class, verdict: Option<Verdict>) {
        let is_full = self.groups.len() >= GROUPS_MAX;
        let wanted = key(class, verdict.as_ref());
        let known = self.groups.iter_mut().find(|group| group.key() == wanted);
        let Some(group) = known else {
            if !is_full {
                self.groups.push(Group {
                    class,
                    path: Box::new(path.clone()),
                    verdict,
                    count: 1,
                    ids: [path.id].into(),
                });
            }
            return;
        };
        group.count += 1;
        if group.ids.len() >= IDS_MAX {
            group.ids.pop_front();
        }
        group.ids.push_back(path.id);
        if rank(verdict.as_ref()) > rank(group.verdict.as_ref()) {
            *group.path = path.clone();
            group.verdict = verdict;
        }
    }

    pub(super) fn of(&self, class: Class) -> u64 {
        self.counts[class as usize]
    }

    pub(super) fn delivered(&self) -> u64 {
        self.of(Class::Delivered)
    }

    /// How many there were.
    pub(super) fn all(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many arrived or did not.
    pub(super) fn decided(&self) -> u64 {
        self.delivered() + self.of(Class::Lost) + self.of(Class::Refused) + self.of(Class::Unheard)
    }

    /// How most of these classes died.
    pub(super) fn deadliest(&self, classes: &[Class]) -> Option<&Group> {
        let groups = self.groups.iter();
        let groups = groups.filter(|group| classes.contains(&group.class));
        groups.max_by_key(|group| group.count)
    }

    /// A packet, of those that arrived if any has.
    pub(super) fn any(&self) -> Option<&Path> {
        let died = self.groups.first().map(|group| &*group.path);
        self.arrived.as_deref().or(self.open.as_deref()).or(died)
    }
}

/// The better a verdict, the higher.
fn rank(verdict: Option<&Verdict>) -> u8 {
    match verdict.map(|verdict| verdict.confidence) {
        None => 0,
        Some(Confidence::Unknown) => 1,
        Some(Confidence::Likely) => 2,
        Some(Confidence::Sure) => 3,
    }
}

/// Keeps the path with more hops.
fn keep(kept: &mut Option<Box<Path>>, path: &Path) {
    let hops = kept.as_ref().map_or(0, |kept| kept.hops.len());
    if path.hops.len() > hops {
        *kept = Some(Box::new(path.clone()));
    }
}
