//! What makes text of all that a pipeline shows.
use crate::{
    model::{event::Event, loss::Loss, start::Start},
    path::{Path, summary::Summary},
    world::World,
};

/// A format: appends what it makes of each thing to a buffer, nothing unless it
/// says so.
pub trait Output {
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
    /// So many interfaces of the start are still to be tapped, and so many cannot be: by
    /// default a notice.
    fn attaching(&mut self, out: &mut String, left: u64, refused: u64) {
        let text = match (left, refused) {
            (0, 0) => "every interface is traced now".to_owned(),
            (0, _) => format!(
                "every interface is traced now, but {refused} that cannot be: packets pass there \
                 unseen"
            ),
            (1, _) => {
                "1 more interface is being attached to; until then packets may pass there unseen"
                    .to_owned()
            }
            _ => format!(
                "{left} more interfaces are being attached to; until then packets may pass there \
                 unseen"
            ),
        };
        self.notice(out, &text);
    }
    /// At the end.
    fn summary(&mut self, _out: &mut String, _summary: &Summary, _world: &World) {}
}

/// Nothing at all.
pub struct Nothing;

impl Output for Nothing {
    fn notice(&mut self, _: &mut String, _: &str) {}
}
