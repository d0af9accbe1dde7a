//! The consumers of a pipeline.
//!
//! Views, statistics, exports and the recorder are equals: a pipeline hands each of
//! them the same updates, events and paths.
use std::io;

use crate::{
    model::{
        drop::KernelDrop,
        event::Event,
        loss::{LostSpan, Missing},
        origin::Origin,
        tap::TapCounts,
    },
    packet::Packet,
    path::{
        Path,
        summary::{NotShown, Summary},
    },
    session::recorder::Recorder,
    update::Update,
    world::World,
};

/// The events that a consumer takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Events {
    /// None.
    #[default]
    None,
    /// Every event, as soon as its packet is known.
    All,
    /// The events of shown packets, once their names are known.
    Shown,
}

/// Consumes what a pipeline produces; each method does nothing by default. A consumer never
/// waits: it counts what it has no room for.
pub trait Consumer {
    /// The events it takes.
    fn events(&self) -> Events {
        Events::None
    }

    /// Whether it takes the captured bytes of packets: those of the events that it takes, and of
    /// paths those of the first hop.
    fn takes_bytes(&self) -> bool {
        false
    }

    /// The session received an update, which `world` holds already.
    fn on_update(&mut self, _origin: &Origin, _update: &Update, _world: &World) {}

    /// Whether its ticks stay in order with events: while some wait until it is known whether they
    /// are shown, so do the ticks behind them.
    fn ticks_in_order(&self) -> bool {
        false
    }

    /// One line for the user, safe for a terminal, that is not part of the session.
    fn on_notice(&mut self, _text: &str) {}

    /// One event of packet number `packet`.
    fn on_event(&mut self, _event: &Event, _packet: u64, _world: &World) {}

    /// Whether [`Self::on_joined`] and [`Self::on_left_out`] do anything.
    fn takes_joins(&self) -> bool {
        false
    }

    /// An event was joined to the packet of this number, and to further ones.
    fn on_joined(&mut self, _event: &Event, _packet: u64, _further: &[u64], _world: &World) {}

    /// An event came too late, or is of an interface that nobody knows: it joins nothing.
    fn on_left_out(&mut self, _event: &Event, _stream: usize) {}

    /// One finished path, to be shown.
    fn on_path(&mut self, _path: &Path, _world: &World) {}

    /// One finished path that is not shown: not asked for, or before what is.
    fn on_hidden(&mut self, _path: &Path, _world: &World) {}

    /// A kernel says that it has dropped a packet, which may have no path: no tap has seen it then.
    fn on_drop(&mut self, _drop: &KernelDrop, _packet: &Packet, _world: &World) {}

    /// Events were lost; [`Update::Loss`] reports them to the user.
    fn on_loss(&mut self, _lost: LostSpan) {}

    /// An interface was removed so long ago that its counts are final.
    fn on_retired(&mut self, _interface: u32, _world: &World) {}

    /// Time has passed; returns notices for the consumers behind this one.
    fn on_tick(&mut self, _tick: &Tick<'_>, _world: &World) -> Vec<String> {
        Vec::new()
    }

    /// The session has ended; returns notices for the consumers behind this one.
    fn on_end(&mut self, _summary: &Summary, _world: &World) -> Vec<String> {
        Vec::new()
    }

    /// Whether it needs the next tick soon.
    fn is_waiting(&self) -> bool {
        false
    }

    /// Items that it left out.
    fn not_shown(&self) -> NotShown {
        NotShown::default()
    }

    /// Events that it should have recorded and did not.
    fn not_recorded(&self) -> u64 {
        0
    }

    /// Whether it has failed and takes nothing any more.
    fn has_failed(&self) -> bool {
        false
    }

    /// Writes its buffer.
    ///
    /// # Errors
    /// Its failure.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Writes out everything: nothing more will come.
    ///
    /// # Errors
    /// Its failure.
    fn close(&mut self) -> io::Result<()> {
        self.flush()
    }
}

/// A moment until which the consumer has received everything.
#[derive(Clone, Copy, Debug)]
pub struct Tick<'a> {
    /// The time, in nanoseconds of the clock of the events.
    pub now_ns: u64,
    /// How many events are missing since the session began.
    pub missing: Missing,
    /// The counts so far.
    pub taps: &'a TapCounts,
}

/// The first failure of a consumer: it lasts, and is handed out once.
#[derive(Debug, Default)]
pub struct Failure {
    error: Option<io::Error>,
    has_failed: bool,
}

impl Failure {
    /// Keeps a failure, if it is one and the first.
    pub fn record(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && !self.has_failed
        {
            self.has_failed = true;
            self.error = Some(error);
        }
    }

    /// Whether there was a failure.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Keeps a failure, and hands out the first one.
    ///
    /// # Errors
    /// The failure, the first time.
    pub fn after(&mut self, result: io::Result<()>) -> io::Result<()> {
        self.record(result);
        self.take()
    }

    /// Hands out the failure.
    ///
    /// # Errors
    /// The failure, the first time.
    pub fn take(&mut self) -> io::Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }
}

impl Consumer for Recorder {
    fn events(&self) -> Events {
        Events::All
    }

    fn takes_bytes(&self) -> bool {
        true
    }

    /// A replay would be ahead of its events.
    fn ticks_in_order(&self) -> bool {
        true
    }

    fn on_update(&mut self, origin: &Origin, update: &Update, world: &World) {
        // The start of a replay is not part of the session that it replays.
        let is_replay = matches!(
            update, Update::Start(start) if start.source.is_some() || start.agents.is_some()
        );
        if !is_replay {
            self.update(origin, update, world);
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
        self.tick(tick.now_ns, tick.missing, tick.taps, world)
    }

    fn on_end(&mut self, summary: &Summary, world: &World) -> Vec<String> {
        self.finish(&summary.taps, summary.duration_ns, world)
    }

    fn not_recorded(&self) -> u64 {
        Self::not_recorded(self)
    }

    fn is_waiting(&self) -> bool {
        Self::is_waiting(self)
    }

    fn has_failed(&self) -> bool {
        Self::has_failed(self)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.take_failure()
    }
}
