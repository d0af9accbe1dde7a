//! Options of recordings.
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::parse::{count, duration, number, rotate_size, size};

/// A recording whose reader waits for it is written at least this often.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Where a session is recorded.
#[derive(Clone, Debug, Args)]
pub struct FileArgs {
    /// Record to this file (pcapng), to files in this directory, or to standard output (-), in
    /// which case messages go to standard error
    #[arg(short, long, value_name = "FILE|DIR", help_heading = "Recording")]
    pub write: Option<PathBuf>,
    /// How files are written.
    #[command(flatten)]
    pub how: WriteArgs,
    /// Begin another file when this one has this many bytes before compression, for example 100MB;
    /// at least 100kB
    #[arg(long, value_name = "SIZE", value_parser = rotate_size, requires = "write", help_heading = "Recording")]
    pub rotate_size: Option<u64>,
    /// --rotate-size in millions of bytes, 1 to 999999, as with tcpdump
    #[arg(short = 'C', value_name = "MB", value_parser = number(1..=999_999_u64),
          requires = "write", conflicts_with = "rotate_size", help_heading = "Recording")]
    pub rotate_megabytes: Option<u64>,
    /// Begin another file after this time
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "write", help_heading = "Recording")]
    pub rotate_time: Option<Duration>,
    /// --rotate-time in seconds, 1 to 31535999, as with tcpdump
    #[arg(short = 'G', value_name = "SECONDS", value_parser = number(1..=31_535_999_u64),
          requires = "write", conflicts_with = "rotate_time", help_heading = "Recording")]
    pub rotate_seconds: Option<u64>,
    /// Keep at most this many files, including the one being written and those of earlier runs
    /// with the same --write; the oldest goes first
    /// (-W as with tcpdump)
    #[arg(short = 'W', long, value_name = "N", value_parser = count,
          requires = "write", help_heading = "Recording")]
    pub keep_files: Option<u64>,
    /// Keep at most this many bytes on disk; needs --rotate-size
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "write", help_heading = "Recording")]
    pub keep_size: Option<u64>,
    /// Keep files for this long after their end
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "write", help_heading = "Recording")]
    pub keep_time: Option<Duration>,
    /// Write what was recorded to the file at least this often: when podtrace is killed (SIGKILL),
    /// no more than that is missing
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration, help_heading = "Recording")]
    pub flush: Duration,
    /// --flush 100ms: as soon as a packet is known, as with tcpdump
    #[arg(
        short = 'U',
        overrides_with = "packet_buffered",
        help_heading = "Recording"
    )]
    pub packet_buffered: bool,
    /// Tell the time also while there are no packets, to who brings several recordings in one order
    #[arg(long, hide = true, requires = "write")]
    pub ticks_always: bool,
}

/// How files are written.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct WriteArgs {
    /// Compress with zstd
    // The commands ask for --write: export has formats that zstd is not for.
    #[arg(long, help_heading = "Recording")]
    pub zstd: bool,
    /// Replace an existing file
    #[arg(long, requires = "write", help_heading = "Recording")]
    pub force: bool,
}

impl FileArgs {
    /// To a pipe whose reader shows packets as they come.
    #[must_use]
    pub fn piped() -> Self {
        Self {
            write: Some("-".into()),
            how: WriteArgs::default(),
            rotate_size: None,
            rotate_megabytes: None,
            rotate_time: None,
            rotate_seconds: None,
            keep_files: None,
            keep_size: None,
            keep_time: None,
            flush: AT_ONCE,
            packet_buffered: true,
            ticks_always: false,
        }
    }

    /// Whether the recording goes to standard output.
    #[must_use]
    pub fn is_stdout(&self) -> bool {
        self.write
            .as_deref()
            .is_some_and(|path| path.as_os_str() == "-")
    }

    /// How often what was recorded is written at least.
    #[must_use]
    pub fn flush_after(&self) -> Duration {
        match self.packet_buffered {
            true => self.flush.min(AT_ONCE),
            false => self.flush,
        }
    }

    /// Upper bound of a file's size in bytes.
    #[must_use]
    pub fn rotate_bytes(&self) -> Option<u64> {
        let megabytes = self.rotate_megabytes.map(|megabytes| megabytes * 1_000_000);
        self.rotate_size.or(megabytes)
    }

    /// Upper bound of the time that a file covers.
    #[must_use]
    pub fn rotate_after(&self) -> Option<Duration> {
        let seconds = self.rotate_seconds.map(Duration::from_secs);
        self.rotate_time.or(seconds)
    }

    /// Whether the recording has several files.
    #[must_use]
    pub fn rotates(&self) -> bool {
        self.rotate_bytes().is_some() || self.rotate_after().is_some()
    }
}
