//! Merges the sessions of several nodes into one stream, in order of corrected time.
mod numbers;

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use podtrace_ebpf::record::Direction;

use crate::{
    clock::nodes::Line,
    model::{
        event::Event,
        loss::{LostBy, LostSpan},
        origin::Origin,
        tap::{TapCount, TapCounts},
    },
    path::reorder::SLACK_NS,
    pipeline::{OTHERS, Pipeline, TICK_LAG_NS, Unexplained},
    session::{
        chain::{Chain, Gap},
        format::{SectionInfo, Tick},
        input::InputError,
        reader::Item,
    },
    text::sanitize::sanitize,
    update::Update,
};
use numbers::Numbers;

/// How much later than its last event the time of a stream without ticks advances, in
/// nanoseconds.
const TICK_NS: u64 = 50_000_000;

/// One session of several.
pub struct Stream {
    chain: Chain,
    line: Option<Arc<Line>>,
    numbers: Numbers,
    /// The next item, and its time by the reference clock.
    next: Option<(Item, u64)>,
    /// Time of the last event or tick.
    now_ns: u64,
    ticked_ns: u64,
    /// The time of the last item handed on.
    known_ns: u64,
    lost: u64,
    unexplained: Unexplained,
    has_begun: bool,
    /// Whether its own ticks advance its time.
    has_ticks: bool,
    is_over: bool,
    /// Events that the selection left out.
    filtered: TapCounts,
}

/// Selects events.
pub trait Select {
    /// Whether the event is selected.
    fn wants(&mut self, event: &Event, pipeline: &Pipeline) -> bool;
    /// Whether nothing later is selected.
    fn is_over(&self, ts_ns: u64) -> bool;
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It handed on an event or an update of that time, by the reference clock.
    At(u64),
    /// A file has no more for now.
    Waiting,
    /// It has handed on everything.
    Over,
}

/// The merged sessions.
pub struct Merge {
    streams: Vec<Stream>,
    first_ns: Option<u64>,
    last_ns: u64,
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
            now_ns: 0,
            ticked_ns: 0,
            known_ns: 0,
            lost: 0,
            unexplained: Unexplained::default(),
            has_begun: false,
            has_ticks: false,
            is_over: false,
            filtered: TapCounts::new(),
        }
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

    /// Reads the next item unless it is read already; false if there is none.
    fn peek(&mut self) -> Result<bool, InputError> {
        if self.next.is_some() {
            return Ok(true);
        }
        let Some(mut item) = self.chain.next_item()? else {
            return Ok(false);
        };
        let line = self.line.as_deref();
        let corrected = |ns: u64| line.map_or(ns, |line| line.to_reference(ns));
        let own_ns = match &mut item {
            Item::Event => self.chain.event().map_or(0, |event| {
                event.ts_ns = corrected(event.ts_ns);
                event.ts_ns
            }),
            Item::Tick(tick) => {
                tick.now_ns = corrected(tick.now_ns);
                // Events older by the slack may follow.
                tick.now_ns.saturating_sub(SLACK_NS)
            }
            Item::Update(_, update) => {
                update.map_times(corrected);
                0
            }
            Item::Loss(lost) => {
                lost.map_times(corrected);
                0
            }
            _ => 0,
        };
        // What comes later in the file happened later.
        self.now_ns = self.now_ns.max(own_ns);
        self.next = Some((item, self.now_ns));
        Ok(true)
    }
}

impl Merge {
    /// Merges sessions; the first is the reference.
    #[must_use]
    pub fn new(streams: Vec<Stream>) -> Self {
        Self {
            streams,
            first_ns: None,
            last_ns: 0,
        }
    }

    /// The merged sessions.
    #[must_use]
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// The sessions, to add files.
    pub fn streams_mut(&mut self) -> &mut [Stream] {
        &mut self.streams
    }

    /// Hands on the next item. `follow`: a session without more items may still grow.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn step(
        &mut self,
        pipeline: &mut Pipeline,
        select: &mut dyn Select,
        follow: bool,
    ) -> Result<Step, InputError> {
        let mut earliest: Option<(u64, usize)> = None;
        for number in 0..self.streams.len() {
            let stream = &mut self.streams[number];
            if stream.is_over {
                continue;
            }
            let may_go_on = follow && !stream.chain.has_ended();
            let mut has_next = stream.peek()?;
            if !has_next && !may_go_on {
                stream.chain.end();
                has_next = stream.peek()?;
            }
            if has_next {
                let ns = stream.next.as_ref().map_or(0, |(_, ns)| *ns);
                if earliest.is_none_or(|(other, _)| ns < other) {
                    earliest = Some((ns, number));
                }
            } else if may_go_on {
                return Ok(Step::Waiting);
            } else {
                self.end_of(number, pipeline);
            }
        }
        let Some((ns, number)) = earliest else {
            return Ok(Step::Over);
        };
        if select.is_over(ns) {
            return Ok(Step::Over);
        }
        self.hand_on(number, ns, pipeline, select);
        Ok(Step::At(ns))
    }

    /// Ends a session: packets on their way to its nodes are not seen there.
    fn end_of(&mut self, number: usize, pipeline: &mut Pipeline) {
        let others = self.streams.len() > 1;
        let stream = &mut self.streams[number];
        stream.is_over = true;
        if others {
            pipeline.world_mut().silent.extend(stream.nodes());
            stream.watches_nothing(stream.now_ns, stream.now_ns, pipeline);
        }
    }

    fn hand_on(
        &mut self,
        number: usize,
        ns: u64,
        pipeline: &mut Pipeline,
        select: &mut dyn Select,
    ) {
        let stream = &mut self.streams[number];
        let Some((item, _)) = stream.next.take() else {
            return;
        };
        let before_ns = std::mem::replace(&mut stream.known_ns, ns);
        match stream.chain.take_gap().filter(|_| stream.has_begun) {
            Some(Gap::Damage) => pipeline.note_loss(LostSpan {
                from_ns: before_ns,
                to_ns: ns,
                events: 0,
            }),
            Some(Gap::NotRecorded) => stream.watches_nothing(before_ns, ns, pipeline),
            None => {}
        }
        if !stream.has_begun && matches!(item, Item::Event | Item::Tick(_)) {
            stream.has_begun = true;
            for node in stream.nodes() {
                pipeline.world_mut().silent.remove(&node);
            }
        }
        match item {
            Item::Event => self.event(number, pipeline, select),
            Item::Update(origin, update) => stream.update(&origin, update, pipeline),
            Item::Tick(Tick { now_ns, lost }) => {
                stream.lost = lost;
                stream.has_ticks = true;
                stream.ticked_ns = now_ns;
                let counted_ns = now_ns.saturating_add(TICK_LAG_NS);
                // For example events that the recording lacks.
                let lost = stream.unexplained.count(&LostBy {
                    until_ns: counted_ns,
                    read_ns: counted_ns,
                    records: lost,
                });
                if let Some(lost) = lost {
                    pipeline.note_loss(lost);
                }
                pipeline.settle(self.settled_ns());
                pipeline.advance(now_ns, self.lost());
            }
            Item::Loss(lost) => {
                stream.unexplained.explain(lost.events);
                pipeline.note_loss(lost);
            }
            Item::Section(info) => stream.begin(&info, pipeline),
            Item::Ready | Item::Counts(_) | Item::End(_) => {}
        }
    }

    fn lost(&self) -> u64 {
        let lost = self.streams.iter().map(|stream| stream.lost);
        lost.fold(0, u64::saturating_add)
    }

    /// Until when the losses of all sessions are known: a session reports its losses before
    /// later items. Captures of other tools never do.
    fn settled_ns(&self) -> u64 {
        let reports = |stream: &&Stream| !stream.is_over && stream.chain.is_own();
        let settled = self.streams.iter().filter(reports);
        let settled = settled.map(|stream| stream.known_ns);
        settled.min().unwrap_or(u64::MAX)
    }

    fn event(&mut self, number: usize, pipeline: &mut Pipeline, select: &mut dyn Select) {
        let lost = self.lost();
        pipeline.settle(self.settled_ns());
        let stream = &mut self.streams[number];
        let Some(event) = stream.chain.event() else {
            return;
        };
        if !stream.numbers.event(event) {
            let tap = (OTHERS, event.direction);
            let tap = pipeline.taps_mut().0.entry(tap).or_default();
            tap.seen += 1;
            tap.undecodable += 1;
            return;
        }
        let is_due = event.ts_ns.saturating_sub(stream.ticked_ns) >= TICK_NS;
        if !stream.has_ticks && is_due {
            stream.ticked_ns = event.ts_ns;
            pipeline.advance(event.ts_ns, lost);
        }
        self.first_ns.get_or_insert(event.ts_ns);
        self.last_ns = self.last_ns.max(event.ts_ns);
        if select.wants(event, pipeline) {
            pipeline.stitch(event);
        } else {
            let tap = (event.interface, event.direction);
            stream.filtered.entry(tap).or_default().filtered += 1;
        }
    }

    /// Ends the merge: gives the pipeline the counts. Returns the duration in nanoseconds.
    pub fn finish(&mut self, pipeline: &mut Pipeline) -> u64 {
        for stream in &mut self.streams {
            stream.chain.finish();
            stream.count(pipeline);
        }
        let durations = self.streams.iter().map(|stream| stream.chain.duration_ns());
        let seen = self.last_ns - self.first_ns.unwrap_or(self.last_ns);
        match self.streams.len() {
            1 => durations.max().filter(|ns| *ns > 0).unwrap_or(seen),
            _ => seen,
        }
    }
}

impl Stream {
    /// Begins a section: the first one holds the earlier losses, and the nodes of a session
    /// whose header was not read before.
    fn begin(&mut self, info: &SectionInfo, pipeline: &mut Pipeline) {
        if !self.has_begun {
            self.unexplained.explain(info.lost);
        }
        let names = info.nodes.iter().map(|name| sanitize(name).into());
        let nodes = &mut pipeline.world_mut().nodes;
        if nodes.is_empty() {
            nodes.extend(names);
            self.numbers.set_nodes(0..nodes.len());
        }
    }

    /// Notes that it did not record at that time: what was not captured is not lost.
    fn watches_nothing(&self, from_ns: u64, to_ns: u64, pipeline: &mut Pipeline) {
        let origin = self.numbers.origin();
        for (left, ts_ns) in [(1, from_ns), (0, to_ns)] {
            let update = Update::Attaching {
                left,
                refused: 0,
                partial: 0,
                since_ns: Some(from_ns),
                ts_ns,
            };
            pipeline.apply(origin, &update);
        }
    }

    fn update(&mut self, origin: &Origin, mut update: Update, pipeline: &mut Pipeline) {
        let next = pipeline.world().tap_points.next_number();
        // The replay has announced its own start already.
        let is_start = matches!(update, Update::Start(_));
        if !is_start && self.numbers.update(&mut update, next) {
            let origin = self.numbers.origin_of(origin);
            pipeline.apply(&origin, &update);
        }
    }

    /// Adds the session's own counts to those of its items, so that each tap adds up.
    fn count(&self, pipeline: &mut Pipeline) {
        let (taps, tap_points) = pipeline.taps_mut();
        let shown = |number: u32| tap_points.get(number).map_or(OTHERS, |_| number);
        let is_counted = !self.chain.counts().is_empty();
        let all: BTreeSet<_> = self.numbers.tap_points().map(shown).collect();
        for (tap, count) in self.chain.counts() {
            if let Some(number) = self.numbers.point(tap.0) {
                let sum = taps.entry((shown(number), tap.1)).or_default();
                sum.add(&TapCount {
                    emitted: 0,
                    ..*count
                });
            }
        }
        for (tap, count) in &self.filtered {
            let sum = taps.entry((shown(tap.0), tap.1)).or_default();
            sum.filtered = sum.filtered.saturating_add(count.filtered);
        }
        for number in all {
            // Taps that saw nothing have no counts of their own.
            for direction in Direction::ALL.into_iter().filter(|_| is_counted) {
                taps.entry((number, direction)).or_default();
            }
            for (_, sum) in
                taps.range_mut((number, Direction::Ingress)..=(number, Direction::Unknown))
            {
                let accounted = sum.accounted();
                // An interrupted session has counted too little, and a damaged file lacks
                // some of the counts.
                sum.seen = sum.seen.max(accounted);
                let missing = sum.seen - accounted;
                sum.unrecorded = sum.unrecorded.saturating_add(missing);
            }
        }
    }
}
