//! The report as a picture: the two roads with a mark at each hop, the verdict and what it is based
//! on.
use std::fmt::Write as _;

use anstyle::Style;

use crate::{
    diagnosis::{Conclusion, HalfReport, Report, ReportedEnd, Stop},
    output::{
        paint::{BOLD, DIM, GREEN, LOSS, NODE, POD, Painter, YELLOW},
        width::Width,
    },
    text::{names::list, sanitize::sanitize, wrap::wrap, write},
};

/// How the picture is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PictureOptions {
    /// ANSI colours.
    pub(crate) color: bool,
    /// Whether marks are letters of ASCII.
    pub(crate) ascii: bool,
    /// How wide lines may be.
    pub(crate) width: Width,
}

/// The marks of stops.
struct Marks {
    seen: &'static str,
    died: &'static str,
    expected: &'static str,
}

const UNICODE: Marks = Marks {
    seen: "✓",
    died: "✗",
    expected: "·",
};
const ASCII: Marks = Marks {
    seen: "+",
    died: "x",
    expected: ".",
};

struct Picture {
    options: PictureOptions,
    painter: Painter,
    marks: Marks,
    out: String,
}

pub(super) fn picture(report: &Report, options: PictureOptions) -> String {
    let mut picture = Picture {
        options,
        painter: Painter {
            color: options.color,
        },
        marks: if options.ascii { ASCII } else { UNICODE },
        out: String::new(),
    };
    picture.head(report);
    picture.half("request", &report.request, report);
    picture.half("reply", &report.reply, report);
    picture.verdict(report);
    match options.ascii {
        true => picture.out.replace('µ', "u"),
        false => picture.out,
    }
}

impl Picture {
    fn paint(&mut self, style: Style, text: &str) {
        self.painter.paint(&mut self.out, style, &sanitize(text));
    }

    /// Ends a line, and breaks it if it is too wide.
    fn end(&mut self, from: usize, indent: &str) {
        self.out.push('\n');
        let columns = self.options.width.columns();
        wrap(&mut self.out, from, columns, indent);
    }

    /// `default/a (10.244.1.2 on worker1) -> default/b (10.244.2.2 on worker2)  tcp port 80`
    fn head(&mut self, report: &Report) {
        let from = self.out.len();
        self.paint(BOLD, &report.source.name);
        self.out.push_str(&place(&report.source));
        self.out.push_str(" -> ");
        self.paint(BOLD, &report.destination.name);
        self.out.push_str(&place(&report.destination));
        if let Some(protocol) = report.protocol {
            let _ = write!(self.out, "  {protocol}");
        }
        if let Some(port) = report.port {
            let _ = write!(self.out, " port {port}");
        }
        self.end(from, "  ");
    }

    fn half(&mut self, name: &str, half: &HalfReport, report: &Report) {
        let from = self.out.len();
        self.out.push('\n');
        self.paint(BOLD, name);
        let _ = write!(self.out, "  {}", half.in_words());
        self.end(from, "  ");
        let died = matches!(report.conclusion, Conclusion::Lost | Conclusion::Refused)
            && report.direction == Some(name);
        let owners = half.road.iter().map(|stop| write::width_of(stop.owner()));
        let room = owners.max().unwrap_or_default();
        let mut before = "";
        for stop in &half.road {
            self.stop(stop, before, room);
            before = stop.owner();
            if died && stop.is_last() {
                self.death(room, report);
            }
        }
        if died && half.road.is_empty() {
            self.death(0, report);
        }
    }

    /// `  worker1          ✓ cni0 ingress`, the owner only where it is another than before.
    fn stop(&mut self, stop: &Stop, before: &str, room: usize) {
        self.out.push_str("  ");
        let owner = stop.owner();
        let style = if stop.pod.is_some() { POD } else { NODE };
        let is_new = owner != before;
        if is_new {
            self.paint(style, owner);
        }
        let used = if is_new { write::width_of(owner) } else { 0 };
        write::spaces(&mut self.out, room.saturating_sub(used) + 2);
        let (style, mark) = match stop.is_seen() {
            true => (GREEN, self.marks.seen),
            false => (DIM, self.marks.expected),
        };
        self.painter.paint(&mut self.out, style, mark);
        let words = format!(" {} {}", stop.interface, stop.direction);
        match stop.is_seen() {
            true => self.out.push_str(&sanitize(&words)),
            false => self.paint(DIM, &words),
        }
        self.out.push('\n');
    }

    /// The mark where it died, and why.
    fn death(&mut self, room: usize, report: &Report) {
        let from = self.out.len();
        write::spaces(&mut self.out, room + 4);
        let unknown = match (report.conclusion, &report.last_hop) {
            (Conclusion::Refused, _) => "refused",
            (_, Some(_)) => "not seen further",
            (_, None) => "not sent",
        };
        let why = report.what.as_deref();
        let why = why.filter(|_| report.cause != Some("unknown"));
        let mark = format!("{} {}", self.marks.died, why.unwrap_or(unknown));
        self.paint(LOSS, &mark);
        let indent = " ".repeat(room + 6);
        self.end(from, &indent);
    }

    fn verdict(&mut self, report: &Report) {
        self.out.push('\n');
        let (style, word) = match report.conclusion {
            Conclusion::Delivered => (GREEN, "DELIVERED"),
            Conclusion::Lost => (LOSS, "LOST"),
            Conclusion::Refused => (YELLOW, "REFUSED"),
            Conclusion::Unknown => (YELLOW, "UNKNOWN"),
        };
        let from = self.out.len();
        self.paint(style.bold(), word);
        self.paint(BOLD, &format!(": {}", report.verdict));
        self.end(from, "  ");
        if let Some(what) = &report.what {
            let sure = report
                .confidence
                .filter(|_| report.cause != Some("unknown"));
            let sure = sure.map_or_else(String::new, |sure| format!(" ({sure})"));
            self.line("cause: ", &format!("{what}{sure}"));
        }
        if let Some(answered) = ladder(report) {
            self.line("lengths: ", &answered);
        }
        for sentence in &report.evidence {
            self.line("because: ", sentence);
        }
        if let Some(advice) = &report.advice {
            self.line("try: ", advice);
        }
    }

    fn line(&mut self, name: &str, text: &str) {
        let from = self.out.len();
        self.paint(DIM, name);
        self.out.push_str(&sanitize(text));
        self.end(from, "  ");
    }
}

/// ` (10.244.1.2 on worker1)`, as far as it is known and the name does not say it.
fn place(end: &ReportedEnd) -> String {
    let addresses = end.addresses.iter().map(ToString::to_string);
    let addresses = addresses.filter(|address| **address != *end.name);
    // One of each family, as a rule.
    let addresses: Vec<_> = addresses.take(2).collect();
    let node = end.node.as_ref().filter(|node| *node != &end.name);
    let words = match (addresses.is_empty(), node) {
        (false, Some(node)) => format!("{} on {node}", list(&addresses)),
        (false, None) => list(&addresses),
        (true, Some(node)) => format!("on {node}"),
        (true, None) => return String::new(),
    };
    format!(" ({})", sanitize(&words))
}

/// `1280, 1420 bytes answered, 1450, 1500 not`. Where something else was asked, and no echo request
/// is answered at all, as by the address of a Service, that says nothing of lengths.
fn ladder(report: &Report) -> Option<String> {
    let of = |answered: bool| {
        let rungs = report
            .ladder
            .iter()
            .filter(|rung| rung.answered == answered);
        let lengths: Vec<_> = rungs.map(|rung| rung.bytes.to_string()).collect();
        (!lengths.is_empty()).then(|| lengths.join(", "))
    };
    match (of(true), of(false)) {
        (None, None) => None,
        (Some(answered), None) => Some(format!("{answered} bytes answered")),
        (None, Some(silent)) if report.protocol != Some("icmp") => Some(format!(
            "not known: no echo request was answered, of {silent} bytes"
        )),
        (None, Some(silent)) => Some(format!("{silent} bytes not answered")),
        (Some(answered), Some(silent)) => Some(format!("{answered} bytes answered, {silent} not")),
    }
}
