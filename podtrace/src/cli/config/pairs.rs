//! Settings of one table that contradict each other: which of them counted would be chance.
use clap::{Command, Parser as _, error::ErrorKind};

use super::{File, Setting, option};
use crate::cli::Cli;

/// Lines that lack nothing of what a setting could need, by their commands. A setting replaces the
/// option of its name.
static LINES: [(&str, &[&[&str]]); 9] = [
    ("trace", &[TRACED, WRITTEN]),
    ("record", &[WRITTEN]),
    ("flows", &[TRACED]),
    ("replay", &[READ]),
    ("stats", &[READ]),
    ("report", &[&["--write=x", "x", "--", "icmp"]]),
    (
        "export",
        &[
            &["--format=pcapng", "--write=y", "x", "--", "icmp"],
            &["--format=otlp", "x", "--", "icmp"],
        ],
    ),
    ("diagnose", &[&["a", "b"]]),
    ("topology", &[&[]]),
];
const TRACED: &[&str] = &["--interface=cni0", "--pod=web", "icmp"];
const WRITTEN: &[&str] = &[
    "--interface=cni0",
    "--pod=web",
    "--write=x",
    "--rotate-size=1MB",
    "icmp",
];
const READ: &[&str] = &["--interface=cni0", "x", "--", "icmp"];

impl File<'_> {
    /// Refuses two settings of a table that fit each for itself, but not together in any command
    /// that has both.
    pub(super) fn check_pairs(
        &self,
        at: usize,
        title: &str,
        commands: &[&&Command],
        settings: &[Setting],
    ) -> Result<(), String> {
        let tried: Vec<_> = commands
            .iter()
            .map(|command| Tried::new(command, settings))
            .collect();
        if tried
            .iter()
            .flat_map(|tried| &tried.lines)
            .all(|line| line.is_right)
        {
            return Ok(());
        }
        for (i, one) in settings.iter().enumerate() {
            for (j, other) in settings.iter().enumerate().skip(i + 1) {
                let of_both = tried.iter().filter(|tried| tried.has(i) && tried.has(j));
                let found: Option<Vec<String>> = of_both
                    .map(|tried| tried.contradiction((i, one), (j, other)))
                    .collect();
                if let Some(why) = found.unwrap_or_default().first() {
                    let (one, other) = (&one.key, &other.key);
                    let why = why.lines().next().unwrap_or_default();
                    let words = format!("[{title}] {one} and {other} contradict each other: {why}");
                    return Err(self.wrong(at, &words));
                }
            }
        }
        Ok(())
    }
}

/// The settings of a table with the lines of a command.
struct Tried<'a> {
    command: &'a str,
    /// Whether the command has each setting.
    has: Vec<bool>,
    lines: Vec<Line>,
}

struct Line {
    words: &'static [&'static str],
    /// Whether each setting fits for itself.
    fit: Vec<bool>,
    /// Whether all of these fit together.
    is_right: bool,
}

impl<'a> Tried<'a> {
    fn new(command: &'a Command, settings: &[Setting]) -> Self {
        let name = command.get_name();
        let has = |setting: &Setting| {
            !setting.words.is_empty() && option(command, &setting.key).is_some()
        };
        let has: Vec<_> = settings.iter().map(has).collect();
        let lines = LINES.iter().find(|(known, _)| *known == name);
        let lines = lines.map_or(&[][..], |(_, lines)| *lines).iter();
        let line = |words: &&'static [&'static str]| {
            let chosen = |which: &[bool]| -> Vec<&Setting> {
                let each = settings.iter().zip(which).filter(|(_, is_it)| **is_it);
                each.map(|(setting, _)| setting).collect()
            };
            let is_right = |settings: &[&Setting]| {
                settings.len() < 2 || mistake(name, words, settings).is_none()
            };
            // Each fits for itself where all do together.
            if is_right(&chosen(&has)) {
                return Line {
                    words,
                    fit: has.clone(),
                    is_right: true,
                };
            }
            let fits = |(setting, has): (&Setting, &bool)| {
                *has && mistake(name, words, &[setting]).is_none()
            };
            let fit: Vec<_> = settings.iter().zip(&has).map(fits).collect();
            Line {
                words,
                is_right: is_right(&chosen(&fit)),
                fit,
            }
        };
        let lines = lines.map(line).collect();
        Self {
            command: name,
            lines,
            has,
        }
    }

    fn has(&self, at: usize) -> bool {
        self.has.get(at) == Some(&true)
    }

    /// Why two settings do not go together, if each fits for itself.
    fn contradiction(
        &self,
        (i, one): (usize, &Setting),
        (j, other): (usize, &Setting),
    ) -> Option<String> {
        let fits = |line: &Line, at: usize| line.fit.get(at) == Some(&true);
        let mut why = None;
        for line in self
            .lines
            .iter()
            .filter(|line| fits(line, i) && fits(line, j))
        {
            if line.is_right {
                return None;
            }
            // They may go together here.
            why = Some(mistake(self.command, line.words, &[one, other])?);
        }
        why
    }
}

/// What is wrong with a line of these settings.
fn mistake(command: &str, line: &[&str], settings: &[&Setting]) -> Option<String> {
    let is_set = |word: &str| {
        let name = word
            .strip_prefix("--")
            .and_then(|word| word.split_once('='));
        name.is_some_and(|(name, _)| settings.iter().any(|setting| setting.key == name))
    };
    let words = settings.iter().flat_map(|setting| setting.words.clone());
    let rest = line
        .iter()
        .filter(|word| !is_set(word))
        .map(|word| (*word).to_owned());
    let begin = ["podtrace", command].map(str::to_owned);
    match Cli::try_parse_from(begin.into_iter().chain(words).chain(rest)) {
        Ok(cli) => cli.command.contradiction(),
        Err(error) if error.kind() == ErrorKind::ArgumentConflict => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            Some(first.strip_prefix("error: ").unwrap_or(first).to_owned())
        }
        // What is lacking comes from the line, or is told elsewhere.
        Err(_) => None,
    }
}
