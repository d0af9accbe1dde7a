//! The report of `podtrace diagnose`: a picture, or JSON, once it is known or the time is over.
mod live;
mod picture;

use std::{cell::Cell, io, rc::Rc};

pub(crate) use live::Live;
pub(crate) use picture::PictureOptions;

use super::notices::with_losses;
use crate::{
    diagnosis::{Conclusion, Diagnosis},
    findings::Findings,
    model::{drop::KernelDrop, loss::LostSpan, origin::Origin},
    packet::Packet,
    path::{Path, summary::Summary},
    pipeline::consumer::{Consumer, Failure, Tick},
    sink::{TextSink, tell},
    update::Update,
    world::World,
};

/// How the report is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReportFormat {
    /// A picture, for humans.
    Picture(PictureOptions),
    /// One JSON document.
    Json,
}

/// Gets the conclusion, or why the question is to be put in another way; none if the trace ended
/// before it began.
pub(crate) type Concluded = Rc<Cell<Option<Result<Conclusion, String>>>>;

/// Collects the packets of two ends, and writes the report.
pub(crate) struct DiagnosisReport {
    diagnosis: Diagnosis,
    /// Of the packets of the two.
    findings: Findings,
    format: ReportFormat,
    /// What is done while it is live.
    live: Option<Live>,
    sink: Box<dyn TextSink>,
    concluded: Concluded,
    failure: Failure,
}

impl DiagnosisReport {
    /// Writes to `sink`. `concluded`: gets the conclusion.
    pub(crate) fn new(
        diagnosis: Diagnosis,
        format: ReportFormat,
        live: Option<Live>,
        sink: Box<dyn TextSink>,
        concluded: Concluded,
    ) -> Self {
        Self {
            diagnosis,
            findings: Findings::default(),
            format,
            live,
            sink,
            concluded,
            failure: Failure::default(),
        }
    }
}

impl Consumer for DiagnosisReport {
    fn on_update(&mut self, origin: &Origin, update: &Update, world: &World) {
        if let Some(words) = with_losses(origin, update, world) {
            tell(&words);
        }
        self.findings.note(update);
        self.diagnosis.note_unwatched(update);
        match update {
            Update::Start(_) => {
                if let Some(live) = &mut self.live {
                    live.begin();
                }
            }
            Update::Cluster { .. } => self.diagnosis.rename(),
            _ => {}
        }
    }

    fn on_notice(&mut self, text: &str) {
        tell(text);
    }

    fn on_path(&mut self, path: &Path, world: &World) {
        if self.diagnosis.add(path, world) {
            self.findings.add(path, world);
        }
    }

    fn on_hidden(&mut self, path: &Path, world: &World) {
        if self.diagnosis.add_untranslated(path, world) {
            self.findings.add(path, world);
        }
    }

    fn on_loss(&mut self, lost: LostSpan) {
        self.findings.note_loss(lost);
    }

    fn on_drop(&mut self, drop: &KernelDrop, packet: &Packet, world: &World) {
        self.diagnosis.add_drop(drop, packet, world);
    }

    fn on_tick(&mut self, tick: &Tick<'_>, world: &World) -> Vec<String> {
        self.diagnosis.advance(tick.now_ns);
        self.findings.tick(tick.now_ns);
        if let Some(live) = &mut self.live {
            live.tick(tick.now_ns, &mut self.diagnosis, world);
        }
        Vec::new()
    }

    fn is_waiting(&self) -> bool {
        self.live.is_some()
    }

    fn on_end(&mut self, summary: &Summary, world: &World) -> Vec<String> {
        if let Some(words) = self.live.as_ref().and_then(Live::misasked) {
            self.concluded.set(Some(Err(words.to_owned())));
            return Vec::new();
        }
        let found = self.findings.found(summary.unseen, world);
        self.diagnosis.find(found.findings, world);
        let lost = summary.total().missing();
        let report = self.diagnosis.conclude(lost, world);
        self.concluded.set(Some(Ok(report.conclusion)));
        let text = match self.format {
            ReportFormat::Picture(options) => Ok(picture::picture(&report, options)),
            ReportFormat::Json => serde_json::to_string_pretty(&report)
                .map(|json| json + "\n")
                .map_err(io::Error::from),
        };
        let written = text.and_then(|text| self.sink.take(&text));
        self.failure.record(written);
        Vec::new()
    }

    fn has_failed(&self) -> bool {
        self.failure.has_failed()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.failure.after(self.sink.flush())
    }

    fn close(&mut self) -> io::Result<()> {
        self.failure.after(self.sink.close())
    }
}

#[cfg(test)]
mod tests;
