//! What an agent tells of its consoles: who asked for what, from where, and how it ended.
//!
//! One line for the begin of a trace, one for its end, and one for what was refused; of refusals
//! there are so many a second at most, and the rest are counted: whoever reaches the agent can
//! cause them.
use std::{
    fmt::Write as _,
    mem,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::peer::Peer;
use crate::{
    sink,
    text::{count::counted, sanitize::sanitize},
};

/// How many refusals are told at once, and how long it takes until another one may be.
const REFUSALS: u32 = 10;
const EACH: Duration = Duration::from_secs(2);
/// Upper bound of what is quoted of a console, in characters.
const QUOTED_MAX: usize = 400;

/// Where it is told: a line at a time.
type Tell = Box<dyn Fn(&str) + Send + Sync>;

/// Tells what happens.
pub(super) struct Journal {
    tell: Tell,
    traces: AtomicU64,
    refusals: Mutex<Refusals>,
}

/// How many refusals may be told.
struct Refusals {
    left: u32,
    since: Instant,
    untold: u64,
}

impl Journal {
    /// At standard error, or nowhere.
    pub(super) fn new(tells: bool) -> Self {
        Self::to(match tells {
            true => Box::new(sink::tell),
            false => Box::new(|_| {}),
        })
    }

    fn to(tell: Tell) -> Self {
        Self {
            tell,
            traces: AtomicU64::new(1),
            refusals: Mutex::new(Refusals {
                left: REFUSALS,
                since: Instant::now(),
                untold: 0,
            }),
        }
    }

    /// Something that is neither a trace nor refused.
    pub(super) fn note(&self, words: &str) {
        (self.tell)(words);
    }

    /// A connection or a request was refused. `who`: safe to show.
    pub(super) fn refused(&self, who: &str, why: &str) {
        self.refused_at(who, why, Instant::now());
    }

    fn refused_at(&self, who: &str, why: &str, now: Instant) {
        let untold = {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(untold) = refusals.take(now) else {
                return;
            };
            untold
        };
        if untold > 0 {
            (self.tell)(&format!("{} more not told", counted(untold, "refusal")));
        }
        let why = why.lines().next().unwrap_or_default();
        (self.tell)(&format!("refused {who}: {}", quoted(why)));
    }

    /// A trace begins.
    pub(super) fn begin(&self, peer: &Peer, what: &str) -> Entry {
        let number = self.traces.fetch_add(1, Ordering::Relaxed);
        let Peer { who, from } = peer;
        let who = who.in_words();
        (self.tell)(&format!(
            "trace {number} for {who} from {from}: {}",
            quoted(what)
        ));
        Entry {
            number,
            who,
            since: Instant::now(),
            bytes: 0,
            end: End::Left,
        }
    }

    /// A trace has ended.
    pub(super) fn end(&self, entry: &Entry) {
        let Entry {
            number,
            who,
            since,
            bytes,
            end,
        } = entry;
        let mut line = format!(
            "trace {number} for {who} ended after {:.1} s, {bytes} bytes",
            since.elapsed().as_secs_f64()
        );
        // Writing to a string cannot fail.
        let _ = match end {
            End::Over => write!(line, ": it was over"),
            End::Asked => write!(line, ": the console asked for it"),
            End::Left => write!(line, ": the console left"),
            End::Late => write!(line, ": its time was over"),
            End::Failed(why) => {
                write!(
                    line,
                    ": failed: {}",
                    quoted(why.lines().next().unwrap_or_default())
                )
            }
        };
        (self.tell)(&line);
    }
}

impl Refusals {
    /// Whether another may be told, and how many were not before it.
    fn take(&mut self, now: Instant) -> Option<u64> {
        while self.left < REFUSALS && now.duration_since(self.since) >= EACH {
            self.left += 1;
            self.since += EACH;
        }
        if self.left == REFUSALS {
            self.since = now;
        }
        if self.left == 0 {
            self.untold += 1;
            return None;
        }
        self.left -= 1;
        Some(mem::take(&mut self.untold))
    }
}

/// A trace that was begun.
pub(super) struct Entry {
    number: u64,
    who: String,
    since: Instant,
    /// What the console got.
    pub(super) bytes: u64,
    pub(super) end: End,
}

/// How a trace has ended.
#[derive(Debug)]
pub(super) enum End {
    /// By itself.
    Over,
    /// As the console wished.
    Asked,
    /// With its connection.
    Left,
    /// It did not end when it had to.
    Late,
    Failed(String),
}

/// What a console says, in one line of bounded length.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => sanitize(&text[..end]) + "…",
        None => sanitize(text),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::agent::peer::Who;

    fn journal() -> (Journal, Arc<Mutex<Vec<String>>>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&lines);
        let tell = move |line: &str| told.lock().unwrap().push(line.to_owned());
        (Journal::to(Box::new(tell)), lines)
    }

    #[test]
    fn refusals_are_bounded_and_the_rest_is_counted() {
        let (journal, lines) = journal();
        let begin = Instant::now();
        for _ in 0..100_000 {
            journal.refused_at("10.0.0.1:5", "no\nhint: yes", begin);
        }
        assert_eq!(lines.lock().unwrap().len(), REFUSALS as usize);
        assert_eq!(lines.lock().unwrap()[0], "refused 10.0.0.1:5: no");
        journal.refused_at("10.0.0.1:6", "again", begin + EACH);
        let told = lines.lock().unwrap().split_off(REFUSALS as usize);
        assert_eq!(
            told,
            ["99990 refusals more not told", "refused 10.0.0.1:6: again"]
        );
        // After a rest there is as much room as at the begin, not more.
        for _ in 0..100 {
            journal.refused_at("10.0.0.1:7", "no", begin + 1000 * EACH);
        }
        assert_eq!(lines.lock().unwrap().len(), 2 * REFUSALS as usize);
    }

    #[test]
    fn what_a_console_says_takes_one_line() {
        let (journal, lines) = journal();
        let peer = Peer {
            who: Who::Certificate(Arc::new(["a\x1b[2J\n".to_owned()])),
            from: "10.0.0.1:5".to_owned(),
        };
        let mut entry = journal.begin(&peer, &format!("x\ny\r{}", "z".repeat(10_000)));
        entry.end = End::Failed("a\x1b\nb".to_owned());
        journal.end(&entry);
        for line in lines.lock().unwrap().iter() {
            assert!(!line.contains(char::is_control), "{line:?}");
            assert!(line.chars().count() < 2 * QUOTED_MAX, "{line:?}");
        }
    }
}
