//! Notices and the summary only: for what goes elsewhere.
use super::{Output, Start, Summary, text::Text};
use crate::{event::Event, path::Path, world::World};

/// The text view without packets.
pub struct Quiet {
    text: Text,
}

impl Quiet {
    /// What is not a packet is shown by `text`.
    #[must_use]
    pub fn new(text: Text) -> Self {
        Self { text }
    }
}

impl Output for Quiet {
    fn start(&mut self, out: &mut String, info: &Start) {
        self.text.start(out, info);
    }

    fn event(&mut self, _: &mut String, _: &Event, _: u64, _: &World) {}

    fn path(&mut self, _: &mut String, _: &Path, _: &World) {}

    fn notice(&mut self, out: &mut String, text: &str) {
        self.text.notice(out, text);
    }

    fn summary(&mut self, out: &mut String, summary: &Summary, world: &World) {
        self.text.summary(out, summary, world);
    }
}

/// Nothing at all.
pub struct Nothing;

impl Output for Nothing {
    fn start(&mut self, _: &mut String, _: &Start) {}

    fn event(&mut self, _: &mut String, _: &Event, _: u64, _: &World) {}

    fn path(&mut self, _: &mut String, _: &Path, _: &World) {}

    fn notice(&mut self, _: &mut String, _: &str) {}

    fn summary(&mut self, _: &mut String, _: &Summary, _: &World) {}
}
