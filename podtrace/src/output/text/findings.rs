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

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::{
        findings::{Kind, Party},
        output::text::TextOptions,
        verdict::Confidence,
    };

    fn party(address: &str, name: Option<&str>) -> Party {
        Party {
            name: name.map(Into::into),
            is_pod: name.is_some(),
            address: address.parse().unwrap(),
            port: None,
        }
    }

    fn found(count: usize) -> Found {
        let finding = Finding {
            kind: Kind::ReplyLost,
            client: party("10.244.1.2", Some("default/client")),
            server: party("10.244.2.3", None),
            protocol: "icmp".into(),
            sentence: "reply lost: what 10.244.2.3 sends to default/client (10.244.1.2) is lost \
                       after cni0 ingress of worker2"
                .into(),
            evidence: vec!["3 of 3 packets lost".into(), "cause: no route".into()],
            confidence: Confidence::Sure,
            advice: Some("ip route add 10.244.1.0/24 via 10.244.1.0 dev flannel.1".into()),
            conversations: 2,
            packets: 3,
            first_ns: 1,
            last_ns: 2,
            rules: Vec::new(),
            rests_on_absence: false,
            waits_for: None,
        };
        Found {
            findings: vec![finding; count],
            left_out: 0,
            forgotten: 7,
        }
    }

    fn shown(found: &Found) -> String {
        let mut out = String::new();
        let mut text = Text::new(TextOptions::default(), TimeZone::UTC);
        text.finding_lines(&mut out, found);
        out
    }

    #[test]
    fn findings_have_a_paragraph_each_and_none_has_none() {
        insta::assert_snapshot!(shown(&found(1)));
        assert_eq!(shown(&found(0)), "");
        let last = shown(&found(12)).lines().last().unwrap().to_owned();
        assert_eq!(last, "  and 2 more: -o json has all");
    }
}
