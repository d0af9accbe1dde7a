//! How far the sessions were read, and what their clocks can show by now.
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::clock::nanos;

/// How far a node may be ahead of the time that has passed since its session began, in nanoseconds:
/// its begin may have been on its way for some seconds.
pub(super) const AHEAD_MAX_NS: u64 = 60_000_000_000;
/// How far its clock may be behind what its session has told, in nanoseconds.
const BEHIND_MAX_NS: u64 = 10_000_000_000;

/// How far a session was read.
pub(super) struct Progress {
    /// When its first time was read, and that time.
    begun: OnceLock<(Instant, u64)>,
    /// The time until which it was read, by its own clock.
    pub(super) reached: AtomicU64,
    /// Whether it tells of times that have not come yet.
    pub(super) is_ahead: AtomicBool,
    /// How far its times may be ahead of what has passed since it began; any if none.
    ahead_max_ns: Option<u64>,
}

impl Progress {
    pub(super) fn new(ahead_max_ns: Option<u64>) -> Self {
        Self {
            begun: OnceLock::new(),
            reached: AtomicU64::new(0),
            is_ahead: AtomicBool::new(false),
            ahead_max_ns,
        }
    }

    pub(super) fn reached(&self) -> u64 {
        self.reached.load(Ordering::Acquire)
    }

    /// What its clock can show by now, if this is its first time or there was one before.
    pub(super) fn come_ns(&self, ns: u64) -> u64 {
        let Some(ahead_max_ns) = self.ahead_max_ns else {
            return u64::MAX;
        };
        let (begun, begin_ns) = *self.begun.get_or_init(|| (Instant::now(), ns));
        let passed_ns = nanos(begun.elapsed()).saturating_add(ahead_max_ns);
        begin_ns.saturating_add(passed_ns)
    }

    /// Whether its clock cannot show this now. What was read last may be old: its reader waits for
    /// who takes it.
    pub(super) fn contradicts(&self, ns: u64) -> bool {
        let reached = self.reached();
        reached > 0 && (ns.saturating_add(BEHIND_MAX_NS) < reached || ns > self.come_ns(ns))
    }
}
