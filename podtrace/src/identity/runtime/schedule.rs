//! When the next list is due.
use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;

use crate::identity::cri::PodList;

/// Shortest time between two lists, so that few lists answer a burst of prompts, such as
/// from a starting pod.
const MIN_GAP: Duration = Duration::from_millis(20);
/// Lists after the one that answers a prompt: a runtime sends its event before its own
/// lists show the change.
const TRAIL: [Duration; 3] = [
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_secs(1),
];
/// The first step of [`TRAIL`] whose list is made even if nothing is known to be missing: a busy
/// runtime takes a second to show what it said, and no later event tells.
const ALWAYS: usize = 1;
/// Time between lists if nothing happens and the runtime reports changes.
const CALM_WITH_EVENTS: Duration = Duration::from_secs(60);
/// Time between lists if nothing happens and the runtime does not report changes.
const CALM_WITHOUT_EVENTS: Duration = Duration::from_secs(10);
/// Upper bound of the ids to look for in the next lists.
const MAX_AWAITED: usize = 1024;

/// When the next list is due, from prompts and lists.
#[derive(Debug)]
pub(super) struct Schedule {
    due: Instant,
    /// The earliest time of the next list.
    not_before: Instant,
    /// How many lists of the trail were made.
    step: usize,
    /// Ids that events named and no list has shown.
    awaited: HashSet<String>,
    /// Whether the runtime reports changes.
    pub(super) has_events: bool,
}

impl Schedule {
    /// The first list is due at once.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            due: now,
            not_before: now,
            step: 0,
            awaited: HashSet::new(),
            has_events: true,
        }
    }

    /// When the next list is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Records a change; the id is one that a list should show.
    pub(super) fn prompted(&mut self, now: Instant, id: Option<String>) {
        if let Some(id) = id
            && self.awaited.len() < MAX_AWAITED
        {
            self.awaited.insert(id);
        }
        self.step = 0;
        self.due = self.due.min(now.max(self.not_before));
    }

    /// A list was made, begun at `started`; `in_transition` if it shows something
    /// that is just changing.
    pub(super) fn listed(
        &mut self,
        started: Instant,
        now: Instant,
        list: &PodList,
        in_transition: bool,
    ) {
        self.meet(list);
        let in_transition = in_transition || !self.awaited.is_empty();
        // Lists take at most half of the runtime's time, however long each takes.
        self.not_before = now + MIN_GAP.max(now - started);
        if !in_transition {
            self.step = self.step.max(ALWAYS);
        }
        let wait = match TRAIL.get(self.step) {
            Some(&wait) => wait,
            None if self.has_events => CALM_WITH_EVENTS,
            None => CALM_WITHOUT_EVENTS,
        };
        if self.step >= TRAIL.len() {
            // An id that did not appear by now is not a pod's.
            self.awaited.clear();
        }
        self.step += 1;
        self.due = (now + wait).max(self.not_before);
    }

    /// Whether the last list was the last of its trail.
    pub(super) fn is_calm(&self) -> bool {
        self.step > TRAIL.len()
    }

    fn meet(&mut self, list: &PodList) {
        if self.awaited.is_empty() {
            return;
        }
        for pod in &list.pods {
            self.awaited.remove(&pod.sandbox_id);
            for container in &pod.containers {
                self.awaited.remove(&container.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pod::Pod;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Waits between lists that take no time, until the calm.
    fn waits(schedule: &mut Schedule, now: &mut Instant, list: &PodList, moving: bool) -> Vec<u64> {
        let mut waits = Vec::new();
        loop {
            schedule.listed(*now, *now, list, moving);
            let wait = schedule.due() - *now;
            waits.push(u64::try_from(wait.as_millis()).unwrap());
            *now = schedule.due();
            if wait >= CALM_WITHOUT_EVENTS {
                return waits;
            }
        }
    }

    #[test]
    fn a_settled_list_is_followed_by_two() {
        let mut now = Instant::now();
        let mut schedule = Schedule::new(now);
        let list = PodList::default();
        let settled = [100, 1000, 60_000];
        assert_eq!(waits(&mut schedule, &mut now, &list, false), settled);
        schedule.has_events = false;
        schedule.prompted(now, None);
        let settled = [100, 1000, 10_000];
        assert_eq!(waits(&mut schedule, &mut now, &list, false), settled);
    }

    #[test]
    fn awaited_changes_are_polled_more_often() {
        const SETTLED: [u64; 3] = [100, 1000, 60_000];
        let mut now = Instant::now();
        let mut schedule = Schedule::new(now);
        schedule.prompted(now, Some("abc".to_owned()));
        let list = PodList::default();
        assert_eq!(
            waits(&mut schedule, &mut now, &list, false),
            [20, 100, 1000, 60_000]
        );
        // It did not come, and is no longer awaited.
        schedule.prompted(now, None);
        assert_eq!(waits(&mut schedule, &mut now, &list, false), SETTLED);
        schedule.prompted(now, Some("abc".to_owned()));
        let list = PodList {
            pods: vec![Pod {
                sandbox_id: "abc".to_owned(),
                ..Pod::default()
            }],
            ..PodList::default()
        };
        assert_eq!(waits(&mut schedule, &mut now, &list, false), SETTLED);
    }

    #[test]
    fn a_burst_of_prompts_keeps_the_gap_and_is_not_put_off() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        schedule.listed(start, start + millis(5), &PodList::default(), false);
        let mut now = start + millis(6);
        while now < start + millis(20) {
            schedule.prompted(now, None);
            assert_eq!(schedule.due(), start + millis(25));
            now += millis(1);
        }
        // Long lists are followed by a pause of the same length.
        schedule.listed(start, start + millis(300), &PodList::default(), false);
        schedule.prompted(start + millis(301), None);
        assert_eq!(schedule.due(), start + millis(600));
    }
}
