//! The clocks of nodes whose sessions are recorded meanwhile.
//!
//! They are measured as those of recordings are, by the packets that two nodes saw, and by what the
//! agents say of their clocks when they are asked in turn: the latter is known before any packet.
use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    clock::{
        nanos,
        nodes::{Clock, Crossings, Doubts, duration, signed_duration},
    },
    path::HOP_TIMEOUT,
    replay::uplinks::Uplinks,
    session::reader::{Item, Watch},
};

/// Upper bound of the packets that are remembered to compare clocks.
const PACKETS: usize = 1 << 14;
/// Clocks are measured by what was seen in this time, or in the one before: a clock that is slewed
/// runs on no straight line for long.
const WINDOW: Duration = Duration::from_secs(300);
/// How often clocks are measured anew: at first, and after [`SETTLED`].
const SOON: Duration = Duration::from_millis(20);
const SELDOM: Duration = Duration::from_secs(2);
const SETTLED: Duration = Duration::from_secs(3);

/// The clocks of all nodes.
pub(crate) struct Clocks {
    seen: Arc<Mutex<Seen>>,
    sessions: usize,
    begun: Instant,
    solved: Option<Instant>,
    last: Vec<Clock>,
}

/// What was seen of the clocks.
struct Seen {
    /// Since the window before this one began.
    long: Crossings,
    /// Since this window began.
    short: Crossings,
    since: Instant,
    /// Whether there is anything new.
    is_new: bool,
    /// The last time of each session, by its own clock.
    last_ns: Vec<u64>,
}

/// Takes what agents say of their clocks.
#[derive(Clone)]
pub(crate) struct Messages(Arc<Mutex<Seen>>);

/// The clocks as they were measured.
pub(super) struct Solved {
    pub(super) clocks: Vec<Clock>,
    pub(super) doubts: Arc<Doubts>,
}

impl Clocks {
    /// Of so many sessions, each of one clock.
    pub(crate) fn new(sessions: usize) -> Self {
        let none = || Crossings::with_capacity(sessions, PACKETS);
        Self {
            seen: Arc::new(Mutex::new(Seen {
                long: none(),
                short: none(),
                since: Instant::now(),
                is_new: true,
                last_ns: vec![0; sessions],
            })),
            sessions,
            begun: Instant::now(),
            solved: None,
            last: Vec::new(),
        }
    }

    pub(crate) fn messages(&self) -> Messages {
        Messages(Arc::clone(&self.seen))
    }

    /// Watches the packets of a session.
    pub(super) fn watch(&self, session: usize) -> Watch {
        let seen = Arc::clone(&self.seen);
        let mut uplinks = Uplinks::default();
        Box::new(move |item, event| {
            uplinks.note(item);
            if let (Item::Event, Some(event)) = (item, event)
                && let Some(side) = uplinks.side(event)
            {
                let key = event.packet.key();
                let mut seen = lock(&seen);
                seen.record(|crossings| crossings.record(session, &key, side, event.ts_ns));
                if let Some(last_ns) = seen.last_ns.get_mut(session) {
                    *last_ns = (*last_ns).max(event.ts_ns);
                }
            }
        })
    }

    /// Measures the clocks if there may be something to learn.
    pub(super) fn solve_if_due(&mut self) -> Option<Solved> {
        let pause = if self.begun.elapsed() < SETTLED {
            SOON
        } else {
            SELDOM
        };
        if self.solved.is_some_and(|solved| solved.elapsed() < pause) {
            return None;
        }
        let mut seen = lock(&self.seen);
        if !mem::take(&mut seen.is_new) {
            return None;
        }
        self.solved = Some(Instant::now());
        let clocks = seen.long.solve(&[]);
        let doubts = Arc::new(seen.long.doubts(&clocks, nanos(HOP_TIMEOUT)));
        if seen.since.elapsed() > WINDOW {
            let none = Crossings::with_capacity(self.sessions, PACKETS);
            seen.long = mem::replace(&mut seen.short, none);
            seen.since = Instant::now();
        }
        self.last.clone_from(&clocks);
        Some(Solved { clocks, doubts })
    }

    /// How far the clocks are apart, in words. `names`: of the sessions' nodes.
    pub(super) fn in_words(&self, names: &[String]) -> Vec<String> {
        let seen = lock(&self.seen);
        let Some((reference, others)) = names.split_first() else {
            return Vec::new();
        };
        let known = others
            .iter()
            .zip(self.last.iter().zip(&seen.last_ns).skip(1));
        let words =
            known.map(
                |(name, (clock, last_ns))| match clock.line.uncertainty_ns(*last_ns) {
                    Some(within_ns) if clock.is_known() => {
                        let offset = clock.line.offset_ns(*last_ns);
                        format!(
                            "clock of {name}: {} against {reference}, within {}",
                            signed_duration(offset),
                            duration(within_ns.into())
                        )
                    }
                    _ => format!("clock of {name}: not known"),
                },
            );
        words.collect()
    }
}

impl Messages {
    /// Something left the node of one session at a time, and reached that of another later; times
    /// are UTC nanoseconds by the clocks of these sessions.
    pub(crate) fn record(&self, ends: (usize, usize), times_ns: [u64; 2]) {
        let mut seen = lock(&self.0);
        seen.record(|crossings| crossings.record_message(ends, times_ns));
        for (session, ns) in [(ends.0, times_ns[0]), (ends.1, times_ns[1])] {
            if let Some(last_ns) = seen.last_ns.get_mut(session) {
                *last_ns = (*last_ns).max(ns);
            }
        }
    }
}

impl Seen {
    fn record(&mut self, record: impl Fn(&mut Crossings)) {
        record(&mut self.long);
        record(&mut self.short);
        self.is_new = true;
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
