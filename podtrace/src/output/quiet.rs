//! Shows notices and the summary only, for output that goes elsewhere.
use super::text::Text;
use crate::{
    model::{loss::Loss, start::Start},
    output::render::Render,
    path::summary::{NotShown, Summary},
    world::World,
};

/// The text view without packets.
pub struct Quiet {
    text: Text,
}

impl Quiet {
    /// `text` shows everything except packets.
    #[must_use]
    pub fn new(text: Text) -> Self {
        Self { text }
    }
}

impl Render for Quiet {
    fn start(&mut self, out: &mut String, info: &Start) {
        self.text.start(out, info);
    }

    fn notice(&mut self, out: &mut String, text: &str) {
        self.text.notice(out, text);
    }

    fn loss(&mut self, out: &mut String, loss: &Loss, world: &World) {
        self.text.loss(out, loss, world);
    }

    fn summary(
        &mut self,
        out: &mut String,
        summary: &Summary,
        not_shown: &NotShown,
        world: &World,
    ) {
        self.text.summary(out, summary, not_shown, world);
    }
}
