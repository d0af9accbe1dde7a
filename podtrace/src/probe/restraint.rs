//! Takes no more CPU time than others can spare.
//!
//! An observer yields: while its reader waits, the rings fill, and the kernel counts the lost
//! packets, so that they are reported.
use std::{io, time::Duration};

use nix::time::{ClockId, clock_gettime};

/// Added to the niceness of the threads that process packets.
const NICENESS: i32 = 10;
/// The time at the limit that may be used at once after a rest.
const BURST: Duration = Duration::from_millis(100);
/// Upper bound of one pause; another may follow.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Makes the calling thread, and all threads that it starts later, yield to others.
pub fn yield_to_others() {
    // A thread may always raise its niceness, and Linux changes that of the calling one alone.
    let _ = rustix::process::nice(NICENESS);
}

/// Limits the CPU time of the whole process relative to the elapsed time.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    /// Of one processor.
    share: f64,
    budget: Budget,
}

/// A token bucket of CPU time, which may be in debt.
#[derive(Clone, Debug)]
struct Budget {
    left: f64,
    /// The time of the last update, and the CPU time used until then.
    at: Duration,
    used: Duration,
}

impl Limit {
    /// Limits to `percent` of one processor from now on.
    ///
    /// # Errors
    /// When a clock cannot be read.
    pub(super) fn new(percent: u32) -> io::Result<Self> {
        let share = f64::from(percent) / 100.0;
        Ok(Self {
            share,
            budget: Budget {
                left: BURST.as_secs_f64() * share,
                at: now(ClockId::CLOCK_MONOTONIC)?,
                used: now(ClockId::CLOCK_PROCESS_CPUTIME_ID)?,
            },
        })
    }

    /// The time to wait before more may be used; usually none.
    ///
    /// # Errors
    /// When a clock cannot be read.
    pub(super) fn pause(&mut self) -> io::Result<Option<Duration>> {
        let at = now(ClockId::CLOCK_MONOTONIC)?;
        let used = now(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
        Ok(self.budget.pause(self.share, at, used))
    }
}

impl Budget {
    fn pause(&mut self, share: f64, at: Duration, used: Duration) -> Option<Duration> {
        let gained = at.saturating_sub(self.at).as_secs_f64() * share;
        let spent = used.saturating_sub(self.used).as_secs_f64();
        let most = BURST.as_secs_f64() * share;
        self.left = (self.left + gained).min(most) - spent;
        (self.at, self.used) = (at, used);
        if self.left >= 0.0 {
            return None;
        }
        Some(Duration::from_secs_f64(-self.left / share).min(PAUSE_MAX))
    }
}

fn now(clock: ClockId) -> io::Result<Duration> {
    Ok(clock_gettime(clock)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn budget() -> Budget {
        Budget {
            left: 0.0,
            at: Duration::ZERO,
            used: Duration::ZERO,
        }
    }

    #[test]
    fn excess_cpu_time_is_paid_back_by_pauses() {
        let mut budget = budget();
        assert_eq!(budget.pause(0.5, 10 * MS, 5 * MS), None);
        let pause = budget.pause(0.5, 20 * MS, 20 * MS).unwrap();
        assert!(pause.abs_diff(20 * MS) < MS, "{pause:?}");
        assert_eq!(budget.pause(0.5, 41 * MS, 20 * MS), None);
        // A long debt is repaid in parts.
        assert_eq!(budget.pause(0.5, 50 * MS, 9000 * MS), Some(PAUSE_MAX));
    }

    #[test]
    fn unused_share_allows_a_short_burst_only() {
        let mut budget = budget();
        assert_eq!(budget.pause(0.2, 10_000 * MS, Duration::ZERO), None);
        assert_eq!(budget.pause(0.2, 10_000 * MS, 19 * MS), None);
        assert!(budget.pause(0.2, 10_000 * MS, 25 * MS).is_some());
    }

    #[test]
    fn long_term_share_stays_within_the_limit() {
        let (mut budget, mut at, mut used) = (budget(), Duration::ZERO, Duration::ZERO);
        for turn in 0..2000 {
            (at, used) = (at + 2 * MS, used + (turn % 3) * MS);
            if let Some(pause) = budget.pause(0.1, at, used) {
                at += pause;
            }
        }
        let share = used.as_secs_f64() / at.as_secs_f64();
        assert!((0.09..0.102).contains(&share), "{share}");
    }
}
