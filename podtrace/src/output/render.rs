//! What makes text of all that is shown.
use crate::{
    model::{event::Event, loss::Loss, start::Start},
    path::{
        Path,
        summary::{NotShown, Summary},
    },
    world::World,
};

/// A format: appends what it makes of each thing to a buffer, nothing unless it
/// says so.
pub trait Render {
    /// Whether it makes something of each event.
    fn shows_events(&self) -> bool {
        false
    }
    /// Whether it makes something of each path.
    fn shows_paths(&self) -> bool {
        false
    }
    /// Before the first event.
    fn start(&mut self, _out: &mut String, _info: &Start) {}
    /// One event of packet number `packet`.
    fn event(&mut self, _out: &mut String, _event: &Event, _packet: u64, _world: &World) {}
    /// One path that has ended.
    fn path(&mut self, _out: &mut String, _path: &Path, _world: &World) {}
    /// Something the user should know, in one line.
    fn notice(&mut self, out: &mut String, text: &str);
    /// Events were lost: by default a notice.
    fn loss(&mut self, out: &mut String, loss: &Loss, world: &World) {
        self.notice(out, &world.loss_in_words(loss));
    }
    /// At the end; `not_shown`: what the text lacks.
    fn summary(&mut self, _: &mut String, _: &Summary, _: &NotShown, _: &World) {}
}
