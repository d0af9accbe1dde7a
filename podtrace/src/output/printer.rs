//! Collects text and hands it to a sink that never delays the pipeline. It leaves out
//! packets without room, each as a whole, and counts them.
use std::io;

use super::{notices::in_words, render::Render};
use crate::{
    findings::Findings,
    model::{event::Event, loss::LostSpan, origin::Origin},
    path::{
        Path,
        summary::{NotShown, Summary},
    },
    pipeline::consumer::{Consumer, Events, Failure, Tick},
    sink::{NOTICES_MAX, TextSink},
    text::count::counted,
    update::Update,
    world::World,
};

/// Text is handed on when it has this many bytes.
const HAND_ON_BYTES: usize = 64 << 10;
/// How often packets not shown are reported, in nanoseconds.
const REPORT_NS: u64 = 1_000_000_000;

/// A format, and the sink of its text.
pub struct Printer {
    format: Box<dyn Render>,
    text: String,
    sink: Box<dyn TextSink>,
    not_shown: NotShown,
    /// What conversations show, if the format shows it.
    findings: Option<Findings>,
    /// How many packets were reported as not shown, and when.
    reported: (u64, u64),
    failure: Failure,
}

impl Printer {
    /// Prints to `sink`.
    #[must_use]
    pub fn new(format: Box<dyn Render>, sink: Box<dyn TextSink>) -> Self {
        Self {
            findings: format.shows_findings().then(Findings::default),
            format,
            text: String::new(),
            sink,
            not_shown: NotShown::default(),
            reported: (0, 0),
            failure: Failure::default(),
        }
    }

    /// Reports how many packets were not shown since the last report, at most once a
    /// second, and when there is room again.
    fn report_not_shown(&mut self, now_ns: u64) {
        let (reported, reported_ns) = self.reported;
        let more = self.not_shown.packets - reported;
        if more > 0 && now_ns.saturating_sub(reported_ns) >= REPORT_NS && self.has_room() {
            self.reported = (self.not_shown.packets, now_ns);
            self.on_notice(&format!(
                "{} not shown: the output is not read fast enough",
                counted(more, "packet")
            ));
        }
    }

    /// Whether there is room for a packet.
    fn has_room(&mut self) -> bool {
        if self.text.len() >= HAND_ON_BYTES {
            self.hand_on();
        }
        self.text.len() < self.sink.room()
    }

    /// Adds a notice if there is room for it.
    fn add_notice(&mut self, add: impl FnOnce(&mut dyn Render, &mut String)) {
        if self.text.len() < self.sink.room().saturating_add(NOTICES_MAX) {
            add(self.format.as_mut(), &mut self.text);
        } else {
            self.not_shown.notices += 1;
        }
    }

    /// Hands the formatted text on.
    pub fn hand_on(&mut self) {
        if !self.text.is_empty() {
            let taken = self.sink.take(&self.text);
            self.failure.record(taken);
            self.text.clear();
        }
    }
}

impl Consumer for Printer {
    fn events(&self) -> Events {
        if self.format.shows_events() {
            Events::Shown
        } else {
            Events::None
        }
    }

    fn takes_bytes(&self) -> bool {
        self.format.shows_bytes()
    }

    fn on_update(&mut self, origin: &Origin, update: &Update, world: &World) {
        if let Some(findings) = &mut self.findings {
            findings.note(update);
        }
        match update {
            Update::Start(start) => self.format.start(&mut self.text, start),
            Update::Loss(loss) => self.add_notice(|format, text| format.loss(text, loss, world)),
            _ => {
                if let Some(words) = in_words(origin, update, world) {
                    self.on_notice(&words);
                }
            }
        }
    }

    fn on_notice(&mut self, words: &str) {
        self.add_notice(|format, text| format.notice(text, words));
    }

    fn on_event(&mut self, event: &Event, packet: u64, world: &World) {
        if self.has_room() {
            self.format.event(&mut self.text, event, packet, world);
        } else {
            self.not_shown.events += 1;
        }
    }

    fn on_path(&mut self, path: &Path, world: &World) {
        if let Some(findings) = &mut self.findings {
            findings.add(path, world);
        }
        if self.format.shows_paths() && !self.has_room() {
            self.not_shown.packets += 1;
            self.format.hidden(path);
            return;
        }
        self.format.path(&mut self.text, path, world);
    }

    fn on_hidden(&mut self, path: &Path, _: &World) {
        self.format.hidden(path);
    }

    fn on_loss(&mut self, lost: LostSpan) {
        if let Some(findings) = &mut self.findings {
            findings.note_loss(lost);
        }
    }

    fn on_tick(&mut self, tick: &Tick<'_>, _: &World) -> Vec<String> {
        if let Some(findings) = &mut self.findings {
            findings.tick(tick.now_ns);
        }
        self.report_not_shown(tick.now_ns);
        Vec::new()
    }

    fn on_end(&mut self, summary: &Summary, world: &World) -> Vec<String> {
        let Self {
            format,
            text,
            not_shown,
            findings,
            ..
        } = self;
        if let Some(findings) = findings {
            format.findings(text, &findings.found(summary.unseen, world));
        }
        format.summary(text, summary, not_shown, world);
        Vec::new()
    }

    fn not_shown(&self) -> NotShown {
        self.not_shown
    }

    fn has_failed(&self) -> bool {
        self.failure.has_failed()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_on();
        self.failure.after(self.sink.flush())
    }

    fn close(&mut self) -> io::Result<()> {
        self.hand_on();
        self.failure.after(self.sink.close())
    }
}

#[cfg(test)]
mod tests;
