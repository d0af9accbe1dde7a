//! The clocks of nodes whose sessions are recorded meanwhile.
//!
//! They are measured as those of recordings are, by the packets that two nodes saw, and by what the
//! agents say of their clocks when they are asked in turn: the latter is known before any packet.
mod progress;

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::{
    clock::{
        nanos,
        nodes::{Clock, Crossings, Doubts, Journey},
    },
    path::HOP_TIMEOUT,
    replay::uplinks::Uplinks,
    session::reader::{Item, Watch},
};
use progress::Progress;

/// Upper bound of the packets that are remembered to compare clocks.
const PACKETS: usize = 1 << 14;
/// Clocks are measured by what was seen in this time, and in the one before: a clock that is slewed
/// runs on no straight line for long.
const WINDOW: Duration = Duration::from_secs(300);
/// How often clocks are measured anew once so many packets and messages of each session were seen;
/// before, whenever there is another.
const SELDOM: Duration = Duration::from_secs(2);
const SETTLED: u64 = 200;
/// Upper bound of the packets and messages that are compared with the clocks as they are known;
/// with more, the clocks are measured anew.
const FRESH_MAX: usize = 1 << 12;
/// Bounds of what clocks are taken to be apart, in nanoseconds.
const EXACT_NS: u64 = 1_000_000;
const INEXACT_NS: u64 = 100_000_000;
/// How long packets are held where a session does not go on.
const HOLD: Duration = Duration::from_millis(300);

/// The clocks of all nodes.
pub(crate) struct Clocks {
    seen: Arc<Mutex<Seen>>,
    /// How far each session was read.
    progress: Vec<Arc<Progress>>,
    solved: Option<Instant>,
    /// The clocks as they were measured last, and by how many packets and messages.
    last: Vec<Clock>,
    told: u64,
    /// How far two clocks may be apart after their correction.
    within_ns: u64,
    /// Until when packets were handed on at most, and since when that is so.
    held: (u64, Instant),
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
    /// How many packets and messages told of clocks.
    told: u64,
    /// What they told since the clocks were looked at.
    fresh: Vec<Journey>,
}

/// Watches sessions that begin later, and may have waited somewhere.
#[cfg(feature = "cluster")]
#[derive(Clone)]
pub(crate) struct Later(Arc<Mutex<Seen>>);

/// How far a session was read that has begun later.
#[cfg(feature = "cluster")]
pub(crate) struct Begun(Arc<Progress>);

/// Takes what agents say of their clocks.
#[derive(Clone)]
pub(crate) struct Messages(Arc<Mutex<Seen>>);

/// The clocks as they were measured.
pub(super) struct Solved {
    pub(super) clocks: Vec<Clock>,
    pub(super) doubts: Arc<Doubts>,
}

impl Clocks {
    /// Of so many sessions, each of one clock, which agents send as they record them.
    pub(crate) fn live(sessions: usize) -> Self {
        Self::new(sessions, Some(progress::AHEAD_MAX_NS))
    }

    /// The same of sessions that may have waited somewhere, so that much time is read at once.
    #[cfg(feature = "cluster")]
    pub(crate) fn queued(sessions: usize) -> Self {
        Self::new(sessions, None)
    }

    fn new(sessions: usize, ahead_max_ns: Option<u64>) -> Self {
        let none = || Crossings::with_capacity(sessions, PACKETS);
        Self {
            seen: Arc::new(Mutex::new(Seen {
                long: none(),
                short: none(),
                since: Instant::now(),
                is_new: true,
                told: 0,
                fresh: Vec::new(),
            })),
            progress: (0..sessions)
                .map(|_| Arc::new(Progress::new(ahead_max_ns)))
                .collect(),
            solved: None,
            last: Vec::new(),
            told: 0,
            within_ns: EXACT_NS,
            held: (0, Instant::now()),
        }
    }

    pub(crate) fn messages(&self) -> Messages {
        Messages(Arc::clone(&self.seen))
    }

    /// Whether all sessions have told of a time.
    pub(crate) fn have_begun(&self) -> bool {
        self.progress.iter().all(|session| session.reached() > 0)
    }

    /// Whether a session tells of a time that is not near this one, which the same clock shows now.
    pub(crate) fn contradicts(&self, session: usize, ns: u64) -> bool {
        let session = self.progress.get(session);
        session.is_some_and(|session| session.contradicts(ns))
    }

    /// Watches the packets of a session.
    pub(crate) fn watch(&self, session: usize) -> Watch {
        match self.progress.get(session) {
            Some(progress) => watch(session, (&self.seen, progress)),
            None => Box::new(|_, _| {}),
        }
    }

    /// What watches sessions that begin later.
    #[cfg(feature = "cluster")]
    pub(crate) fn later(&self) -> Later {
        Later(Arc::clone(&self.seen))
    }

    /// Takes in a session that has begun later, as the next one.
    #[cfg(feature = "cluster")]
    pub(super) fn add(&mut self, Begun(progress): Begun) {
        self.progress.push(progress);
        let mut seen = lock(&self.seen);
        seen.long.add_session();
        seen.short.add_session();
        seen.is_new = true;
    }

    /// Whether a session tells of times that have not come yet.
    pub(super) fn is_ahead(&self, session: usize) -> bool {
        let session = self.progress.get(session);
        session.is_some_and(|session| session.is_ahead.load(Ordering::Acquire))
    }

    /// Measures the clocks if there may be something to learn.
    pub(super) fn solve_if_due(&mut self) -> Option<Solved> {
        let is_recent = self.solved.is_some_and(|solved| solved.elapsed() < SELDOM);
        let mut seen = lock(&self.seen);
        let is_settled = self.told > SETTLED * self.progress.len() as u64;
        let fits = seen.fresh.len() < FRESH_MAX
            && seen.fresh.iter().all(|journey| fits(journey, &self.last));
        seen.fresh.clear();
        if is_settled && is_recent && fits || !mem::take(&mut seen.is_new) {
            return None;
        }
        self.solved = Some(Instant::now());
        self.told = seen.told;
        let clocks = seen.long.solve(&[]);
        let doubts = Arc::new(seen.long.doubts(&clocks, nanos(HOP_TIMEOUT)));
        if seen.since.elapsed() > WINDOW {
            let none = Crossings::with_capacity(self.progress.len(), PACKETS);
            seen.long = mem::replace(&mut seen.short, none);
            seen.since = Instant::now();
        }
        drop(seen);
        self.last.clone_from(&clocks);
        self.within_ns = self.within_ns();
        Some(Solved { clocks, doubts })
    }

    /// How far two clocks may be apart after their correction.
    fn within_ns(&self) -> u64 {
        let others = self.last.iter().zip(self.progress.iter()).skip(1);
        let within_ns = others.map(|(clock, session)| {
            let within_ns = clock.line.uncertainty_ns(session.reached());
            within_ns.unwrap_or(u64::MAX)
        });
        // Two others may be apart by both.
        let within_ns = within_ns.max().unwrap_or_default().saturating_mul(2);
        within_ns.clamp(EXACT_NS, INEXACT_NS)
    }

    /// The times until which each session was read, by its own clock.
    pub(crate) fn reached(&self) -> Vec<u64> {
        self.progress
            .iter()
            .map(|session| session.reached())
            .collect()
    }

    /// Until when packets may be handed on, by the reference clock: what two nodes saw of a packet
    /// is compared before either is handed on. `reached`: what [`Self::reached`] said before the clocks
    /// were measured; `is_awaited`: whether a session is waited for.
    pub(super) fn until_ns(&mut self, reached: &[u64], is_awaited: impl Fn(usize) -> bool) -> u64 {
        let reached = reached.iter().enumerate();
        let reached = reached.filter(|(session, _)| is_awaited(*session));
        let times = reached.map(|(session, reached)| {
            match self.last.get(session).filter(|_| session > 0) {
                Some(clock) => clock.line.to_reference(*reached),
                None => *reached,
            }
        });
        let Some(until_ns) = times.min() else {
            return u64::MAX;
        };
        let until_ns = until_ns.saturating_sub(self.within_ns);
        if until_ns != self.held.0 {
            self.held = (until_ns, Instant::now());
        }
        // A session that does not go on holds the others up for so long only.
        match self.held.1.elapsed() < HOLD {
            true => until_ns,
            false => u64::MAX,
        }
    }

    /// How far the clocks are apart, in words. `names`: of the sessions' nodes.
    pub(super) fn in_words(&self, names: &[String]) -> Vec<String> {
        let clocks = self.last.iter().zip(self.progress.iter()).enumerate();
        let words = clocks
            .skip(1)
            .map(|(session, (clock, progress))| clock.describe(session, names, progress.reached()));
        words.collect()
    }
}

#[cfg(feature = "cluster")]
impl Later {
    /// Watches the packets of a session, which is to be taken in as one of this number.
    pub(super) fn watch(&self, session: usize) -> (Watch, Begun) {
        let progress = Arc::new(Progress::new(None));
        let watch = watch(session, (&self.0, &progress));
        (watch, Begun(progress))
    }
}

fn watch(session: usize, (seen, progress): (&Arc<Mutex<Seen>>, &Arc<Progress>)) -> Watch {
    let (seen, progress) = (Arc::clone(seen), Arc::clone(progress));
    let mut uplinks = Uplinks::default();
    let mut come_ns = 0;
    Box::new(move |item, event| {
        uplinks.note(item);
        let ns = match (item, event) {
            (Item::Event, Some(event)) => event.ts_ns,
            (Item::Tick(tick), _) => tick.now_ns,
            _ => return,
        };
        if ns > come_ns {
            come_ns = progress.come_ns(ns);
        }
        if ns > come_ns {
            progress.is_ahead.store(true, Ordering::Release);
            return;
        }
        if let (Item::Event, Some(event)) = (item, event)
            && let Some(side) = uplinks.side(event)
        {
            let key = event.packet.key();
            let mut seen = lock(&seen);
            let journey = seen.long.record(session, &key, side, ns);
            seen.short.record(session, &key, side, ns);
            seen.learn(journey);
        }
        progress.reached.fetch_max(ns, Ordering::Release);
    })
}

impl Messages {
    /// Something left the node of one session at a time, and reached that of another later; times
    /// are UTC nanoseconds by the clocks of these sessions.
    pub(crate) fn record(&self, ends: (usize, usize), times_ns: [u64; 2]) {
        let mut seen = lock(&self.0);
        seen.long.record_message(ends, times_ns);
        seen.short.record_message(ends, times_ns);
        seen.learn(Some((ends, times_ns)));
    }
}

impl Seen {
    /// Takes note that there is something to learn. `journey`: what a packet or a message tells.
    fn learn(&mut self, journey: Option<Journey>) {
        self.is_new = true;
        self.told += 1;
        if self.fresh.len() < FRESH_MAX {
            self.fresh.extend(journey);
        }
    }
}

/// Whether something arrived later than it left, by the clocks as they were measured.
fn fits(((left, entered), times_ns): &Journey, clocks: &[Clock]) -> bool {
    let at = |session: usize, ns: u64| {
        let clock = clocks.get(session);
        clock.map(|clock| clock.line.to_reference(ns))
    };
    at(*left, times_ns[0]) < at(*entered, times_ns[1])
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
