//! All consumers of a pipeline, in order.
use std::io;

use super::consumer::{Consumer, Events, Tick};
use crate::{
    model::{drop::KernelDrop, event::Event, loss::LostSpan, origin::Origin},
    packet::Packet,
    path::{
        Path,
        summary::{NotShown, Summary},
    },
    update::Update,
    world::World,
};

/// The consumers that a tick is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ticks {
    All,
    /// Those that take it in order with the events.
    InOrder,
    /// The others.
    AtOnce,
}

/// The consumers: each receives the notices of the consumers before it.
#[derive(Default)]
pub(super) struct Consumers {
    /// Each with the events that it takes.
    all: Vec<(Events, Box<dyn Consumer>)>,
    /// Whether one takes the captured bytes.
    take_bytes: bool,
    /// Whether one takes those of what is shown.
    show_bytes: bool,
    /// Whether one takes the events that are shown.
    take_shown: bool,
    /// Whether one takes what each event was joined to.
    take_joins: bool,
}

impl Consumers {
    pub(super) fn add(&mut self, consumer: Box<dyn Consumer>) {
        let events = consumer.events();
        self.take_bytes |= consumer.takes_bytes();
        self.show_bytes |= consumer.takes_bytes() && events != Events::All;
        self.take_shown |= events == Events::Shown;
        self.take_joins |= consumer.takes_joins();
        self.all.push((events, consumer));
    }

    /// Whether one takes the captured bytes.
    pub(super) fn take_bytes(&self) -> bool {
        self.take_bytes
    }

    /// Whether one takes the captured bytes of what is shown.
    pub(super) fn show_bytes(&self) -> bool {
        self.show_bytes
    }

    /// Whether one takes the events that are shown.
    pub(super) fn take_shown(&self) -> bool {
        self.take_shown
    }

    /// Whether one takes what each event was joined to.
    pub(super) fn take_joins(&self) -> bool {
        self.take_joins
    }

    #[inline(never)]
    pub(super) fn joined(&mut self, event: &Event, packet: u64, further: &[u64], world: &World) {
        self.each()
            .for_each(|consumer| consumer.on_joined(event, packet, further, world));
    }

    #[inline(never)]
    pub(super) fn left_out(&mut self, event: &Event, stream: usize) {
        self.each()
            .for_each(|consumer| consumer.on_left_out(event, stream));
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

    /// Hands an event to the consumers that take it at this point.
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

    pub(super) fn hidden(&mut self, path: &Path, world: &World) {
        self.each()
            .for_each(|consumer| consumer.on_hidden(path, world));
    }

    pub(super) fn drop_packet(&mut self, drop: &KernelDrop, packet: &Packet, world: &World) {
        self.each()
            .for_each(|consumer| consumer.on_drop(drop, packet, world));
    }

    pub(super) fn loss(&mut self, lost: LostSpan) {
        self.each().for_each(|consumer| consumer.on_loss(lost));
    }

    pub(super) fn retired(&mut self, interface: u32, world: &World) {
        self.each()
            .for_each(|consumer| consumer.on_retired(interface, world));
    }

    pub(super) fn tick(&mut self, whose: Ticks, tick: &Tick<'_>, world: &World) {
        self.each_with_notices(|consumer| {
            let is_one = match whose {
                Ticks::All => true,
                Ticks::InOrder => consumer.ticks_in_order(),
                Ticks::AtOnce => !consumer.ticks_in_order(),
            };
            match is_one {
                true => consumer.on_tick(tick, world),
                false => Vec::new(),
            }
        });
    }

    /// Ends all consumers. A recorder completes the summary for those behind it.
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

    /// Items that the consumers left out.
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

    /// Flushes all of them, even if one fails; returns the first failure.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let flushed = self.each().map(|consumer| consumer.flush());
        flushed.fold(Ok(()), Result::and)
    }

    /// Closes all of them, even if one fails; returns the first failure.
    pub(super) fn close(&mut self) -> io::Result<()> {
        let closed = self.each().map(|consumer| consumer.close());
        closed.fold(Ok(()), Result::and)
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    /// Records the calls; fails in those that can fail, if it has a message.
    struct CallLog {
        name: &'static str,
        failure: Option<&'static str>,
        calls: Rc<RefCell<Vec<String>>>,
    }

    impl CallLog {
        fn record(&self, call: &str) -> io::Result<()> {
            self.calls
                .borrow_mut()
                .push(format!("{} {call}", self.name));
            self.failure
                .map_or(Ok(()), |words| Err(io::Error::other(words)))
        }
    }

    impl Consumer for CallLog {
        fn on_loss(&mut self, _: LostSpan) {
            let _ = self.record("loss");
        }

        fn on_end(&mut self, _: &Summary, _: &World) -> Vec<String> {
            let _ = self.record("end");
            Vec::new()
        }

        fn flush(&mut self) -> io::Result<()> {
            self.record("flush")
        }

        fn close(&mut self) -> io::Result<()> {
            self.record("close")
        }
    }

    #[test]
    fn failing_consumer_does_not_affect_the_others() {
        let calls = Rc::default();
        let mut consumers = Consumers::default();
        for (name, failure) in [
            ("a", None),
            ("b", Some("first")),
            ("c", Some("second")),
            ("d", None),
        ] {
            let calls = Rc::clone(&calls);
            consumers.add(Box::new(CallLog {
                name,
                failure,
                calls,
            }));
        }
        assert_eq!(consumers.flush().unwrap_err().to_string(), "first");
        assert_eq!(consumers.close().unwrap_err().to_string(), "first");
        consumers.loss(LostSpan::default());
        consumers.end(&mut Summary::default(), &World::default());
        let called = |call| ["a", "b", "c", "d"].map(|name| format!("{name} {call}"));
        let expected = ["flush", "close", "loss", "end"].map(called).concat();
        assert_eq!(*calls.borrow(), expected);
    }
}
