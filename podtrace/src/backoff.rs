//! How long to wait before something that failed is tried again.
use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

/// The waits between tries, without end: each twice the last, up to a limit.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    limit: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, limit: Duration) -> Self {
        Self { next: first, limit }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.next;
        self.next = (wait * 2).min(self.limit);
        Some(wait)
    }
}

/// A wait, and up to a quarter more by chance, so that many who failed at once do not all
/// try again at once.
#[cfg_attr(
    not(any(feature = "kubernetes", test)),
    expect(
        dead_code,
        reason = "only the client of the Kubernetes API is one of many"
    )
)]
pub(crate) fn with_jitter(wait: Duration) -> Duration {
    // Seeded anew each time.
    let chance = RandomState::new().hash_one(()) % 256;
    wait + wait.mul_f64(chance as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit() {
        let backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(30));
        let waits: Vec<_> = backoff.take(6).map(|wait| wait.as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn jitter_adds_a_quarter_at_most() {
        let wait = Duration::from_secs(8);
        for _ in 0..100 {
            assert!((wait..wait + wait / 4).contains(&with_jitter(wait)));
        }
    }
}
