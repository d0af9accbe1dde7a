//! The consumer that counts.
use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use podtrace_ebpf::record::Direction;

use super::{counts::Counts, exposition::text, hops::Workload, workload::workload};
use crate::{
    model::{
        origin::Origin,
        tap::TapCount,
        tap_point::{Role, TapPoint},
    },
    path::{Path, summary::Summary},
    pipeline::consumer::{Consumer, Tick},
    session::progress::SharedProgress,
    update::Update,
    verdict::{is_judged, verdict},
    world::World,
};

/// Time between two states that others see, in nanoseconds.
const PUBLISH_NS: u64 = 250_000_000;
/// Verdicts in a second at most: each walks through the tables of its nodes, and metrics are not
/// to slow down what they measure.
const VERDICTS: u32 = 500;
const SECOND_NS: u64 = 1_000_000_000;
/// The cause of what there was no time to judge.
const NOT_JUDGED: &str = "not_judged";

/// Counts what a pipeline shows.
pub(crate) struct Metrics {
    counts: Counts,
    /// By the number of the interface, until something changes that may change it.
    places: Vec<Option<Place>>,
    /// Verdicts that are left in this second.
    verdicts: u32,
    second: u64,
    published_ns: u64,
    state: State,
}

/// Where a hop is.
#[derive(Clone, Copy)]
struct Place {
    role: Role,
    /// None where no pod is.
    pod: Option<Workload>,
}

/// The counts that others see.
type State = Arc<Mutex<Arc<Counts>>>;

/// Makes text of the last state, for whoever asks.
#[derive(Clone)]
pub(crate) struct Source {
    state: State,
    recording: Option<SharedProgress>,
}

impl Source {
    /// The metrics in the text exposition format.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let counts = Arc::clone(&self.state.lock().unwrap_or_else(PoisonError::into_inner));
        let progress = self.recording.as_ref().map(SharedProgress::get);
        text(&counts, progress.as_ref())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            counts: Counts::default(),
            places: Vec::new(),
            verdicts: VERDICTS,
            second: 0,
            published_ns: 0,
            state: State::default(),
        }
    }
}

impl Metrics {
    /// Makes text of what it counts. `recording`: the recording that is made beside, if one is.
    #[must_use]
    pub(crate) fn source(&self, recording: Option<SharedProgress>) -> Source {
        Source {
            state: Arc::clone(&self.state),
            recording,
        }
    }

    /// Why a path did not arrive, as far as there is something to judge it by.
    fn cause(&mut self, path: &Path, world: &World) -> Option<&'static str> {
        if !is_judged(path, world) {
            return None;
        }
        if self.verdicts == 0 {
            return Some(NOT_JUDGED);
        }
        self.verdicts -= 1;
        verdict(path, world).map(|verdict| verdict.cause.name())
    }

    #[inline]
    fn place(&mut self, interface: u32, world: &World) -> Place {
        match self.places.get(interface as usize) {
            Some(Some(place)) => *place,
            _ => self.look_up(interface, world),
        }
    }

    #[cold]
    fn look_up(&mut self, interface: u32, world: &World) -> Place {
        let point = world.tap_points.get(interface);
        let netns = point.and_then(TapPoint::nearest_pod);
        let place = Place {
            role: point.map_or(Role::Other, |point| point.role),
            pod: netns.map(|netns| self.workload(netns, world)),
        };
        if point.is_some() {
            let number = interface as usize;
            self.places.resize(self.places.len().max(number + 1), None);
            self.places[number] = Some(place);
        }
        place
    }

    /// The workload of a pod's namespace.
    fn workload(&mut self, netns: u64, world: &World) -> Workload {
        let Some(pod) = world.identities.known_pod(netns) else {
            return Workload::NONE;
        };
        let (namespace, name) = pod.split_once('/').unwrap_or(("", &*pod));
        let labels = world.identities.labels(&pod);
        let workload = labels.and_then(|labels| workload(name, labels));
        let hops = &mut self.counts.hops;
        hops.workload(namespace, workload.unwrap_or_default())
    }

    /// Measures the hops that no earlier path has shown, where it is certain that they follow each
    /// other. They count for the first pod on the way.
    fn measure(&mut self, path: &Path, world: &World) {
        let is_certain = !path.incomplete && !path.ambiguous && !path.packet.is_for_group();
        if !is_certain {
            return;
        }
        let mut pods = path.hops.iter().map(|hop| self.place(hop.interface, world));
        let pod = pods.find_map(|place| place.pod);
        let workload = pod.unwrap_or(Workload::NONE);
        let known = path.late_of.map_or(0, |before| before.hops);
        let mut hops = path.hops.iter().skip(known.saturating_sub(1));
        let Some(mut here) = hops.next().filter(|hop| !hop.aside) else {
            return;
        };
        let mut from = self.place(here.interface, world).role;
        for next in hops {
            // What follows a copy may be of another copy.
            if next.aside {
                return;
            }
            let to = self.place(next.interface, world).role;
            // Copies for several sockets do not follow each other.
            if here.direction != Direction::Socket {
                let ns = next.ts_ns.saturating_sub(here.ts_ns);
                self.counts.hops.add(workload, from, to, ns);
            }
            (here, from) = (next, to);
        }
    }

    fn publish(&mut self) {
        let counts = Arc::new(self.counts.clone());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = mem::replace(&mut *state, counts);
        drop(state);
        drop(before);
    }
}

impl Consumer for Metrics {
    fn on_update(&mut self, _: &Origin, update: &Update, _: &World) {
        if matches!(
            update,
            Update::TapPoint { .. }
                | Update::Removed { .. }
                | Update::Snapshot(_)
                | Update::Pods { .. }
        ) {
            self.places.clear();
        }
    }

    fn on_path(&mut self, path: &Path, world: &World) {
        let cause = self.cause(path, world);
        self.counts.add(path, cause);
        self.measure(path, world);
    }

    fn on_tick(&mut self, tick: &Tick<'_>, _: &World) -> Vec<String> {
        if tick.now_ns / SECOND_NS != self.second {
            self.second = tick.now_ns / SECOND_NS;
            self.verdicts = VERDICTS;
        }
        if tick.now_ns.saturating_sub(self.published_ns) >= PUBLISH_NS {
            self.published_ns = tick.now_ns;
            self.counts.taps = TapCount::total(tick.taps);
            self.publish();
        }
        Vec::new()
    }

    fn on_end(&mut self, summary: &Summary, _: &World) -> Vec<String> {
        self.counts.taps = summary.total();
        self.publish();
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
