//! The progress of reading files, in one line on a terminal.
use std::{
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    session::input::{bytes_read, events_read},
    text::{count::counted, size::bytes},
};

/// How often the line is shown; shorter work shows none.
const EVERY: Duration = Duration::from_secs(1);

/// Replaces the last line by this one, or clears it if this one is empty.
pub(crate) type ShowLine = Box<dyn Fn(String) + Send>;

/// Shows the progress until it is dropped.
pub(super) struct Progress {
    /// Dropped to end the thread.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// `total`: how many bytes will be read, if that is known.
    pub(super) fn start(total: Option<u64>, show: ShowLine) -> Self {
        let (end, ended) = channel::<()>();
        let began = Began {
            bytes: bytes_read(),
            events: events_read(),
            at: Instant::now(),
        };
        let thread = thread::Builder::new()
            .name("progress".into())
            .spawn(move || {
                while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    show(began.line(total));
                }
                show(String::new());
            });
        Self {
            end: Some(end),
            // Without a thread nothing is shown.
            thread: thread.ok(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // The thread only shows lines, so a panic in it has no consequence.
            let _ = thread.join();
        }
    }
}

/// The counts at the start.
struct Began {
    bytes: u64,
    events: u64,
    at: Instant,
}

impl Began {
    fn line(&self, total: Option<u64>) -> String {
        let (read, events) = (bytes_read() - self.bytes, events_read() - self.events);
        line(read, total, events, self.at.elapsed())
    }
}

/// `1.2 GB of 3.4 GB (35 %) · 5000000 events · 210.0 MB/s · 11 s left`
fn line(read: u64, total: Option<u64>, events: u64, elapsed: Duration) -> String {
    let rate = (read as f64 / elapsed.as_secs_f64().max(0.001)) as u64;
    let (of, left) = match total {
        // The file may have grown meanwhile.
        Some(total) if total > 0 && read <= total => {
            let percent = u128::from(read) * 100 / u128::from(total);
            let of = format!(" of {} ({percent} %)", bytes(total));
            let left = (rate > 0).then(|| format!(" · {}", time_left((total - read) / rate)));
            (of, left.unwrap_or_default())
        }
        _ => Default::default(),
    };
    format!(
        "{}{of} · {} · {}/s{left}",
        bytes(read),
        counted(events, "event"),
        bytes(rate)
    )
}

/// `11 s left`, `2 min 5 s left`, `3 h 20 min left`
fn time_left(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s left"),
        (0, _) => format!("{minutes} min {} s left", seconds % 60),
        _ => format!("{hours} h {} min left", minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_how_far_it_is_and_how_long_it_takes() {
        let seconds = Duration::from_secs;
        for (read, total, elapsed, shown) in [
            (
                50,
                Some(200),
                10,
                "50 B of 200 B (25 %) · 7 events · 5 B/s · 30 s left",
            ),
            (
                1,
                Some(1000),
                1,
                "1 B of 1.0 kB (0 %) · 7 events · 1 B/s · 16 min 39 s left",
            ),
            (
                1,
                Some(15_001),
                1,
                "1 B of 15.0 kB (0 %) · 7 events · 1 B/s · 4 h 10 min left",
            ),
            (0, Some(200), 10, "0 B of 200 B (0 %) · 7 events · 0 B/s"),
            (300, Some(200), 10, "300 B · 7 events · 30 B/s"),
            (300, None, 10, "300 B · 7 events · 30 B/s"),
        ] {
            assert_eq!(line(read, total, 7, seconds(elapsed)), shown);
        }
    }
}
