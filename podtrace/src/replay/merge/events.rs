//! What becomes of the events of merged sessions.
use podtrace_ebpf::record::Direction;

use super::{
    Merge, Select,
    twice::{Seen, Taken},
};
use crate::{
    pipeline::{OTHERS, Pipeline},
    session::reader::PassedOver,
};

/// How much later than its last event the time of a stream without ticks advances, in
/// nanoseconds.
const TICK_NS: u64 = 50_000_000;

impl Merge {
    /// Counts an event that comes too late for its path.
    pub(super) fn leave_out_late(&mut self, number: usize, pipeline: &mut Pipeline) {
        let stream = &mut self.streams[number];
        stream.too_late += 1;
        let Some(event) = stream.chain.event() else {
            return;
        };
        pipeline.leave_out(event, number);
        let interface = stream.numbers.point(event.interface).unwrap_or(OTHERS);
        let tap = (interface, event.direction);
        let count = pipeline.taps_mut().0.entry(tap).or_default();
        count.unrecorded += 1;
    }

    /// Hands on the event of a session.
    pub(super) fn event(
        &mut self,
        number: usize,
        pipeline: &mut Pipeline,
        select: &mut dyn Select,
    ) {
        pipeline.settle(self.settled_ns());
        let event = self.streams[number].chain.event();
        let Some(ts_ns) = event.map(|event| event.ts_ns) else {
            return;
        };
        self.advance(number, ts_ns, pipeline);
        let stream = &mut self.streams[number];
        let Some(event) = stream.chain.event() else {
            return;
        };
        if !stream.numbers.event(event) {
            pipeline.leave_out(event, number);
            count_undecodable(pipeline, event.direction, 1);
            return;
        }
        let is_wanted = select.wants(event, pipeline);
        // Only the first event can be: it tells where the selection ends.
        if !is_wanted && select.is_over(event.ts_ns) {
            return;
        }
        self.first_ns.get_or_insert(event.ts_ns);
        self.last_ns = self.last_ns.max(event.ts_ns);
        let seen = Seen {
            ts_ns: event.ts_ns,
            tap: (event.interface, event.direction),
        };
        let taken = match is_wanted {
            true => self.twice.take(number, &seen, &self.streams),
            false => Taken::Elsewhere,
        };
        let stream = &mut self.streams[number];
        if taken == Taken::Yes
            && let Some(event) = stream.chain.event()
        {
            return pipeline.join(event);
        }
        stream.filtered.entry(seen.tap).or_default().filtered += 1;
        if let Taken::Between(until_ns) = taken {
            stream.watches_nothing(seen.ts_ns, until_ns, pipeline);
        }
    }

    /// Advances the time of a stream without ticks.
    fn advance(&mut self, number: usize, ts_ns: u64, pipeline: &mut Pipeline) {
        let stream = &mut self.streams[number];
        if stream.has_ticks || ts_ns.saturating_sub(stream.ticked_ns) < TICK_NS {
            return;
        }
        stream.ticked_ns = ts_ns;
        pipeline.advance(ts_ns, self.missing());
    }

    /// Counts packets that were passed over.
    pub(super) fn pass_over(
        &mut self,
        number: usize,
        packets: &PassedOver,
        pipeline: &mut Pipeline,
    ) {
        pipeline.settle(self.settled_ns());
        self.advance(number, packets.from_ns, pipeline);
        self.first_ns.get_or_insert(packets.from_ns);
        self.last_ns = self.last_ns.max(packets.until_ns);
        let stream = &mut self.streams[number];
        for ((interface, direction), packets) in &packets.taps {
            match stream.numbers.point(*interface) {
                Some(interface) => {
                    let tap = stream.filtered.entry((interface, *direction)).or_default();
                    tap.filtered += packets;
                }
                None => count_undecodable(pipeline, *direction, *packets),
            }
        }
    }
}

/// Counts packets of a tap that no recording describes.
fn count_undecodable(pipeline: &mut Pipeline, direction: Direction, packets: u64) {
    let taps = pipeline.taps_mut().0;
    let tap = taps.entry((OTHERS, direction)).or_default();
    tap.seen += packets;
    tap.undecodable += packets;
}
