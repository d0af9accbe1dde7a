//! From batches of records to output: decode, reorder, stitch, name, show.
mod held;
mod order;

use std::collections::BTreeMap;

use podtrace_ebpf::{
    config::TapCounters,
    record::{Direction, Record},
};

use held::{Held, Item, event_waits, path_waits};
use order::Order;

use crate::{
    event::Event,
    output::{Output, Summary, TapCount},
    packet::{DecodeOptions, Network, Transport},
    path::{
        Path,
        builder::{Builder, World},
        reorder::Reorder,
    },
    probe::ring::Batch,
};

/// Longest encapsulation before an inner IPv6 transport header's first eight
/// bytes, plus a TCP header: what is left of the snap length goes into keys.
const KEY_RESERVE: u32 = 144;

/// How far behind the clock the time given to [`Pipeline::tick`] is, in
/// nanoseconds: longer than a record waits for the reader.
pub const TICK_LAG_NS: u64 = 20_000_000;

/// How many payload bytes of each packet go into its key, for a snap length.
#[must_use]
pub fn key_payload(snaplen: u32) -> usize {
    snaplen.saturating_sub(KEY_RESERVE).min(32) as usize
}

/// The pipeline's state.
pub struct Pipeline {
    world: World,
    options: DecodeOptions,
    reorder: Reorder,
    builder: Builder,
    output: Box<dyn Output>,
    taps: BTreeMap<(u32, Direction), TapCount>,
    lost: u64,
    last_loss_ns: Option<u64>,
    said_lost: u64,
    said_ns: u64,
    order: Order,
    held: Held,
    /// The newest time known: of an event or a tick.
    now_ns: u64,
    summary: Summary,
    count: Option<u64>,
    text: String,
}

impl Pipeline {
    /// `timeout_ns`: how long a packet may stay between two hops;
    /// `count`: how many packets to show.
    #[must_use]
    pub fn new(
        options: DecodeOptions,
        timeout_ns: u64,
        count: Option<u64>,
        output: Box<dyn Output>,
    ) -> Self {
        Self {
            world: World::default(),
            options,
            reorder: Reorder::default(),
            builder: Builder::new(timeout_ns),
            output,
            taps: BTreeMap::new(),
            lost: 0,
            last_loss_ns: None,
            said_lost: 0,
            said_ns: 0,
            order: Order::default(),
            held: Held::default(),
            now_ns: 0,
            summary: Summary::default(),
            count,
            text: String::new(),
        }
    }

    /// What is known of the network, to be kept up to date.
    pub fn world(&mut self) -> &mut World {
        &mut self.world
    }

    /// UDP ports that carry VXLAN from now on.
    pub fn set_vxlan_ports(&mut self, ports: Vec<u16>) {
        self.options.vxlan_ports = ports;
    }

    /// The output and its buffer, for what is no event.
    pub fn output(&mut self) -> (&mut dyn Output, &mut String, &World) {
        (self.output.as_mut(), &mut self.text, &self.world)
    }

    /// Decodes a batch; its events come out when nothing older can follow.
    pub fn push(&mut self, batch: &Batch) {
        let sockets = self.world.directory.sockets();
        if batch.forgets_cgroups {
            sockets.clear();
        }
        for new in &batch.cgroups {
            sockets.learn(new.id, &new.path, new.ts_ns);
        }
        for bytes in batch.records() {
            match Event::decode(bytes, &self.world.places, &self.options) {
                Ok(event) => {
                    let tap = self.taps.entry((event.interface, event.direction));
                    tap.or_default().emitted += 1;
                    self.reorder.push(event);
                }
                Err(_) => self.undecodable(bytes),
            }
        }
        let events = self.reorder.release(0);
        self.stitch(&events);
    }

    /// Counts a record that is damaged, at its tap if it can be told.
    fn undecodable(&mut self, bytes: &[u8]) {
        let tap = Record::decode(bytes).map_or((u32::MAX, Direction::Ingress), |record| {
            (record.interface, record.direction)
        });
        self.taps.entry(tap).or_default().undecodable += 1;
    }

    fn stitch(&mut self, events: &[Event]) {
        for event in events {
            if matches!(event.packet.network, Network::Unreadable)
                || matches!(event.packet.transport, Transport::Unreadable)
            {
                self.summary.unreadable += 1;
            }
            let packet = self.builder.push(event, &self.world);
            self.now_ns = self.now_ns.max(event.ts_ns);
            if event_waits(event, &self.world, self.now_ns) {
                self.hold(Item::Event(Box::new(event.clone()), packet));
            } else {
                self.show_event(event, packet);
            }
        }
        self.show_finished();
    }

    fn show_finished(&mut self) {
        for path in self.builder.take_finished() {
            self.order.push(path, self.now_ns);
        }
        let oldest_open = self.builder.oldest();
        for path in self.order.release(oldest_open, self.now_ns) {
            self.show_or_hold(path);
        }
    }

    fn show_or_hold(&mut self, path: Path) {
        if path_waits(&path, &self.world, self.now_ns) {
            self.hold(Item::Path(Box::new(path)));
        } else {
            self.show_path(&path);
        }
    }

    fn hold(&mut self, item: Item) {
        if let Some(oldest) = self.held.push(item) {
            self.show_item(oldest);
        }
    }

    /// Shows what need not wait for its name any more: to be called when names
    /// have come.
    pub fn release(&mut self) {
        for item in self.held.release(&self.world, self.now_ns) {
            self.show_item(item);
        }
    }

    fn show_item(&mut self, item: Item) {
        match item {
            Item::Event(event, packet) => self.show_event(&event, packet),
            Item::Path(path) => self.show_path(&path),
        }
    }

    fn show_event(&mut self, event: &Event, packet: u64) {
        if !self.is_done() {
            self.output
                .event(&mut self.text, event, packet, &self.world);
        }
    }

    fn show_path(&mut self, path: &Path) {
        if self.is_done() {
            return;
        }
        self.summary.packets += 1;
        self.summary.outcomes[path.outcome.index()] += 1;
        self.output.path(&mut self.text, path, &self.world);
    }

    /// Whether as many packets were shown as were asked for.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.count
            .is_some_and(|count| self.summary.packets >= count)
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
            || !self.held.is_empty()
    }

    /// Time has passed: `now_ns` is [`TICK_LAG_NS`] ago, a moment whose records
    /// are all here unless the reader is behind; `counters` are the kernel's.
    pub fn tick(&mut self, now_ns: u64, counters: &BTreeMap<u32, TapCounters>) {
        let events = self.reorder.release(now_ns);
        self.stitch(&events);
        let lost: u64 = counters
            .values()
            .flatten()
            .map(|counters| counters.lost)
            .sum();
        if lost > self.lost {
            self.lost = lost;
            self.last_loss_ns = Some(now_ns.saturating_add(TICK_LAG_NS));
        }
        self.builder.expire(now_ns, self.last_loss_ns);
        self.now_ns = self.now_ns.max(now_ns);
        self.show_finished();
        self.release();
        self.say_losses(now_ns);
    }

    /// Says, at most once a second, how many events were lost since last said.
    fn say_losses(&mut self, now_ns: u64) {
        if self.lost > self.said_lost && now_ns.saturating_sub(self.said_ns) >= 1_000_000_000 {
            let notice = format!(
                "{} events lost, the ring buffer was full (--buffer makes it larger)",
                self.lost - self.said_lost
            );
            self.output.notice(&mut self.text, &notice);
            self.said_lost = self.lost;
            self.said_ns = now_ns;
        }
    }

    /// Ends every path and writes the summary, given the final counters.
    pub fn finish(&mut self, counters: &BTreeMap<u32, TapCounters>, duration_ns: u64) -> &Summary {
        let events = self.reorder.finish();
        self.stitch(&events);
        self.builder.finish();
        // Nothing is open any more, so none waits for an older one.
        self.show_finished();
        for item in self.held.take_all() {
            self.show_item(item);
        }
        for (interface, counters) in counters {
            for (direction, counters) in Direction::ALL.into_iter().zip(counters) {
                let tap = self.taps.entry((*interface, direction)).or_default();
                tap.set_kernel(*counters);
            }
        }
        self.summary.duration_ns = duration_ns;
        self.summary.taps = self
            .taps
            .iter()
            .map(|((interface, direction), tap)| (*interface, *direction, *tap))
            .collect();
        self.output
            .summary(&mut self.text, &self.summary, &self.world);
        &self.summary
    }

    /// Takes the text that has gathered.
    pub fn take_text(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}
