//! What conversations show, before the summary.
use std::fmt::Write as _;

use super::{FURTHER, Text};
use crate::{
    findings::{Finding, Found},
    output::paint::{BOLD, DIM, PLAIN},
    text::count::counted,
};

/// How many findings are shown.
const SHOWN: usize = 10;
/// How many statements are shown of each.
const STATEMENTS: usize = 6;
/// Where the text of a statement goes on.
const INDENT: &str = "       ";

impl Text {
    /// A paragraph for each of the worst findings; nothing where there is none.
    pub(super) fn finding_lines(&mut self, out: &mut String, found: &Found) {
        let begin = self.begin(out);
        let count = found.findings.len() as u64;
        if count == 0 {
            return;
        }
        out.push('\n');
        self.painter().paint(out, BOLD, &counted(count, "finding"));
        if found.forgotten > 0 {
            let forgotten = counted(found.forgotten, "conversation");
            let _ = write!(out, " · {forgotten} forgotten before the end");
        }
        out.push('\n');
        self.wrap(out, begin, FURTHER);
        for (number, finding) in (1..).zip(&found.findings).take(SHOWN) {
            self.finding(out, number, finding);
        }
        let more = count.saturating_sub(SHOWN as u64) + found.left_out;
        if more > 0 {
            let _ = writeln!(out, "  and {more} more: -o json has all");
        }
    }

    fn finding(&mut self, out: &mut String, number: usize, finding: &Finding) {
        let begin = self.begin(out);
        let painter = self.painter();
        let _ = write!(out, " {number:>2}. ");
        painter.paint(out, BOLD, &finding.sentence);
        let _ = writeln!(out, " ({})", finding.confidence.as_str());
        let statement = |out: &mut String, style, text: &str| {
            out.push_str("     ");
            painter.paint(out, style, text);
            out.push('\n');
        };
        if finding.conversations > 1 {
            let text = format!("in {} conversations", finding.conversations);
            statement(out, PLAIN, &text);
        }
        for text in finding.evidence.iter().take(STATEMENTS) {
            statement(out, PLAIN, text);
        }
        if let Some(advice) = &finding.advice {
            statement(out, DIM, &format!("try: {advice}"));
        }
        self.wrap(out, begin, INDENT);
    }
}
