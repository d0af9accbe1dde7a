//! One of the merged sessions.
mod counts;
mod times;
mod untapped;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

pub(super) use self::times::Place;
use self::times::Tapped;
use super::numbers::Numbers;
use crate::{
    clock::nodes::Line,
    model::{
        loss::{LostBy, Missing},
        origin::Origin,
        tap::TapCounts,
    },
    pipeline::{Pipeline, TICK_LAG_NS, Unexplained},
    session::{
        chain::Chain,
        format::{SectionInfo, Tick},
        input::InputError,
        reader::Item,
    },
    text::sanitize::sanitize,
    update::Update,
};

/// One session of several.
pub struct Stream {
    pub(super) chain: Chain,
    pub(super) line: Option<Arc<Line>>,
    pub(super) numbers: Numbers,
    /// The next item, and its place in the order.
    pub(super) next: Option<(Item, Place)>,
    /// How often that has changed.
    pub(super) turn: u64,
    /// Time of the last event or tick, and of the one before the item that was read last.
    pub(super) now_ns: u64,
    before_ns: u64,
    pub(super) ticked_ns: u64,
    /// The time of the last item handed on.
    pub(super) known_ns: u64,
    /// Since when something is missing: until the next event or tick.
    pub(super) gap_ns: Option<u64>,
    pub(super) missing: Missing,
    /// Lost events of unknown time.
    pub(super) unexplained: Unexplained,
    /// The same of events that were not recorded.
    pub(super) unrecorded: Unexplained,
    /// The interfaces without a tap, by number of the session: to come, refused, partial.
    untapped: BTreeMap<usize, (u64, u64, u64)>,
    /// The streams that it continues, and whether these have not all ended yet.
    pub(super) after: Vec<usize>,
    pub(super) is_held: bool,
    /// The streams that are of the same nodes at the same time, and whose events are taken where
    /// both watched.
    pub(super) beside: Vec<usize>,
    /// What makes its times those of the streams that it continues.
    shift_ns: i64,
    /// Whether there are others.
    pub(super) is_merged: bool,
    pub(super) has_started: bool,
    tapped: Tapped,
    /// Time of its first event or tick.
    pub(super) first_ns: Option<u64>,
    /// Whether its own ticks advance its time.
    pub(super) has_ticks: bool,
    pub(super) is_over: bool,
    /// The time of its next item by its own clock; and that until which items may be handed on.
    pub(super) own_ns: u64,
    pub(super) limit_ns: u64,
    /// Since when others wait for its next item, if it is recorded meanwhile.
    pub(super) awaited: Option<Instant>,
    /// Whether others go on without it.
    pub(super) is_behind: bool,
    /// Events that came when others had gone on without it.
    pub(super) too_late: u64,
    /// Events that the selection left out.
    pub(super) filtered: TapCounts,
    /// Events beyond those that were counted when they were recorded.
    surplus: u64,
}

impl Stream {
    /// `origin`: its numbers among the merged sessions and nodes; `line`: its
    /// clock, none for the reference.
    #[must_use]
    pub fn new(chain: Chain, origin: Origin, line: Option<Arc<Line>>) -> Self {
        Self {
            chain,
            line,
            numbers: Numbers::new(origin),
            next: None,
            turn: 0,
            now_ns: 0,
            before_ns: 0,
            ticked_ns: 0,
            known_ns: 0,
            gap_ns: None,
            missing: Missing::default(),
            unexplained: Unexplained::default(),
            unrecorded: Unexplained::default(),
            untapped: BTreeMap::new(),
            after: Vec::new(),
            is_held: false,
            beside: Vec::new(),
            shift_ns: 0,
            is_merged: false,
            has_started: false,
            tapped: Tapped::Untold,
            first_ns: None,
            has_ticks: false,
            is_over: false,
            own_ns: 0,
            limit_ns: u64::MAX,
            awaited: None,
            is_behind: false,
            too_late: 0,
            filtered: TapCounts::new(),
            surplus: 0,
        }
    }

    /// Continues the streams of these numbers, which are of the same nodes: it begins when they
    /// have ended. `shift_ns`: what makes its times those of their clock, in nanoseconds.
    #[must_use]
    pub fn continuing(mut self, after: Vec<usize>, shift_ns: i64) -> Self {
        self.is_held = !after.is_empty();
        self.after = after;
        self.shift_ns = shift_ns;
        self
    }

    /// Where these streams, of the same nodes and the same time, watched too, their events are
    /// taken.
    #[must_use]
    pub fn beside(mut self, beside: Vec<usize>) -> Self {
        self.beside = beside;
        self
    }

    /// Begins a stream that continues others, which ended at that time by the reference clock.
    pub(super) fn go_on(&mut self, end_ns: u64) {
        self.is_held = false;
        self.now_ns = end_ns;
        self.known_ns = end_ns;
        self.unexplained.begin(end_ns);
        self.unrecorded.begin(end_ns);
    }

    /// Events that came when others had gone on without it.
    #[must_use]
    pub fn too_late(&self) -> u64 {
        self.too_late
    }

    /// Whether nothing more comes.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.is_over
    }

    /// Whether the others go on without it.
    #[must_use]
    pub fn is_left_behind(&self) -> bool {
        self.is_behind
    }

    /// How long the others have waited for its next item, if they do.
    #[must_use]
    pub fn lateness(&self) -> Option<Duration> {
        self.awaited.map(|since| since.elapsed())
    }

    /// The events that it has lost, or not recorded, so far.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing.lost.saturating_add(self.missing.not_recorded)
    }

    /// Events beyond those that were counted when they were recorded.
    #[must_use]
    pub fn surplus(&self) -> u64 {
        self.surplus
    }

    /// The session's files.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The session's files, to add more.
    pub fn chain_mut(&mut self) -> &mut Chain {
        &mut self.chain
    }

    /// The numbers of its nodes.
    #[must_use]
    pub fn nodes(&self) -> Range<usize> {
        self.numbers.origin().nodes.clone()
    }

    /// Reads the next item unless it is read already; returns false if there is none. Its times are
    /// corrected when it is taken.
    pub(super) fn peek(&mut self) -> Result<bool, InputError> {
        if self.next.is_some() {
            return Ok(true);
        }
        let Some(item) = self.chain.next_item()? else {
            return Ok(false);
        };
        self.before_ns = self.now_ns;
        let place = self.place(&item);
        self.next = Some((item, place));
        Ok(true)
    }

    /// Begins a section: the first one states the earlier losses, and the nodes of a session
    /// whose header was not read before.
    pub(super) fn begin(&mut self, info: &SectionInfo, pipeline: &mut Pipeline) {
        if !self.has_started && self.tapped == Tapped::Untold && !info.tells_start {
            self.tapped = Tapped::Next;
        }
        if !self.has_started {
            let lost = info.lost.saturating_sub(info.not_recorded);
            self.unexplained.explain(lost);
            self.unrecorded.explain(info.not_recorded);
        }
        let names = info.nodes.iter().map(|name| sanitize(name).into());
        let nodes = &mut pipeline.world_mut().nodes;
        if nodes.is_empty() {
            nodes.extend(names);
            self.numbers.set_nodes(0..nodes.len());
            pipeline.world_mut().state_clocks(&info.clocks, 1);
            for clock in &info.clocks {
                pipeline.notice(&clock.in_words());
            }
        }
    }

    /// Takes over the time, and what is missing until then.
    pub(super) fn tick(&mut self, tick: &Tick, pipeline: &mut Pipeline) {
        let Tick {
            now_ns,
            lost,
            not_recorded,
        } = *tick;
        self.missing = Missing {
            lost: lost.saturating_sub(not_recorded),
            not_recorded,
        };
        self.has_ticks = true;
        self.ticked_ns = now_ns;
        let counted_ns = now_ns.saturating_add(TICK_LAG_NS);
        let by = |records| LostBy {
            until_ns: counted_ns,
            read_ns: counted_ns,
            records,
        };
        if let Some(lost) = self.unexplained.count(&by(self.missing.lost)) {
            self.unexplained.explain(lost.events);
            pipeline.record_loss(lost);
        }
        if let Some(missed) = self.unrecorded.count(&by(not_recorded)) {
            self.unrecorded.explain(missed.events);
            self.watches_nothing(missed.from_ns, missed.to_ns, pipeline);
        }
    }

    /// Hands on an update; returns it if it was, with the numbers of the merged sessions.
    pub(super) fn update(
        &mut self,
        origin: &Origin,
        mut update: Update,
        pipeline: &mut Pipeline,
    ) -> Option<Update> {
        let next = pipeline.world().tap_points.next_number();
        // The replay has announced its own start already.
        let is_start = matches!(update, Update::Start(_));
        if is_start || !self.numbers.update(&mut update, next) {
            return None;
        }
        let origin = self.numbers.origin_of(origin);
        self.note_untapped(&origin, &mut update);
        pipeline.apply(&origin, &update);
        Some(update)
    }
}
