//! What the pipeline hands to the thread of the screen.
//!
//! A live trace never waits: what finds no room in the queue replaces the oldest there, and is
//! counted. A replay waits for room.
use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Limits, entry::Entry, headers::Headers};
use crate::{filter::Filter, stats::flows::Flows};

/// Upper bound of the notices that wait.
pub(super) const NOTICES_MAX: usize = 100;
/// How long a replay waits before it looks again whether the screen is still there.
const LOOK: Duration = Duration::from_millis(100);

/// Shared by the consumer and the screen.
pub(super) struct Shared {
    inbox: Mutex<Inbox>,
    /// The screen has taken what was there.
    taken: Condvar,
    pub(super) headers: Mutex<Headers>,
    pub(super) flows: Mutex<Flows>,
    /// What was typed.
    filter: Mutex<Option<Arc<Filter>>>,
    pub(super) events: AtomicU64,
    /// The screen wants another part of the recording: nothing of this one is taken any more.
    is_left: AtomicBool,
    queue_bytes: usize,
    pub(super) waits: bool,
}

/// What the screen has not taken yet.
#[derive(Default)]
pub(super) struct Inbox {
    entries: VecDeque<Entry>,
    bytes: usize,
    notices: VecDeque<String>,
    /// Paths that were replaced before the screen took them.
    not_shown: u64,
    pub(super) counts: Counts,
    /// What is traced, or replayed.
    pub(super) of: String,
    /// How far the files are read.
    pub(super) progress: String,
    /// Nothing more will come.
    pub(super) has_ended: bool,
    /// The screen is to go.
    pub(super) is_abandoned: bool,
    /// The screen takes nothing any more.
    is_closed: bool,
    /// The text for after the screen.
    pub(super) summary: String,
    /// From when on the screen wants the recording to be read again, in nanoseconds since 1970
    /// (UTC).
    reread_from_ns: Option<u64>,
}

/// Counts for the foot line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) packets: u64,
    pub(super) events: u64,
    pub(super) filtered: u64,
    pub(super) lost: u64,
    pub(super) not_shown: u64,
}

/// What the screen takes at once.
pub(super) struct Taken {
    pub(super) entries: VecDeque<Entry>,
    pub(super) notices: VecDeque<String>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(limits: Limits, vxlan_ports: &[u16]) -> Self {
        Self {
            inbox: Mutex::default(),
            taken: Condvar::new(),
            headers: Mutex::new(Headers::new(limits.header_bytes, vxlan_ports)),
            flows: Mutex::default(),
            filter: Mutex::default(),
            events: AtomicU64::new(0),
            is_left: AtomicBool::new(false),
            queue_bytes: limits.queue_bytes,
            waits: limits.waits,
        }
    }

    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        lock(&self.inbox)
    }

    /// Hands a path to the screen.
    pub(super) fn push(&self, entry: Entry) {
        let bytes = entry.bytes();
        let mut inbox = self.inbox();
        inbox.counts.packets += 1;
        while self.waits && inbox.waits_for_room(bytes, self.queue_bytes) {
            let waited = self.taken.wait_timeout(inbox, LOOK);
            inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if self.is_left() {
            return;
        }
        inbox.bytes += bytes;
        inbox.entries.push_back(entry);
        while inbox.bytes > self.queue_bytes && inbox.entries.len() > 1 {
            if let Some(oldest) = inbox.entries.pop_front() {
                inbox.bytes -= oldest.bytes();
                inbox.not_shown += 1;
            }
        }
    }

    /// Counts a path that the screen does not get.
    pub(super) fn pass_over(&self) {
        let mut inbox = self.inbox();
        inbox.counts.packets += 1;
        inbox.not_shown += 1;
    }

    /// Looks for what the user has typed from now on.
    pub(super) fn set_filter(&self, filter: Option<Arc<Filter>>) {
        *lock(&self.filter) = filter;
    }

    /// Whether a packet matches what the user has typed; not if that is nothing.
    pub(super) fn wants(&self, packet: u64) -> bool {
        let filter = lock(&self.filter);
        let filter = filter.as_ref();
        filter.is_some_and(|filter| lock(&self.headers).matches(packet, filter) == Some(true))
    }

    pub(super) fn notice(&self, text: String) {
        let mut inbox = self.inbox();
        if inbox.notices.len() >= NOTICES_MAX {
            inbox.notices.pop_front();
        }
        inbox.notices.push_back(text);
    }

    /// All that waits.
    pub(super) fn take(&self) -> Taken {
        let mut inbox = self.inbox();
        inbox.bytes = 0;
        let taken = Taken {
            entries: std::mem::take(&mut inbox.entries),
            notices: std::mem::take(&mut inbox.notices),
        };
        self.taken.notify_all();
        taken
    }

    pub(super) fn counts(&self) -> Counts {
        let inbox = self.inbox();
        Counts {
            events: self.events.load(Ordering::Relaxed),
            not_shown: inbox.not_shown,
            ..inbox.counts
        }
    }

    pub(super) fn not_shown(&self) -> u64 {
        self.inbox().not_shown
    }

    /// Asks for the recording from a time on, in nanoseconds since 1970 (UTC), instead of what is
    /// being read.
    pub(super) fn reread(&self, from_ns: u64) {
        let mut inbox = self.inbox();
        self.is_left.store(true, Ordering::Relaxed);
        inbox.reread_from_ns = Some(from_ns);
        inbox.entries.clear();
        inbox.bytes = 0;
        inbox.has_ended = false;
        self.taken.notify_all();
    }

    /// Whether what is being read is not wanted any more.
    pub(super) fn is_left(&self) -> bool {
        self.is_left.load(Ordering::Relaxed)
    }

    /// Waits until the screen wants the recording from a time on, or is gone; begins anew for the
    /// former.
    pub(super) fn next_part(&self) -> Option<u64> {
        let mut inbox = self.inbox();
        while !inbox.is_closed {
            if let Some(from_ns) = inbox.reread_from_ns.take() {
                inbox.counts = Counts::default();
                inbox.summary.clear();
                self.events.store(0, Ordering::Relaxed);
                lock(&self.headers).clear();
                *lock(&self.flows) = Flows::default();
                self.is_left.store(false, Ordering::Relaxed);
                return Some(from_ns);
            }
            inbox = self
                .taken
                .wait(inbox)
                .unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Nothing is taken any more, and nobody waits.
    pub(super) fn close(&self) {
        let mut inbox = self.inbox();
        inbox.is_closed = true;
        self.taken.notify_all();
    }

    /// Makes the screen go.
    pub(super) fn abandon(&self) {
        self.inbox().is_abandoned = true;
    }
}

impl Inbox {
    /// How many paths wait.
    pub(super) fn waiting(&self) -> usize {
        self.entries.len()
    }

    fn waits_for_room(&self, bytes: usize, limit: usize) -> bool {
        let is_full = self.bytes + bytes > limit && !self.entries.is_empty();
        is_full && !self.is_closed && !self.is_abandoned && self.reread_from_ns.is_none()
    }
}
