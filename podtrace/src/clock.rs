//! The clocks: events carry CLOCK_MONOTONIC, people read UTC.
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

/// A length of time in nanoseconds; one of centuries is cut.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// UTC nanoseconds at CLOCK_MONOTONIC zero.
///
/// # Errors
/// When the clock cannot be read.
pub fn epoch_ns() -> io::Result<i128> {
    Ok(jiff::Timestamp::now().as_nanosecond() - i128::from(monotonic_ns()?))
}
