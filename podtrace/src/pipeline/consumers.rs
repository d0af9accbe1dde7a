//! All consumers of a pipeline, in order.
use std::io;

use super::consumer::{Consumer, Events, Tick};
use crate::{
    model::{event::Event, loss::LostSpan, origin::Origin},
    path::{
        Path,
        summary::{NotShown, Summary},
    },
    update::Update,
    world::World,
};

/// The consumers: each receives the notices of those before it.
#[derive(Default)]
pub(super) struct Consumers {
    /// Each with the events that it takes.
    all: Vec<(Events, Box<dyn Consumer>)>,
    /// Whether one takes every event.
    take_all: bool,
    /// Whether one takes the events that are shown.
    take_shown: bool,
}

impl Consumers {
    pub(super) fn add(&mut self, consumer: Box<dyn Consumer>) {
        let events = consumer.events();
        self.take_all |= events == Events::All;
        self.take_shown |= events == Events::Shown;
        self.all.push((events, consumer));
    }

    /// Whether one takes every event.
    pub(super) fn take_all(&self) -> bool {
        self.take_all
    }

    /// Whether one takes the events that are shown.
    pub(super) fn take_shown(&self) -> bool {
        self.take_shown
    }

    fn each(&mut self) -> impl Iterator<Item = &mut Box<dyn Consumer>> {
        self.all.iter_mut().map(|(_, consumer)| consumer)
    }

    pub(super) fn update(&mut self, origin: &Origin, update: &Update, world: &World) {
        self.each()
            .for_each(|consumer| consumer.on_update(origin, update, world));
    }

    pub(super) fn notice(&mut self, text: &str) {
        self.each().for_each(|consumer| consumer.on_notice(text));
    }

    /// Hands an event to those that take it at this point.
    pub(super) fn event(&mut self, point: Events, event: &Event, packet: u64, world: &World) {
        for (events, consumer) in &mut self.all {
            if *events == point {
                consumer.on_event(event, packet, world);
            }
        }
    }

    pub(super) fn path(&mut self, path: &Path, world: &World) {
        self.each()
            .for_each(|consumer| consumer.on_path(path, world));
    }

    pub(super) fn loss(&mut self, lost: LostSpan) {
        self.each().for_each(|consumer| consumer.on_loss(lost));
    }

    pub(super) fn retired(&mut self, interface: u32, world: &World) {
        self.each()
            .for_each(|consumer| consumer.on_retired(interface, world));
    }

    pub(super) fn tick(&mut self, tick: &Tick<'_>, world: &World) {
        self.each_with_notices(|consumer| consumer.on_tick(tick, world));
    }

    /// Ends all of them. A recorder completes the summary for those behind it.
    pub(super) fn end(&mut self, summary: &mut Summary, world: &World) {
        self.each_with_notices(|consumer| {
            let notices = consumer.on_end(summary, world);
            summary.not_recorded += consumer.not_recorded();
            notices
        });
    }

    fn each_with_notices(&mut self, mut call: impl FnMut(&mut dyn Consumer) -> Vec<String>) {
        let mut rest = &mut self.all[..];
        while let Some(((_, consumer), behind)) = rest.split_first_mut() {
            for notice in call(consumer.as_mut()) {
                for (_, other) in &mut *behind {
                    other.on_notice(&notice);
                }
            }
            rest = behind;
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.all.iter().any(|(_, consumer)| consumer.is_waiting())
    }

    pub(super) fn has_failed(&self) -> bool {
        self.all.iter().any(|(_, consumer)| consumer.has_failed())
    }

    /// What all of them left out.
    pub(super) fn not_shown(&self) -> NotShown {
        let mut sum = NotShown::default();
        for (_, consumer) in &self.all {
            let NotShown {
                packets,
                events,
                notices,
            } = consumer.not_shown();
            sum.packets += packets;
            sum.events += events;
            sum.notices += notices;
        }
        sum
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.each().try_for_each(|consumer| consumer.flush())
    }

    /// Closes all of them, even if one fails.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.each()
            .map(|consumer| consumer.close())
            .fold(Ok(()), Result::and)
    }
}
