//! Clocks: events carry CLOCK_MONOTONIC, people read UTC.
pub mod nodes;

use std::{io, time::Duration};

/// CLOCK_MONOTONIC in nanoseconds, the clock of `bpf_ktime_get_ns`.
///
/// # Errors
/// When the clock cannot be read.
pub fn monotonic_ns() -> io::Result<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    let ns = i128::from(now.tv_sec()) * 1_000_000_000 + i128::from(now.tv_nsec());
    u64::try_from(ns).map_err(io::Error::other)
}

/// UTC in nanoseconds since 1970.
///
/// # Errors
/// When the clock cannot be read.
pub fn utc_ns() -> io::Result<i64> {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).map_err(io::Error::other)
}

/// Converts a duration to nanoseconds; saturates after 584 years.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Number of attempts to read both clocks without an interruption.
const READINGS: u32 = 8;
/// Two readings at most this far apart, in nanoseconds, were not interrupted.
const CLOSE_NS: u64 = 500;

/// Reads CLOCK_MONOTONIC and UTC at the same instant, in nanoseconds.
///
/// An interruption between two readings would look like a difference of the clocks, so the
/// closest of several pairs is returned.
///
/// # Errors
/// When a clock cannot be read.
pub fn both_ns() -> io::Result<(u64, i64)> {
    let mut best = (u64::MAX, (0, 0));
    for _ in 0..READINGS {
        let (before, utc, after) = (monotonic_ns()?, utc_ns()?, monotonic_ns()?);
        let apart = after.saturating_sub(before);
        if apart < best.0 {
            best = (apart, (before + apart / 2, utc));
        }
        if apart <= CLOSE_NS {
            break;
        }
    }
    Ok(best.1)
}

/// UTC in nanoseconds when CLOCK_MONOTONIC was zero.
///
/// # Errors
/// When a clock cannot be read.
pub fn epoch_ns() -> io::Result<i128> {
    let (monotonic_ns, utc_ns) = both_ns()?;
    Ok(i128::from(utc_ns) - i128::from(monotonic_ns))
}
