//! Turns batches of records into output: decode, reorder, join, name, show.
//!
//! Everything that grows with traffic has a bound, in bytes where its parts vary in size;
//! `docs/memory.md` lists them. The pipeline counts or reports what exceeds a bound, and
//! never waits for room.
mod chosen;
pub mod consumer;
mod consumers;
mod follow;
mod loss_report;
mod losses;
mod name_gate;
mod order;
mod release;
mod removed;
mod shown;
#[cfg(test)]
mod tests;
mod time;

use std::io;

use podtrace_ebpf::record::{Direction, Record};

use chosen::{Chosen, LastShown};
use consumer::{Consumer, Events};
use consumers::Consumers;
use loss_report::LossReports;
pub use losses::Unexplained;
use name_gate::NameGate;
use order::Order;
pub use removed::OTHERS;
use removed::{Removed, fold};
pub use shown::Asked;

use crate::{
    map::Map,
    model::{
        event::{Event, TapPoints},
        origin::Origin,
        tap::{TapCount, TapCounts},
    },
    packet::DecodeOptions,
    path::{builder::Builder, reorder::Reorder, summary::Summary},
    probe::batch::Batch,
    update::Update,
    world::World,
};

/// Records of a batch that are decoded before their events are passed on: a batch has
/// thousands, and an event is larger than its record.
pub(crate) const DECODED_AT_ONCE: usize = 512;
/// Lag of the time given to [`Pipeline::tick`] behind that until which all records were read, in
/// nanoseconds: longer than a program takes from reading the clock to writing its record, also
/// where a hypervisor halts its CPU meanwhile.
pub const TICK_LAG_NS: u64 = 20_000_000;

/// The pipeline's state.
pub struct Pipeline {
    world: World,
    options: DecodeOptions,
    reorder: Reorder,
    builder: Builder,
    consumers: Consumers,
    taps: TapCounts,
    /// Empty between calls: events that are not counted in `taps` yet.
    emitted: Map<(u32, Direction), u64>,
    chosen: Chosen,
    filters_control: bool,
    /// Whether events are being handed on of which it is known whether they are shown.
    hands_on: bool,
    /// Events that the filter refused here: the kernel's counts do not have them.
    refused: Map<(u32, Direction), u64>,
    last_shown: LastShown,
    removed: Removed,
    loss_reports: LossReports,
    unexplained: Unexplained,
    /// All losses until this time are known.
    settled_ns: u64,
    /// All drops until this time are joined: a path waits until it is known whether a kernel has
    /// dropped its packet.
    drops_ns: u64,
    order: Order,
    name_gate: NameGate,
    /// The newest time known, of an event or a tick.
    now_ns: u64,
    summary: Summary,
    count: Option<u64>,
    show_from: u64,
    newest_packet: u64,
    /// The time of the newest event that was followed.
    followed_ns: u64,
    /// Times of the first and the last event of the packets to show.
    span_ns: Option<(u64, u64)>,
}

impl Pipeline {
    /// `timeout_ns`: how long a packet may stay between two hops;
    /// `count`: how many packets to show.
    #[must_use]
    pub fn new(options: DecodeOptions, timeout_ns: u64, count: Option<u64>) -> Self {
        Self {
            world: World::default(),
            options,
            reorder: Reorder::default(),
            builder: Builder::new(timeout_ns),
            consumers: Consumers::default(),
            taps: TapCounts::new(),
            emitted: Map::default(),
            chosen: Chosen::counted(count.is_some()),
            filters_control: false,
            hands_on: false,
            refused: Map::default(),
            last_shown: LastShown::default(),
            removed: Removed::default(),
            loss_reports: LossReports::default(),
            unexplained: Unexplained::default(),
            settled_ns: 0,
            drops_ns: 0,
            order: Order::default(),
            name_gate: NameGate::default(),
            now_ns: 0,
            summary: Summary::default(),
            count,
            show_from: 0,
            newest_packet: 0,
            followed_ns: 0,
            span_ns: None,
        }
    }

    /// Adds a consumer, which receives everything from now on, and the notices of the
    /// consumers before it.
    pub fn add(&mut self, consumer: Box<dyn Consumer>) {
        if consumer.events() != Events::None {
            self.chosen.keep_events();
        }
        self.consumers.add(consumer);
        self.builder.keeps_frames = self.consumers.show_bytes();
    }

    /// The state of the network.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The state of the network, for setup.
    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// The counts so far, and the tap points known so far.
    pub fn taps_mut(&mut self) -> (&mut TapCounts, &TapPoints) {
        (&mut self.taps, &self.world.tap_points)
    }

    /// Applies an update to the world and hands it to the consumers.
    pub fn apply(&mut self, origin: &Origin, update: &Update) {
        self.world.apply(origin, update);
        // What joins no path tells nothing.
        if !matches!(update, Update::Drops { .. }) {
            self.consumers.update(origin, update, &self.world);
        }
        match update {
            Update::TapPoint { number, .. } => self.removed.remove(*number),
            Update::Removed { number } => {
                if let Some(oldest) = self.removed.add(*number) {
                    self.retire(oldest);
                }
            }
            Update::Snapshot(snapshot) if !snapshot.vxlan_ports.is_empty() => {
                self.options.vxlan_ports.clone_from(&snapshot.vxlan_ports);
                self.release();
            }
            Update::Snapshot(_) | Update::Pods { .. } | Update::Runtime { .. } => self.release(),
            Update::Sampling {
                share,
                since_ns,
                ts_ns,
            } => {
                let times = (since_ns.unwrap_or(*ts_ns), *ts_ns);
                self.builder.record_sampling(origin.session, *share, times);
            }
            Update::Attaching {
                left: 0,
                refused: 0,
                partial: 0,
                ts_ns,
                ..
            } => self.builder.end_partial_view(origin.session, *ts_ns),
            Update::Attaching {
                left,
                since_ns,
                begun_ns,
                ts_ns,
                ..
            } => {
                let (session, from_ns) = (origin.session, since_ns.or(*begun_ns));
                let is_blind = *left > 0;
                if !is_blind {
                    self.builder.end_blind_view(session, *ts_ns);
                }
                let from_ns = from_ns.unwrap_or_default();
                self.builder.begin_partial_view(session, from_ns, is_blind);
            }
            Update::Translations {
                node,
                netns,
                changes,
                ts_ns,
            } => self.builder.track((*node, *netns), changes, *ts_ns),
            Update::Drops { drops } => {
                for drop in drops {
                    let packet = drop.packet(&self.options);
                    self.consumers.drop_packet(drop, &packet, &self.world);
                    self.builder.drop_packet(origin, drop, &packet);
                }
            }
            // Nothing waits for names from the API.
            _ => {}
        }
    }

    /// Retires an interface that was removed long ago: only the sums keep its counts.
    fn retire(&mut self, number: u32) {
        self.consumers.retired(number, &self.world);
        fold(&mut self.taps, number);
        self.loss_reports.retire(number);
        self.world.tap_points.retire(number);
    }

    /// Shows the user a notice that is not part of the session.
    pub fn notice(&mut self, text: &str) {
        self.consumers.notice(text);
    }

    /// Decodes a batch. Its events go on once nothing older can follow.
    pub fn push(&mut self, origin: &Origin, batch: &Batch) {
        if let Some(lost) = &batch.lost {
            self.take_lost(lost);
        }
        if batch.forgets_cgroups || !batch.cgroups.is_empty() {
            let update = Update::Cgroups {
                forgets: batch.forgets_cgroups,
                new: batch.cgroups.clone(),
            };
            self.apply(origin, &update);
        }
        for (number, bytes) in (1..).zip(batch.records()) {
            match Event::decode(bytes, &self.world.tap_points, &self.options) {
                Ok(mut event) => {
                    if self.consumers.take_bytes() {
                        event.captured = batch.captured(bytes);
                    }
                    self.reorder.push(event);
                }
                Err(_) => self.undecodable(bytes),
            }
            if number % DECODED_AT_ONCE == 0 {
                self.join_ready(|reorder| reorder.ready(0));
            }
        }
        self.join_ready(|reorder| reorder.ready(0));
    }

    /// Counts a damaged record, at its tap if the record names one.
    fn undecodable(&mut self, bytes: &[u8]) {
        let tap = match Record::decode(bytes) {
            Ok(record) if self.world.tap_points.get(record.interface).is_some() => {
                (record.interface, record.direction)
            }
            _ => (OTHERS, Direction::Ingress),
        };
        self.taps.entry(tap).or_default().undecodable += 1;
    }

    /// The time of the newest event so far.
    #[must_use]
    pub fn newest_ns(&self) -> u64 {
        self.reorder.newest_ns()
    }

    /// Whether [`Self::tick`] has something to wait for.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.builder.is_waiting()
            || !self.reorder.is_empty()
            || !self.order.is_empty()
            || !self.name_gate.is_empty()
            || self.chosen.is_waiting()
            || self.consumers.is_waiting()
    }

    /// Flushes all consumers.
    ///
    /// # Errors
    /// The failure of a consumer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.consumers.flush()
    }

    /// Closes all consumers: nothing more will come.
    ///
    /// # Errors
    /// The failure of a consumer.
    pub fn close(&mut self) -> io::Result<()> {
        self.consumers.close()
    }

    /// The number of the newest packet.
    #[must_use]
    pub fn newest_packet(&self) -> u64 {
        self.newest_packet
    }

    /// The counts of all taps so far.
    #[must_use]
    pub fn total(&self) -> TapCount {
        TapCount::total(&self.taps)
    }

    /// How many events were lost so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.taps.values().map(TapCount::lost).sum()
    }
}
