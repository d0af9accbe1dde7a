//! Merges the sessions of several nodes into one stream, in order of corrected time.
mod events;
pub(super) mod numbers;
mod order;
mod stream;
mod twice;

use std::{sync::Arc, time::Duration};

use crate::{
    clock::nodes::Line,
    model::{event::Event, loss::Missing},
    path::{losses::LEAD_NS, reorder::SLACK_NS},
    pipeline::Pipeline,
    session::{input::InputError, reader::Item},
    update::Update,
};
use order::{Look, Order};
use stream::Place;
pub use stream::Stream;
use twice::Twice;

/// Selects events.
pub trait Select {
    /// Whether the event is selected.
    fn wants(&mut self, event: &Event, pipeline: &Pipeline) -> bool;
    /// Whether nothing after that time is selected.
    fn is_over(&self, ts_ns: u64) -> bool;
}

/// Selects everything.
pub struct All;

impl Select for All {
    fn wants(&mut self, _: &Event, _: &Pipeline) -> bool {
        true
    }

    fn is_over(&self, _: u64) -> bool {
        false
    }
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
    order: Order,
    /// The sessions whose taps do not take packets yet.
    unstarted: Vec<usize>,
    /// The session whose losses are known for the shortest time, and until when.
    settled: Option<(usize, u64)>,
    twice: Twice,
    first_ns: Option<u64>,
    last_ns: u64,
    /// How long others wait for a session that is recorded meanwhile.
    patience: Option<Duration>,
    /// The greatest time that was handed on.
    front_ns: u64,
    /// The greatest time that may be handed on.
    until_ns: u64,
}

impl Merge {
    /// Merges sessions; the first is the reference.
    #[must_use]
    pub fn new(mut streams: Vec<Stream>) -> Self {
        let is_merged = streams.len() > 1;
        for stream in &mut streams {
            stream.is_merged = is_merged;
        }
        Self {
            twice: Twice::new(&streams),
            order: Order::new(streams.len()),
            unstarted: (0..streams.len()).collect(),
            settled: None,
            streams,
            first_ns: None,
            last_ns: 0,
            patience: None,
            front_ns: 0,
            until_ns: u64::MAX,
        }
    }

    /// As [`Self::new`], of sessions that are recorded meanwhile: one whose next item takes longer
    /// than `patience` is left behind until it comes.
    #[must_use]
    pub fn live(streams: Vec<Stream>, patience: Duration) -> Self {
        Self {
            patience: Some(patience),
            ..Self::new(streams)
        }
    }

    /// Hands on nothing after that time by the reference clock, and of each session nothing after
    /// its time of `limits`, by its own clock, until it is told others.
    pub fn hold_after(&mut self, until_ns: u64, limits: &[u64]) {
        self.until_ns = until_ns;
        for (number, (stream, limit_ns)) in self.streams.iter_mut().zip(limits).enumerate() {
            stream.limit_ns = *limit_ns;
            if stream.next.is_some() && stream.own_ns > stream.limit_ns {
                stream.turn += 1;
                self.order.look_again(number);
            }
        }
    }

    /// Takes in another session, of other nodes, which is recorded meanwhile.
    #[cfg(feature = "cluster")]
    pub(super) fn add(&mut self, stream: Stream) {
        let number = self.streams.len();
        self.streams.push(stream);
        self.streams
            .iter_mut()
            .for_each(|stream| stream.is_merged = true);
        self.order.look_again(number);
        self.unstarted.push(number);
        self.settled = None;
    }

    /// Waits anew for the sessions that are not left behind: nobody has read them meanwhile.
    pub fn wait_anew(&mut self) {
        for stream in self.streams.iter_mut().filter(|stream| !stream.is_behind) {
            stream.awaited = None;
        }
    }

    /// Corrects the clock of a session by another line from its next item on.
    pub fn correct(&mut self, number: usize, line: Arc<Line>) {
        if let Some(stream) = self.streams.get_mut(number) {
            stream.correct(line);
            self.order.moved(number, stream);
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

    /// Whether the next item is not read yet.
    pub fn would_wait(&mut self) -> bool {
        let mut streams = self.streams.iter_mut();
        streams.any(|stream| {
            let is_due = stream.next.is_none() && !stream.is_over && !stream.is_held;
            is_due && stream.chain.would_wait()
        })
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
        let look = self.look(pipeline, follow)?;
        if look == Look::Items {
            return Ok(Step::Waiting);
        }
        let Some((Place { ns, .. }, number)) = self.order.first(&self.streams) else {
            // Those that they waited for may have ended only now.
            let is_held = self.streams.iter().any(|stream| stream.is_held);
            return match (look, is_held) {
                (Look::Stragglers, _) => Ok(Step::Waiting),
                (_, true) => self.step(pipeline, select, follow),
                (_, false) => Ok(Step::Over),
            };
        };
        if ns > self.until_ns {
            return Ok(Step::Waiting);
        }
        if select.is_over(ns) {
            return Ok(Step::Over);
        }
        self.hand_on(number, ns, pipeline, select);
        Ok(Step::At(ns))
    }

    /// Takes no more of a session.
    pub fn give_up(&mut self, number: usize, pipeline: &mut Pipeline) {
        if self
            .streams
            .get(number)
            .is_some_and(|stream| !stream.is_over)
        {
            self.end_of(number, pipeline);
        }
    }

    /// Ends a session: its nodes no longer show packets that reach them, unless another session
    /// of theirs goes on.
    fn end_of(&mut self, number: usize, pipeline: &mut Pipeline) {
        self.streams[number].is_over = true;
        self.settled = None;
        let stream = &self.streams[number];
        let goes_on =
            |other: &Stream| other.has_started && !other.is_over && other.nodes() == stream.nodes();
        if !stream.is_merged {
            return;
        }
        if self.streams.iter().any(goes_on) {
            let others = self.streams.iter().filter(|other| goes_on(other));
            let own = |other: &&Stream| other.untapped_here();
            if let Some(other) = others.min_by_key(own) {
                // What the other left out, this one may have watched until now.
                other.watch_alone(stream.now_ns, pipeline);
            }
            return;
        }
        pipeline.world_mut().silent.extend(stream.nodes());
        // A capture of another tool never shows where a packet ends.
        if stream.chain.is_own() {
            // What was seen last was seen whole.
            let end_ns = stream.now_ns.saturating_add(1);
            stream.watches_nothing(end_ns, end_ns, pipeline);
        }
    }

    fn hand_on(
        &mut self,
        number: usize,
        ns: u64,
        pipeline: &mut Pipeline,
        select: &mut dyn Select,
    ) {
        let is_too_late = self.is_too_late(ns);
        let stream = &mut self.streams[number];
        let Some(item) = stream.take_next() else {
            return;
        };
        self.order.look_again(number);
        if self.settled.is_some_and(|(slowest, _)| slowest == number) {
            self.settled = None;
        }
        let before_ns = std::mem::replace(&mut stream.known_ns, ns);
        if stream.chain.take_gap() {
            stream.gap_ns.get_or_insert(before_ns);
        }
        let has_time = item.has_time();
        if has_time && let Some(from_ns) = stream.gap_ns.take() {
            let from_ns = if stream.has_started { from_ns } else { ns };
            // What is seen next may have been under way.
            stream.watches_nothing(from_ns, ns.saturating_add(LEAD_NS), pipeline);
        }
        if has_time && std::mem::take(&mut stream.is_behind) {
            self.settled = None;
            for node in stream.nodes() {
                pipeline.world_mut().silent.remove(&node);
            }
        }
        self.start(ns, pipeline);
        let stream = &mut self.streams[number];
        match item {
            Item::Event if is_too_late => self.leave_out_late(number, pipeline),
            Item::Event => self.event(number, pipeline, select),
            Item::PassedOver(passed_over) => self.pass_over(number, &passed_over, pipeline),
            Item::Update(origin, mut update) => {
                if let Update::Drops { drops } = &mut update {
                    self.twice.leave_out_told(number, drops);
                }
                if let Some(update) = stream.update(&origin, update, pipeline) {
                    self.note_watch(number, &update, ns);
                }
            }
            Item::Tick(tick) => {
                stream.tick(&tick, pipeline);
                pipeline.settle(self.settled_ns());
                if !is_too_late {
                    pipeline.advance(tick.now_ns, self.missing());
                }
            }
            Item::Loss(lost) => {
                stream.unexplained.explain(lost.events);
                pipeline.record_loss(lost);
            }
            Item::NotRecorded(missed) => {
                stream.unrecorded.explain(missed.events);
                stream.watches_nothing(missed.from_ns, missed.to_ns, pipeline);
            }
            Item::Section(info) => stream.begin(&info, pipeline),
            Item::Ready | Item::Counts(_) | Item::End(_) => {}
        }
        self.front_ns = self.front_ns.max(ns);
    }

    /// Whether the others have gone on beyond that time without waiting.
    fn is_too_late(&self, ns: u64) -> bool {
        self.patience.is_some() && ns.saturating_add(SLACK_NS) < self.front_ns
    }

    /// From that time on, what reaches the nodes of sessions is seen there, as they have taps.
    fn start(&mut self, ns: u64, pipeline: &mut Pipeline) {
        let streams = &mut self.streams;
        self.unstarted.retain(|number| {
            let stream = &mut streams[*number];
            stream.has_started = stream.tapped_ns().is_some_and(|tapped_ns| tapped_ns <= ns);
            // What is behind tells nothing until it is back, and what is over nothing more.
            if stream.has_started && !stream.is_behind && !stream.is_over {
                for node in stream.nodes() {
                    pipeline.world_mut().silent.remove(&node);
                }
            }
            !stream.has_started
        });
    }

    fn note_watch(&mut self, stream: usize, update: &Update, now_ns: u64) {
        match update {
            Update::TapPoint { number, point } => self.twice.watch(stream, *number, point, now_ns),
            Update::Removed { number } => self.twice.unwatch(stream, *number, now_ns),
            Update::Snapshot(seen) => self.twice.watch_sockets(stream, seen.watches_sockets),
            _ => {}
        }
    }

    /// The events that were left out as another recording of their node has them, and those
    /// that were left out where one recording takes over from another.
    #[must_use]
    pub fn held_twice(&self) -> (u64, u64) {
        (self.twice.held_twice, self.twice.between)
    }

    fn missing(&self) -> Missing {
        let all = self.streams.iter().map(|stream| stream.missing);
        all.fold(Missing::default(), |sum, more| Missing {
            lost: sum.lost.saturating_add(more.lost),
            not_recorded: sum.not_recorded.saturating_add(more.not_recorded),
        })
    }

    /// The time until which the losses of all sessions are known: a session reports its losses
    /// before later items. Captures of other tools never report any.
    fn settled_ns(&mut self) -> u64 {
        let reports = |stream: &Stream| {
            let is_there = !stream.is_over && !stream.is_held && !stream.is_behind;
            is_there && stream.chain.is_own()
        };
        let streams = &self.streams;
        let find = || {
            let all = streams.iter().enumerate();
            let all = all.filter(|(_, stream)| reports(stream));
            let slowest = all.map(|(number, stream)| (stream.known_ns, number)).min();
            slowest.map_or((usize::MAX, u64::MAX), |(known_ns, number)| {
                (number, known_ns)
            })
        };
        self.settled.get_or_insert_with(find).1
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
