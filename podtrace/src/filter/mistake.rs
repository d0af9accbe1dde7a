//! What is wrong with an expression, where, and what was expected there.
//!
//! libpcap says only what is wrong, in a message. Its parser reads from left to right, so the
//! place is found by parts of the expression: a part is sound as long as something can be
//! written behind it.
use std::{
    fmt, io,
    ops::Range,
    time::{Duration, Instant},
};

use terminal_size::{Width, terminal_size_of};
use thiserror::Error;

use super::{
    ETHERNET, TEXT_MAX,
    classic::ProgramError,
    libpcap,
    words::{closers, words},
};
use crate::text::{escape::escape, write::width_of};

/// What libpcap says of what is too long, or too deep.
const NO_ROOM: [&str; 2] = ["out of memory", "memory exhausted"];

/// What to do about an expression that is too long.
const INSTEAD: &str = ": name networks, as in net 10.244.0.0/16, in place of their addresses, or \
                       give --ip CIDR and --port PORT, as many as you like";

/// How long the place is looked for: names of hosts are looked up again each time.
const SEARCH_MAX: Duration = Duration::from_secs(2);

/// Columns of a long expression that are shown where there is no terminal.
const COLUMNS: usize = 200;
/// Fewer columns would show no more than a word.
const COLUMNS_MIN: usize = 30;
/// Characters of what libpcap quotes in a message.
const MESSAGE_MAX: usize = 200;
/// What stands before each line behind the first.
const INDENT: &str = "  ";
/// Stands for what is left out.
const CUT: &str = "…";

/// What libpcap says of terms that contradict each other.
const REJECTS_ALL: &str = "expression rejects all packets";

/// What can follow a part of an expression, and how that is called.
const CONTINUATIONS: [(&[&str], &str); 6] = [
    (&[" and icmp"], "and, or"),
    (&[" icmp"], "a term such as icmp, port 53 or host 10.0.0.1"),
    (&[" 10.0.0.1", " fe80::1"], "an address or a name"),
    (
        &[" port 80", " host 10.0.0.1", " proto 6"],
        "a word such as port, host, net or proto",
    ),
    (&[" 80", " 1", " 1]", " 0] = 0"], "a number"),
    (&[" = 1"], "a comparison such as = 1 or & 1 != 0"),
];

/// A mistake in an expression.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Mistake {
    text: String,
    /// In bytes of the text; empty at its end.
    place: Option<Range<usize>>,
    what: String,
    expected: Vec<&'static str>,
}

impl Mistake {
    /// The expression.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is wrong.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Where it is, in bytes of the expression; empty if something is missing there.
    #[must_use]
    pub fn place(&self) -> Option<Range<usize>> {
        self.place.clone()
    }

    /// The part of the expression that so many columns show: all, or the place and what is around it.
    fn shown(&self, columns: usize) -> Range<usize> {
        let text = &*self.text;
        if width_of(&escape(text)) <= columns {
            return 0..text.len();
        }
        let room = columns.saturating_sub(2 * width_of(CUT));
        let at = self.place.clone().map_or(0, |place| place.start);
        let (before, behind) = text.split_at_checked(at).unwrap_or(("", text));
        let least = begin(behind.chars(), room / 2);
        let width = |part: &str| width_of(&escape(part));
        let start = begin(before.chars().rev(), room - width(&behind[..least]));
        let start = before.len() - start;
        let end = begin(behind.chars(), room - width(&before[start..]));
        start..at + end
    }

    /// What could have stood there.
    #[must_use]
    pub fn expected(&self) -> &[&'static str] {
        &self.expected
    }
}

impl Mistake {
    /// Writes it with the expression in so many columns.
    fn write(&self, f: &mut impl fmt::Write, columns: usize) -> fmt::Result {
        let columns = columns.max(COLUMNS_MIN) - INDENT.len();
        let Range { start, end } = self.shown(columns);
        let part = |range: Range<usize>| escape(self.text.get(range).unwrap_or_default());
        let [before, behind] =
            [start > 0, end < self.text.len()].map(|is_cut| if is_cut { CUT } else { "" });
        write!(
            f,
            "{}\n{INDENT}{before}{}{behind}",
            self.what,
            part(start..end)
        )?;
        if let Some(place) = self.place.clone() {
            let gap = width_of(before) + width_of(&part(start..place.start));
            let carets = width_of(&part(place.start..place.end.min(end))).max(1);
            write!(f, "\n{INDENT}{}{}", " ".repeat(gap), "^".repeat(carets))?;
        }
        if !self.expected.is_empty() {
            write!(f, "\n{INDENT}expected: {}", self.expected.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = terminal_size_of(io::stderr());
        self.write(
            f,
            size.map_or(COLUMNS, |(Width(columns), _)| columns.into()),
        )
    }
}

/// The bytes of the first characters that so many columns show.
fn begin(chars: impl Iterator<Item = char>, columns: usize) -> usize {
    let (mut bytes, mut left) = (0, columns);
    for c in chars {
        let width = width_of(&escape(c.encode_utf8(&mut [0; 4])));
        let Some(rest) = left.checked_sub(width) else {
            break;
        };
        left = rest;
        bytes += c.len_utf8();
    }
    bytes
}

/// The mistake that libpcap's message is about.
pub(super) fn find(text: &str, message: &str) -> Mistake {
    let search = Search {
        text,
        words: words(text),
        until: Instant::now() + SEARCH_MAX,
    };
    if is_syntax(message) {
        return search.syntax();
    }
    let place = match message {
        REJECTS_ALL => None,
        _ if is_of_length(message) => None,
        _ => search.first_with(message),
    };
    Mistake {
        text: text.to_owned(),
        place,
        what: in_plain_words(message),
        expected: Vec::new(),
    }
}

/// The mistake of an expression that libpcap takes, and a tap cannot answer.
pub(super) fn of_program(text: &str, error: ProgramError) -> Mistake {
    let place = words(text)
        .into_iter()
        .find(|word| text.get(word.clone()) == Some("ifindex"));
    Mistake {
        text: text.to_owned(),
        what: match (place.is_some(), error) {
            (true, _) => "podtrace selects interfaces by --interface NAME, not by ifindex".into(),
            (_, ProgramError::TooLong(_)) => format!("{error}{INSTEAD}"),
            _ => error.to_string(),
        },
        place,
        expected: Vec::new(),
    }
}

/// The mistake of an expression that is longer than libpcap takes.
pub(super) fn of_length(text: &str) -> Mistake {
    Mistake {
        text: text.to_owned(),
        place: None,
        what: format!(
            "the expression is too long: {} bytes, at most {TEXT_MAX}{INSTEAD}",
            text.len()
        ),
        expected: Vec::new(),
    }
}

/// Whether libpcap had no room for an expression.
pub(super) fn is_of_length(message: &str) -> bool {
    NO_ROOM.iter().any(|words| message.contains(words))
}

fn is_syntax(message: &str) -> bool {
    message.contains("syntax error")
}

/// Some of libpcap's messages say little without its source.
fn in_plain_words(message: &str) -> String {
    match message {
        REJECTS_ALL => "no packet can match: the terms contradict each other".into(),
        "netmask not known, so 'ip broadcast' not supported" => {
            "ip broadcast needs the network's mask, which differs from tap to tap: \
             use ether broadcast, or host with the broadcast address"
                .into()
        }
        _ if is_of_length(message) => format!("the expression is too long for libpcap{INSTEAD}"),
        other => match other.char_indices().nth(MESSAGE_MAX) {
            Some((end, _)) => format!("{}{CUT}", escape(&other[..end])),
            None => escape(other),
        },
    }
}

struct Search<'a> {
    text: &'a str,
    words: Vec<Range<usize>>,
    until: Instant,
}

impl Search<'_> {
    /// What libpcap says against a text; none if nothing, or if time is up.
    fn message(&self, text: &str) -> Option<String> {
        if Instant::now() > self.until {
            return None;
        }
        libpcap::compile(text, ETHERNET).err()
    }

    /// The begin of the text with so many words.
    fn part(&self, words: usize) -> &str {
        let end = words
            .checked_sub(1)
            .and_then(|last| self.words.get(last))
            .map_or(0, |word| word.end);
        self.text.get(..end).unwrap_or_default()
    }

    /// The word at which the message first appears.
    fn first_with(&self, message: &str) -> Option<Range<usize>> {
        let all = 1..=self.words.len();
        let count = all
            .into_iter()
            .find(|count| self.message(self.part(*count)).as_deref() == Some(message))?;
        let last = self.words.get(count - 1)?.clone();
        // libpcap quotes what it cannot take, which may be more than the last word.
        let quoted = message.split(['\'', '"']).nth(1);
        let part = self.part(count);
        let quoted = quoted
            .filter(|quoted| !quoted.is_empty())
            .and_then(|quoted| {
                let start = part.rfind(quoted)?;
                Some(start..start + quoted.len())
            });
        let is_named = |word: &&Range<usize>| {
            let word = self.text.get((*word).clone()).unwrap_or_default();
            message.split(' ').any(|part| part == word)
        };
        let named = || self.words[..count].iter().rev().find(is_named).cloned();
        let closes = self.text.get(last.clone()) == Some("]");
        let before = || self.words.get(count.checked_sub(2)?).cloned();
        quoted
            .or_else(named)
            .or_else(|| before().filter(|_| closes))
            .or(Some(last))
    }

    fn syntax(&self) -> Mistake {
        let mistake = |place, what: &str, expected| Mistake {
            text: self.text.to_owned(),
            place,
            what: what.to_owned(),
            expected,
        };
        let bad = (0..self.words.len()).find(|before| !self.is_sound(self.part(before + 1)));
        if Instant::now() > self.until {
            let what = "the expression has a syntax error; looking for its place took too long, \
                        as it is long or names of hosts are looked up";
            return mistake(None, what, Vec::new());
        }
        match bad {
            Some(before) => {
                let word = self.words.get(before).cloned();
                let is_word = word
                    .clone()
                    .and_then(|word| self.text.get(word))
                    .is_some_and(|word| word.starts_with(char::is_alphanumeric));
                let what = match is_word {
                    true => "this word cannot stand here, or is none that libpcap knows",
                    false => "this cannot stand here",
                };
                mistake(word, what, self.expected(self.part(before)))
            }
            None => {
                let end = self.part(self.words.len()).len();
                let what = "the expression ends too early";
                mistake(Some(end..end), what, self.expected(self.text))
            }
        }
    }

    /// Whether something can be written behind a part, so that libpcap's parser takes all of
    /// it; what the words mean is another question.
    fn is_sound(&self, part: &str) -> bool {
        let mut ends = vec![""];
        ends.extend(CONTINUATIONS.iter().flat_map(|(ends, _)| *ends));
        ends.iter().any(|end| {
            self.completed(part, end).any(|text| {
                self.message(&text)
                    .is_none_or(|message| !is_syntax(&message))
            })
        })
    }

    /// What can follow a part.
    fn expected(&self, part: &str) -> Vec<&'static str> {
        let takes = |end: &str| {
            let mut texts = self.completed(part, end);
            texts.any(|text| {
                let message = self.message(&text);
                message.is_none_or(|message| message == REJECTS_ALL)
            })
        };
        let mut expected: Vec<&'static str> = Vec::new();
        for (ends, name) in CONTINUATIONS {
            if ends.iter().any(|end| takes(end)) {
                expected.push(name);
            }
        }
        match closers(part).chars().next() {
            Some(')') if takes(")") => expected.push(")"),
            Some(']') => expected.push("]"),
            _ => {}
        }
        expected
    }

    /// Texts that begin with a part and an end of it, with all brackets closed, and with a
    /// comparison where arithmetic needs one.
    fn completed(&self, part: &str, end: &str) -> impl Iterator<Item = String> {
        let begin = format!("{part}{end}");
        let closers = closers(&begin);
        let inner = closers.find(']').map_or(0, |at| at + 1);
        let (brackets, rest) = closers.split_at(inner);
        [
            format!("{begin}{closers}"),
            format!("{begin}{closers} = 1"),
            format!("{begin}{brackets} = 1{rest}"),
        ]
        .into_iter()
    }
}

#[cfg(test)]
mod tests;
