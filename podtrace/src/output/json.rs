//! One JSON object per line; `type` names the object, and `docs/json.md` describes its
//! fields.
//!
//! Strings hold at least what the text view shows. Fields without a value are absent. New
//! fields may come; these keep their meaning.
use crate::{
    findings::Found,
    model::{event::Event, loss::Loss, start::Start},
    output::render::Render,
    path::{
        Path,
        summary::{NotShown, Summary},
    },
    projection::{
        Line,
        finding::FindingObject,
        packet::{EventObject, PathObject},
        session::{LossObject, NoticeObject, SummaryObject},
    },
    world::World,
};

/// JSON lines.
pub struct Json {
    epoch_ns: i128,
}

impl Json {
    /// `epoch_ns`: UTC nanoseconds at CLOCK_MONOTONIC zero.
    #[must_use]
    pub fn new(epoch_ns: i128) -> Self {
        Self { epoch_ns }
    }
}

fn write(out: &mut String, line: &Line<'_>) {
    // Cannot fail: the maps have string keys and nothing else can.
    if let Ok(text) = serde_json::to_string(line) {
        out.push_str(&text);
        out.push('\n');
    }
}

impl Render for Json {
    fn shows_events(&self) -> bool {
        true
    }

    fn shows_paths(&self) -> bool {
        true
    }

    fn shows_findings(&self) -> bool {
        true
    }

    fn findings(&mut self, out: &mut String, found: &Found) {
        for finding in &found.findings {
            let finding = FindingObject::new(finding, self.epoch_ns);
            write(out, &Line::Finding(finding));
        }
    }

    fn start(&mut self, out: &mut String, info: &Start) {
        write(out, &Line::Start(info.into()));
    }

    fn event(&mut self, out: &mut String, event: &Event, packet: u64, world: &World) {
        let event = EventObject::new(event, packet, world, self.epoch_ns);
        write(out, &Line::Event(event));
    }

    fn path(&mut self, out: &mut String, path: &Path, world: &World) {
        let path = PathObject::new(path, world, self.epoch_ns);
        write(out, &Line::Path(path));
    }

    fn notice(&mut self, out: &mut String, text: &str) {
        write(out, &Line::Notice(NoticeObject { text }));
    }

    fn loss(&mut self, out: &mut String, loss: &Loss, world: &World) {
        let loss = LossObject::new(loss, world, self.epoch_ns);
        write(out, &Line::Loss(loss));
    }

    fn summary(
        &mut self,
        out: &mut String,
        summary: &Summary,
        not_shown: &NotShown,
        world: &World,
    ) {
        let summary = SummaryObject::new(summary, *not_shown, world);
        write(out, &Line::Summary(summary));
    }
}

#[cfg(test)]
mod tests;
