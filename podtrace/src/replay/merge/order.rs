//! Which of the merged sessions goes on.
use std::{cmp::Reverse, collections::BinaryHeap, time::Instant};

use super::{
    Merge,
    stream::{Place, Stream},
};
use crate::{pipeline::Pipeline, session::input::InputError};

/// Which sessions have to be looked at, and which one is first of the others.
pub(super) struct Order {
    /// Those whose next item is not known, or must not be handed on yet, by number.
    due: Vec<usize>,
    /// The others. What a session has taken back or corrected since is passed over.
    ready: BinaryHeap<Reverse<Ready>>,
}

/// The next item of a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ready {
    place: Place,
    number: usize,
    turn: u64,
}

/// What is to be waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Nothing,
    /// Sessions that the others do not wait for any longer.
    Stragglers,
    Items,
}

/// Whether the others wait for a session's next item.
enum Awaits {
    Nothing,
    Item,
    /// No longer.
    NoMore,
}

impl Order {
    /// Of so many sessions.
    pub(super) fn new(sessions: usize) -> Self {
        Self {
            due: (0..sessions).collect(),
            ready: BinaryHeap::with_capacity(sessions),
        }
    }

    fn push(&mut self, number: usize, stream: &Stream) {
        if let Some((_, place)) = &stream.next {
            self.ready.push(Reverse(Ready {
                place: *place,
                number,
                turn: stream.turn,
            }));
        }
    }

    /// A session's next item was taken, or must not be handed on.
    pub(super) fn look_again(&mut self, number: usize) {
        if let Err(at) = self.due.binary_search(&number) {
            self.due.insert(at, number);
        }
    }

    /// A session's next item has another place.
    pub(super) fn moved(&mut self, number: usize, stream: &Stream) {
        if self.due.binary_search(&number).is_err() {
            self.push(number, stream);
        }
    }

    /// The session whose next item is the first of all that are ready.
    pub(super) fn first(&mut self, streams: &[Stream]) -> Option<(Place, usize)> {
        while let Some(Reverse(first)) = self.ready.peek() {
            let Ready {
                place,
                number,
                turn,
            } = *first;
            let is_so =
                |stream: &Stream| stream.turn == turn && stream.next.is_some() && !stream.is_over;
            if streams.get(number).is_some_and(is_so) {
                return Some((place, number));
            }
            self.ready.pop();
        }
        None
    }
}

impl Merge {
    /// Looks at the sessions that are not ready.
    pub(super) fn look(
        &mut self,
        pipeline: &mut Pipeline,
        follow: bool,
    ) -> Result<Look, InputError> {
        let mut look = Look::Nothing;
        let mut at = 0;
        while let Some(number) = self.order.due.get(at).copied() {
            self.release(number);
            match self.awaits(number, pipeline) {
                Awaits::Nothing => {}
                Awaits::Item => {
                    look = Look::Items;
                    at += 1;
                    continue;
                }
                Awaits::NoMore => {
                    if look == Look::Nothing {
                        look = Look::Stragglers;
                    }
                    at += 1;
                    continue;
                }
            }
            let stream = &mut self.streams[number];
            if stream.is_over {
                self.order.due.remove(at);
                continue;
            }
            if stream.is_held {
                at += 1;
                continue;
            }
            let may_go_on = follow && self.patience.is_none() && !stream.chain.has_ended();
            if !stream.peek()? && !may_go_on {
                stream.chain.end();
                stream.peek()?;
            }
            if stream.next.is_none() {
                if may_go_on {
                    return Ok(Look::Items);
                }
                self.end_of(number, pipeline);
                self.order.due.remove(at);
            } else if stream.own_ns > stream.limit_ns {
                look = Look::Items;
                at += 1;
            } else {
                self.order.due.remove(at);
                self.order.push(number, &self.streams[number]);
            }
        }
        Ok(look)
    }

    /// Whether the others wait for the next item of a session that is recorded meanwhile.
    fn awaits(&mut self, number: usize, pipeline: &mut Pipeline) -> Awaits {
        let Some(patience) = self.patience else {
            return Awaits::Nothing;
        };
        let stream = &mut self.streams[number];
        if stream.next.is_some() || stream.is_over || !stream.chain.would_wait() {
            stream.awaited = None;
            return Awaits::Nothing;
        }
        if stream.awaited.get_or_insert_with(Instant::now).elapsed() < patience {
            return Awaits::Item;
        }
        if !std::mem::replace(&mut stream.is_behind, true) {
            let from_ns = stream.known_ns;
            stream.gap_ns.get_or_insert(from_ns);
            stream.begins_to_miss(from_ns, pipeline);
            pipeline.world_mut().silent.extend(stream.nodes());
            self.settled = None;
        }
        Awaits::NoMore
    }

    /// Lets a session begin once those that it continues have ended.
    fn release(&mut self, number: usize) {
        let stream = &self.streams[number];
        if !stream.is_held {
            return;
        }
        let before = || stream.after.iter().map(|number| &self.streams[*number]);
        if before().all(|stream| stream.is_over) {
            let end_ns = before().map(|stream| stream.now_ns).max();
            self.streams[number].go_on(end_ns.unwrap_or_default());
            self.settled = None;
        }
    }
}
