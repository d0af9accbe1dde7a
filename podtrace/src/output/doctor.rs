//! The findings of `podtrace doctor` as text.
use anstyle::Style;
use serde::Serialize;

use super::paint::{BOLD, DIM, GREEN, Painter, RED, YELLOW};
use crate::text::{count::counted, sanitize::sanitize};

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It is there.
    Fine,
    /// It is not, and something works less well or not at all.
    Lacking,
    /// It is not, and podtrace cannot trace.
    Missing,
}

impl State {
    fn style(self) -> Style {
        match self {
            Self::Fine => GREEN,
            Self::Lacking => YELLOW,
            Self::Missing => RED,
        }
    }

    fn mark(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Lacking => "--",
            Self::Missing => "NO",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Its name.
    pub(crate) what: &'static str,
    /// How it was found.
    pub(crate) state: State,
    /// What was found, in words.
    pub(crate) found: String,
    /// What is lost, or what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) without: Option<String>,
}

impl Finding {
    /// Something that is there.
    pub(crate) fn fine(what: &'static str, found: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Fine,
            found: found.into(),
            without: None,
        }
    }

    /// Something that is not there. `without`: what is lost.
    pub(crate) fn not(
        what: &'static str,
        state: State,
        found: impl Into<String>,
        without: impl Into<String>,
    ) -> Self {
        Self {
            what,
            state,
            found: found.into(),
            without: Some(without.into()),
        }
    }
}

/// Appends a line for each finding, with what is lost below it, and the conclusion.
pub(crate) fn write(out: &mut String, findings: &[Finding], color: bool) {
    let painter = Painter { color };
    let names = findings.iter().map(|finding| finding.what.len());
    let room = names.max().unwrap_or_default();
    for finding in findings {
        painter.paint(out, finding.state.style(), finding.state.mark());
        let gap = room - finding.what.len();
        out.push_str(&format!("  {}{}  ", finding.what, " ".repeat(gap)));
        let indent = " ".repeat(room + 6);
        lines(out, &indent, &finding.found);
        if let Some(without) = &finding.without {
            out.push_str(&indent);
            painter.on(out, DIM);
            lines(out, &indent, without);
            painter.off(out, DIM);
        }
    }
    let missing = findings.iter().filter(|one| one.state == State::Missing);
    let lacking = findings.iter().filter(|one| one.state == State::Lacking);
    let (missing, lacking) = (missing.count(), lacking.count());
    let words = match (missing, lacking) {
        (0, 0) => "podtrace has all it asks for here".to_owned(),
        (0, lacking) => format!(
            "podtrace traces here, without {}",
            counted(lacking as u64, "thing")
        ),
        _ => "podtrace cannot trace here; replay, stats and export work".to_owned(),
    };
    out.push('\n');
    painter.paint(out, BOLD, &words);
    out.push('\n');
}

/// Appends lines, those after the first indented.
fn lines(out: &mut String, indent: &str, text: &str) {
    for (number, line) in text.lines().enumerate() {
        if number > 0 {
            out.push_str(indent);
        }
        out.push_str(&sanitize(line));
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_lines_with_what_is_lost_below() {
        let findings = [
            Finding::fine("kernel", "Linux 6.18"),
            Finding::not(
                "runtime",
                State::Lacking,
                "none\nanswers",
                "no names of \x1b[31mpods",
            ),
            Finding::not("types", State::Missing, "no BTF", "nothing works"),
        ];
        let shown = |findings: &[Finding]| {
            let mut out = String::new();
            write(&mut out, findings, false);
            out
        };
        insta::assert_snapshot!(shown(&findings), @r"
        ok  kernel   Linux 6.18
        --  runtime  none
                     answers
                     no names of �[31mpods
        NO  types    no BTF
                     nothing works

        podtrace cannot trace here; replay, stats and export work
        ");
        assert!(shown(&findings[..2]).ends_with("podtrace traces here, without 1 thing\n"));
        assert!(shown(&findings[..1]).ends_with("podtrace has all it asks for here\n"));
    }
}
