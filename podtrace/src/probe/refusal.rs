//! A program that the kernel refused, described in three lines.
use std::{
    fmt::{self, Display, Formatter},
    io::{self, Write as _},
    path::PathBuf,
};

use crate::text::escape::shown;

/// A program that the kernel refused. A file has the verifier's log, which has a thousand
/// lines or more.
#[derive(Debug)]
pub struct Refusal {
    program: &'static str,
    kernel: String,
    answer: io::Error,
    /// The verifier's last message.
    verdict: String,
    log: Log,
}

/// The place of the verifier's log.
#[derive(Debug)]
enum Log {
    Empty,
    File(PathBuf),
    Lost(io::Error),
}

impl Refusal {
    /// Writes the log to a private file.
    pub(super) fn new(program: &'static str, answer: io::Error, log: String) -> Self {
        Self {
            program,
            kernel: kernel(),
            answer,
            verdict: verdict(&log).to_owned(),
            log: if log.trim().is_empty() {
                Log::Empty
            } else {
                write(&log).map_or_else(Log::Lost, Log::File)
            },
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            program,
            kernel,
            answer,
            verdict,
            log,
        } = self;
        write!(f, "kernel {kernel} refuses the program {program}: {answer}")?;
        if !verdict.is_empty() {
            write!(f, "\nverifier: {verdict}")?;
        }
        f.write_str("\nhint: please report it")?;
        match log {
            Log::Empty => {}
            Log::File(path) => write!(f, " with the verifier's log, {}", shown(path))?,
            Log::Lost(error) => write!(f, " (the verifier's log could not be written: {error})")?,
        }
        f.write_str("; topology, replay, stats and export work on this kernel")
    }
}

/// The verifier's last message before its statistics.
fn verdict(log: &str) -> &str {
    let is_statistics = |line: &&str| {
        let begins = ["processed ", "verification time", "stack depth"];
        line.is_empty() || begins.iter().any(|begin| line.starts_with(begin))
    };
    let mut lines = log.lines().rev().map(str::trim);
    lines.find(|line| !is_statistics(line)).unwrap_or_default()
}

fn write(log: &str) -> io::Result<PathBuf> {
    let mut file = tempfile::Builder::new()
        .prefix("podtrace-verifier-")
        .suffix(".log")
        .tempfile()?;
    file.write_all(log.as_bytes())?;
    Ok(file.keep()?.1)
}

/// The running kernel's release.
fn kernel() -> String {
    let names = nix::sys::utsname::uname();
    let release = names.as_ref().map(|names| names.release());
    release.map_or_else(|_| "of unknown release".into(), shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_takes_three_lines() {
        let log = "0: (bf) r6 = r1\nR4 invalid zero-sized read: u64=[0,63]\n\
                   verification time 12 usec\nstack depth 216+0\n\
                   processed 12 insns (limit 1000000) max_states_per_insn 0\n\n";
        let refusal = Refusal::new("pt_ingress", io::ErrorKind::InvalidInput.into(), log.into());
        let Log::File(path) = &refusal.log else {
            panic!("{refusal}");
        };
        assert_eq!(std::fs::read_to_string(path).unwrap(), log);
        std::fs::remove_file(path).unwrap();
        let message = refusal.to_string();
        assert_eq!(message.lines().count(), 3, "{message}");
        assert!(
            message.contains(" refuses the program pt_ingress: "),
            "{message}"
        );
        assert!(
            message.contains("\nverifier: R4 invalid zero-sized read"),
            "{message}"
        );
        assert!(message.contains(&path.display().to_string()), "{message}");
    }

    #[test]
    fn log_that_is_empty_leaves_no_file() {
        let refusal = Refusal::new(
            "pt_egress",
            io::ErrorKind::InvalidInput.into(),
            String::new(),
        );
        let message = refusal.to_string();
        assert_eq!(message.lines().count(), 2, "{message}");
        assert!(matches!(refusal.log, Log::Empty));
    }
}
