//! Those that take what a pipeline makes.
//!
//! Views, statistics, exports and the recorder are equals: a pipeline hands each of
//! them the same updates, events and paths.
use std::io;

use crate::{
    model::{event::Event, loss::LostSpan, origin::Origin, tap::TapCounts},
    path::{
        Path,
        summary::{NotShown, Summary},
    },
    session::recorder::Recorder,
    update::Update,
    world::World,
};

/// Which events a consumer takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Events {
    /// None.
    #[default]
    None,
    /// Every event, with its captured bytes, as soon as its packet is known.
    All,
    /// Those of the packets that are shown, once names have come.
    Shown,
}

/// Takes what a pipeline makes, nothing of it unless it says so. It never waits: what it
/// has no room for it counts.
pub trait Consumer {
    /// The events it takes.
    fn events(&self) -> Events {
        Events::None
    }

    /// The session was told something, which `world` holds by now.
    fn on_update(&mut self, _origin: &Origin, _update: &Update, _world: &World) {}

    /// One line for the user, safe for a terminal, that is no part of the session.
    fn on_notice(&mut self, _text: &str) {}

    /// One event of packet number `packet`.
    fn on_event(&mut self, _event: &Event, _packet: u64, _world: &World) {}

    /// One path that has ended and is to be shown.
    fn on_path(&mut self, _path: &Path, _world: &World) {}

    /// Events were lost; [`Update::Loss`] tells the user of them.
    fn on_loss(&mut self, _lost: LostSpan) {}

    /// An interface is gone for so long that its counts are final.
    fn on_retired(&mut self, _interface: u32, _world: &World) {}

    /// Time has passed; returns notices for the consumers behind this one.
    fn on_tick(&mut self, _tick: &Tick<'_>, _world: &World) -> Vec<String> {
        Vec::new()
    }

    /// The session has ended; returns notices for the consumers behind this one.
    fn on_end(&mut self, _summary: &Summary, _world: &World) -> Vec<String> {
        Vec::new()
    }

    /// Whether the next tick is not to be long in coming.
    fn is_waiting(&self) -> bool {
        false
    }

    /// What it has left out.
    fn not_shown(&self) -> NotShown {
        NotShown::default()
    }

    /// Whether it takes nothing any more, as it has failed.
    fn has_failed(&self) -> bool {
        false
    }

    /// Hands on what has gathered.
    ///
    /// # Errors
    /// Why it has failed.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Hands on everything: nothing more will come.
    ///
    /// # Errors
    /// Why it has failed.
    fn close(&mut self) -> io::Result<()> {
        self.flush()
    }
}

/// A moment until which everything was handed over.
#[derive(Clone, Copy, Debug)]
pub struct Tick<'a> {
    /// The time, in nanoseconds of the clock of the events.
    pub now_ns: u64,
    /// How many events were lost since the session began.
    pub lost: u64,
    /// What was counted by now.
    pub taps: &'a TapCounts,
}

impl Consumer for Recorder {
    fn events(&self) -> Events {
        Events::All
    }

    fn on_update(&mut self, origin: &Origin, update: &Update, _: &World) {
        // The begin of a replay is none of the session that it replays.
        let is_replay = matches!(update, Update::Start(start) if start.source.is_some());
        if !is_replay {
            self.update(origin, update);
        }
    }

    fn on_event(&mut self, event: &Event, packet: u64, world: &World) {
        self.event(event, packet, world);
    }

    fn on_loss(&mut self, lost: LostSpan) {
        self.loss(lost);
    }

    fn on_retired(&mut self, interface: u32, world: &World) {
        self.retire(interface, world);
    }

    fn on_tick(&mut self, tick: &Tick<'_>, world: &World) -> Vec<String> {
        self.tick(tick.now_ns, tick.lost, tick.taps, world)
    }

    fn on_end(&mut self, summary: &Summary, world: &World) -> Vec<String> {
        self.finish(&summary.taps, summary.duration_ns, world)
    }

    fn is_waiting(&self) -> bool {
        Self::is_waiting(self)
    }
}
