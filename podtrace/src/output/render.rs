//! Formats everything shown as text.
use crate::{
    findings::Found,
    model::{event::Event, loss::Loss, start::Start},
    path::{
        Path,
        summary::{NotShown, Summary},
    },
    world::World,
};

/// A format: appends its text for each item to a buffer; each method appends nothing by
/// default.
pub trait Render {
    /// Whether it shows events.
    fn shows_events(&self) -> bool {
        false
    }
    /// Whether it shows paths.
    fn shows_paths(&self) -> bool {
        false
    }
    /// Whether it shows findings.
    fn shows_findings(&self) -> bool {
        false
    }
    /// Whether it shows captured bytes.
    fn shows_bytes(&self) -> bool {
        false
    }
    /// Before the first event.
    fn start(&mut self, _out: &mut String, _info: &Start) {}
    /// One event of packet number `packet`.
    fn event(&mut self, _out: &mut String, _event: &Event, _packet: u64, _world: &World) {}
    /// One path that has ended.
    fn path(&mut self, _out: &mut String, _path: &Path, _world: &World) {}
    /// One path that has ended and is not shown.
    fn hidden(&mut self, _path: &Path) {}
    /// A notice to the user, in one line.
    fn notice(&mut self, out: &mut String, text: &str);
    /// Events were lost: by default a notice.
    fn loss(&mut self, out: &mut String, loss: &Loss, world: &World) {
        self.notice(out, &world.loss_in_words(loss));
    }
    /// What conversations show, at the end, before the summary.
    fn findings(&mut self, _out: &mut String, _found: &Found) {}
    /// The summary, at the end; `not_shown`: what the text lacks.
    fn summary(&mut self, _: &mut String, _: &Summary, _: &NotShown, _: &World) {}
}
