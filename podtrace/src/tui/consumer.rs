//! The consumer that feeds the screen.
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use super::{
    entry::Writer,
    share::Shares,
    shared::{Counts, Shared, lock},
};
use crate::{
    model::{event::Event, origin::Origin, start::Start, tap::TapCount, tap_point::TapPoint},
    output::{notices::with_losses, render::Render as _},
    path::{
        Path,
        summary::{NotShown, Summary},
    },
    pipeline::consumer::{Consumer, Events, Tick},
    text::sanitize::sanitize,
    update::Update,
    world::World,
};

/// How often the taps' counts are summed up, in nanoseconds.
const COUNT_NS: u64 = 250_000_000;

/// Hands paths in words to the screen.
pub(super) struct Feeder {
    shared: Arc<Shared>,
    writer: Writer,
    shares: Shares,
    /// What was said at the start, while interfaces are still to be tapped.
    start: Option<Start>,
    counted_ns: u64,
}

impl Feeder {
    pub(super) fn new(shared: Arc<Shared>, writer: Writer) -> Self {
        Self {
            shared,
            writer,
            shares: Shares::default(),
            start: None,
            counted_ns: 0,
        }
    }

    /// Says what is traced or replayed.
    fn introduce(&mut self, start: &Start) {
        let mut line = String::new();
        self.writer.text().start(&mut line, start);
        let line = line.strip_prefix("podtrace ").unwrap_or(&line);
        let line = line.strip_suffix(" · Ctrl-C to stop\n").unwrap_or(line);
        self.shared.inbox().of = sanitize(line.trim_end());
    }

    fn count<'a>(&self, taps: impl Iterator<Item = &'a TapCount>) {
        let mut total = TapCount::default();
        taps.for_each(|tap| total.add(tap));
        let mut inbox = self.shared.inbox();
        inbox.counts = Counts {
            filtered: total.filtered,
            lost: total.missing(),
            ..inbox.counts
        };
    }
}

/// What a session traces once no interface waits for its taps any more, of which some may have
/// refused them.
fn attached(start: Start, refused: u64, world: &World) -> Start {
    let points = &world.tap_points;
    let points = || (0..points.next_number()).filter_map(|number| points.get(number));
    let pods: BTreeSet<_> = points().filter_map(TapPoint::pod_netns).collect();
    let namespaces: BTreeSet<_> = points().map(|point| point.netns_id).collect();
    Start {
        interfaces: (start.interfaces + start.attaching.unwrap_or(0))
            .saturating_sub(usize::try_from(refused).unwrap_or(usize::MAX)),
        attaching: None,
        pods: pods.len(),
        namespaces: namespaces.len(),
        ..start
    }
}

impl Consumer for Feeder {
    fn events(&self) -> Events {
        Events::All
    }

    /// A typed expression looks at them.
    fn takes_bytes(&self) -> bool {
        true
    }

    fn on_update(&mut self, origin: &Origin, update: &Update, world: &World) {
        match update {
            Update::Start(start) => {
                self.introduce(start);
                self.start = start.attaching.is_some().then(|| start.clone());
            }
            Update::Attaching {
                left: 0, refused, ..
            } => {
                if let Some(start) = self.start.take() {
                    self.introduce(&attached(start, *refused, world));
                }
            }
            Update::Snapshot(snapshot) if !snapshot.vxlan_ports.is_empty() => {
                lock(&self.shared.headers).learn_ports(&snapshot.vxlan_ports);
            }
            _ => {}
        }
        if let Some(words) = with_losses(origin, update, world) {
            self.on_notice(&words);
        }
    }

    fn on_notice(&mut self, text: &str) {
        self.shared.notice(sanitize(text));
    }

    fn on_event(&mut self, event: &Event, packet: u64, _: &World) {
        self.shared.events.fetch_add(1, Ordering::Relaxed);
        lock(&self.shared.headers).take(event, packet);
    }

    fn on_path(&mut self, path: &Path, world: &World) {
        lock(&self.shared.flows).add(path, world);
        // A replay waits for the screen.
        let shared = &self.shared;
        if !shared.waits && !self.shares.has_room(path, shared.wants(path.id)) {
            self.writer.pass_over(path);
            return shared.pass_over();
        }
        if let Some(entry) = self.writer.entry(path, world) {
            self.shared.push(entry);
        }
    }

    fn on_hidden(&mut self, path: &Path, _: &World) {
        self.writer.pass_over(path);
    }

    fn on_tick(&mut self, tick: &Tick<'_>, _: &World) -> Vec<String> {
        if tick.now_ns.saturating_sub(self.counted_ns) >= COUNT_NS {
            self.counted_ns = tick.now_ns;
            self.count(tick.taps.values());
        }
        Vec::new()
    }

    fn on_end(&mut self, summary: &Summary, world: &World) -> Vec<String> {
        if self.has_failed() {
            return Vec::new();
        }
        self.count(summary.taps.values());
        let mut text = String::new();
        let not_shown = self.not_shown();
        self.writer
            .text()
            .summary(&mut text, summary, &not_shown, world);
        let mut inbox = self.shared.inbox();
        inbox.summary = text;
        inbox.has_ended = true;
        Vec::new()
    }

    /// It ends the reading of a part that the screen has left.
    fn has_failed(&self) -> bool {
        self.shared.is_left()
    }

    fn not_shown(&self) -> NotShown {
        NotShown {
            packets: self.shared.not_shown(),
            ..NotShown::default()
        }
    }
}
