//! The passing of time, and the end of the session.
use std::collections::BTreeMap;

use podtrace_ebpf::{config::TapCounters, record::Direction};

use super::{Pipeline, chosen::Moment, consumer::Tick, consumers::Ticks};
use crate::{
    model::{
        loss::{LostBy, LostSpan, Missing},
        origin::Origin,
    },
    path::{
        reorder::{Reorder, SLACK_NS},
        summary::Summary,
    },
    update::Update,
};

/// How long a kernel handles a packet that has arrived, in nanoseconds, as a rule: a drop that comes
/// later corrects what was shown.
const HANDLED_NS: u64 = 1_000_000;

impl Pipeline {
    /// Advances the time to `now_ns`, which is [`super::TICK_LAG_NS`] ago: all records
    /// until then have come, unless the reader is behind.
    pub fn tick(&mut self, now_ns: u64) {
        self.join_ready(|reorder| reorder.ready(now_ns));
        // Loss reports come before the tick, as in a recording.
        if let Some(loss) = self.loss_reports.take_due(now_ns, &self.taps) {
            self.apply(&Origin::default(), &Update::Loss(loss));
        }
        let missing = Missing {
            lost: self.unexplained.known(),
            not_recorded: 0,
        };
        self.advance(now_ns, missing);
    }

    /// Advances the time to `now_ns`, until which all events have come; the newest may still wait
    /// for older ones ([`SLACK_NS`]). `missing`: events missing since the beginning.
    pub fn advance(&mut self, now_ns: u64, missing: Missing) {
        let joined_ns = now_ns.saturating_sub(SLACK_NS);
        self.join_drops(joined_ns);
        self.drops_ns = self.drops_ns.max(joined_ns.saturating_sub(HANDLED_NS));
        self.builder.expire(now_ns);
        self.now_ns = self.now_ns.max(now_ns);
        self.show_finished();
        self.release();
        let moment = Moment { now_ns, missing };
        let whose = match self.chosen.hold(moment) {
            true => Ticks::AtOnce,
            false => Ticks::All,
        };
        self.tick_consumers(whose, moment);
    }

    pub(super) fn tick_consumers(&mut self, whose: Ticks, moment: Moment) {
        let tick = Tick {
            now_ns: moment.now_ns,
            missing: moment.missing,
            taps: &self.taps,
        };
        self.consumers.tick(whose, &tick, &self.world);
    }

    /// Joins what kernels have dropped until a time to its paths, and hands it to the consumers.
    fn join_drops(&mut self, now_ns: u64) {
        let joined = self.builder.join_drops(now_ns, &self.world);
        for same in joined.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((origin, _)) = same.first() else {
                continue;
            };
            let drops = same.iter().map(|(_, drop)| drop.clone()).collect();
            let update = Update::Drops { drops };
            self.consumers.update(origin, &update, &self.world);
        }
    }

    /// Takes over the count of losses until a time.
    pub fn take_lost(&mut self, lost: &LostBy) {
        if let Some(lost) = self.unexplained.count(lost) {
            self.record_loss(lost);
        }
        self.settle(lost.until_ns);
    }

    /// Records that all losses until `settled_ns` are known. A path waits until its losses
    /// are known.
    pub fn settle(&mut self, settled_ns: u64) {
        self.settled_ns = self.settled_ns.max(settled_ns);
    }

    /// Records lost events: packets under way at that time may lack hops.
    ///
    /// Call it before [`Self::settle`] settles that time. [`Self::take_lost`] attributes all
    /// losses beyond the recorded ones to the time since its last call.
    pub fn record_loss(&mut self, lost: LostSpan) {
        self.unexplained.explain(lost.events);
        self.builder.record_loss(lost.from_ns, lost.to_ns);
        self.consumers.loss(lost);
    }

    /// Takes over the taps' counters. Give those of a removed interface once more; after
    /// that they may be missing.
    pub fn count(&mut self, counters: &BTreeMap<u32, TapCounters>) {
        for (interface, counters) in counters {
            // Retired interfaces are counted already.
            if self.world.tap_points.get(*interface).is_none() {
                continue;
            }
            for (direction, counters) in Direction::ALL.into_iter().zip(counters) {
                let tap = self.taps.entry((*interface, direction)).or_default();
                tap.set_kernel(*counters);
                let refused = self.refused.get(&(*interface, direction));
                tap.filtered += refused.copied().unwrap_or(0);
            }
        }
    }

    /// Follows the last events and ends every path; updates may follow, but no events.
    pub fn end_events(&mut self) {
        self.join_ready(Reorder::all);
        self.end_paths();
    }

    /// Ends every path and writes the summary, given the final counters.
    pub fn finish(&mut self, counters: &BTreeMap<u32, TapCounters>, duration_ns: u64) -> &Summary {
        self.end_events();
        self.count(counters);
        self.end(duration_ns)
    }

    /// Ends every path: then it is known of all events whether they are shown, and the counts
    /// add up.
    pub fn end_paths(&mut self) {
        self.join_drops(u64::MAX);
        // A path that has ended comes before those that end now.
        self.show_gate();
        self.builder.finish();
        // No path is open any more, so none waits for an older one or for losses.
        (self.settled_ns, self.drops_ns) = (u64::MAX, u64::MAX);
        self.show_finished();
        self.show_gate();
        self.hand_on_decided(u64::MAX);
    }

    /// Shows all that waits for a name: there is nothing to wait for any more.
    fn show_gate(&mut self) {
        for item in self.name_gate.take_all() {
            self.show_gated(item);
        }
    }

    /// Ends every path and writes the summary.
    pub fn end(&mut self, duration_ns: u64) -> &Summary {
        self.end_paths();
        self.show_gate();
        self.summary.duration_ns = duration_ns;
        self.summary.taps.clone_from(&self.taps);
        self.summary.unseen = self.unseen();
        self.consumers.end(&mut self.summary, &self.world);
        &self.summary
    }
}
