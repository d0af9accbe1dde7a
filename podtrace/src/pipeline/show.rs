//! What is shown: text that gathers until it is taken, or is handed on to a sink
//! that never holds up the pipeline. Packets that it has no room for are left
//! out, each as a whole, and counted.
use std::io::{self, Write};

use super::Pipeline;
use crate::{
    model::{event::Event, loss::Loss, start::Start},
    path::{
        Path,
        summary::{NotShown, Summary},
    },
    pipeline::output::Output,
    sink::TextSink,
    world::World,
};

/// Text is handed on when it has this many bytes.
const HAND_ON_BYTES: usize = 64 << 10;
/// How much further than packets notices may fill a sink, in bytes.
pub(super) const NOTICES_MAX: usize = 1 << 20;
/// How often what was not shown is said, in nanoseconds.
const SAY_NS: u64 = 1_000_000_000;

/// The output and its text.
pub(super) struct Show {
    output: Box<dyn Output>,
    text: String,
    sink: Option<Box<dyn TextSink>>,
    not_shown: NotShown,
    /// How many packets were said not to be shown, and when.
    said: (u64, u64),
}

impl Show {
    pub(super) fn new(output: Box<dyn Output>) -> Self {
        Self {
            output,
            text: String::new(),
            sink: None,
            not_shown: NotShown::default(),
            said: (0, 0),
        }
    }

    /// Text goes there from now on.
    pub(super) fn hand_on_to(&mut self, sink: Box<dyn TextSink>) {
        self.sink = Some(sink);
    }

    pub(super) fn start(&mut self, start: &Start) {
        self.output.start(&mut self.text, start);
    }

    pub(super) fn event(&mut self, event: &Event, packet: u64, world: &World) {
        if self.output.shows_events() && !self.has_room() {
            self.not_shown.events += 1;
            return;
        }
        self.output.event(&mut self.text, event, packet, world);
    }

    pub(super) fn path(&mut self, path: &Path, world: &World) {
        if self.output.shows_paths() && !self.has_room() {
            self.not_shown.packets += 1;
            return;
        }
        self.output.path(&mut self.text, path, world);
    }

    pub(super) fn notice(&mut self, text: &str) {
        if self.has_room_for_notice() {
            self.output.notice(&mut self.text, text);
        } else {
            self.not_shown.notices += 1;
        }
    }

    pub(super) fn loss(&mut self, loss: &Loss, world: &World) {
        if self.has_room_for_notice() {
            self.output.loss(&mut self.text, loss, world);
        } else {
            self.not_shown.notices += 1;
        }
    }

    pub(super) fn attaching(&mut self, left: u64, refused: u64) {
        if self.has_room_for_notice() {
            self.output.attaching(&mut self.text, left, refused);
        } else {
            self.not_shown.notices += 1;
        }
    }

    pub(super) fn summary(&mut self, summary: &Summary, world: &World) {
        self.output.summary(&mut self.text, summary, world);
    }

    /// What was left out so far.
    pub(super) fn not_shown(&self) -> NotShown {
        self.not_shown
    }

    /// Says how many packets were not shown since last said, at most once a
    /// second, and when there is room again.
    pub(super) fn say_not_shown(&mut self, now_ns: u64) {
        let (said, said_ns) = self.said;
        let more = self.not_shown.packets - said;
        if more > 0 && now_ns.saturating_sub(said_ns) >= SAY_NS && self.has_room() {
            self.said = (self.not_shown.packets, now_ns);
            self.notice(&format!(
                "{more} packets not shown: the output is not read fast enough"
            ));
        }
    }

    /// Whether there is room for a packet.
    fn has_room(&mut self) -> bool {
        if self.sink.is_some() && self.text.len() >= HAND_ON_BYTES {
            self.hand_on();
        }
        self.room().is_none_or(|room| self.text.len() < room)
    }

    fn has_room_for_notice(&self) -> bool {
        let room = self.room();
        room.is_none_or(|room| self.text.len() < room.saturating_add(NOTICES_MAX))
    }

    /// None: as much as there is memory.
    fn room(&self) -> Option<usize> {
        self.sink.as_ref().map(|sink| sink.room())
    }

    /// Hands on the text that has gathered, if it goes to a sink.
    pub(super) fn hand_on(&mut self) {
        if let Some(sink) = &mut self.sink
            && !self.text.is_empty()
        {
            sink.take(&self.text);
            self.text.clear();
        }
    }

    /// The text that has gathered.
    pub(super) fn text(&mut self) -> &mut String {
        &mut self.text
    }
}

impl Pipeline {
    /// Text is handed on to a sink from now on, by [`Self::hand_on`] and when
    /// much has gathered.
    pub fn hand_on_to(&mut self, sink: Box<dyn TextSink>) {
        self.show.hand_on_to(sink);
    }

    /// Hands on the text that has gathered.
    pub fn hand_on(&mut self) {
        self.show.hand_on();
    }

    /// How much text has gathered, in bytes.
    #[must_use]
    pub fn text_len(&mut self) -> usize {
        self.show.text().len()
    }

    /// Writes the text that has gathered.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_text(&mut self, sink: &mut dyn Write) -> io::Result<()> {
        let text = self.show.text();
        let written = sink.write_all(text.as_bytes());
        text.clear();
        written
    }

    /// Takes the text that has gathered.
    pub fn take_text(&mut self) -> String {
        std::mem::take(self.show.text())
    }
}

#[cfg(test)]
mod tests;
