//! Questions without an answer: for a neighbour's address, and for a connection.
use std::{collections::VecDeque, net::IpAddr};

use super::Builder;
use crate::{
    model::event::Event,
    packet::Transport,
    path::{Outcome, Path},
    world::World,
};

/// Upper bound of the answers that are known; the oldest is forgotten first.
const ANSWERS_MAX: usize = 1024;

/// The newest answers: when, about which address, and to whom.
#[derive(Default)]
pub(super) struct Answers(VecDeque<(u64, IpAddr, IpAddr)>);

impl Answers {
    /// Notes an answer that is seen for the first time.
    #[inline(never)]
    pub(super) fn note(&mut self, event: &Event) {
        if let Some((about, to)) = event.packet.answers() {
            if self.0.len() >= ANSWERS_MAX {
                self.0.pop_front();
            }
            self.0.push_back((event.ts_ns, about, to));
        }
    }

    /// How a path ends whose packet was not seen where it is for: a question that was answered
    /// has reached somebody who knows.
    pub(super) fn outcome(&self, path: &Path) -> Outcome {
        let Some(question) = path.packet.question() else {
            return Outcome::NotSeenFurther;
        };
        let asked_ns = path.first_ns();
        let is_answered = self.0.iter().any(|(ts_ns, about, to)| {
            *ts_ns >= asked_ns && (*about, *to) == (question.about, question.by)
        });
        if is_answered {
            Outcome::Delivered
        } else {
            Outcome::Unanswered
        }
    }
}

impl Builder {
    /// Ends the path of the SYN that a pod's socket answers with this packet.
    #[cold]
    pub(super) fn note_accepted(&mut self, event: &Event, world: &World) {
        let point = world.tap_points.get(event.interface);
        let (Some(ends), true, Transport::Tcp { acknowledgment, .. }) = (
            event.packet.ends(),
            point.is_some_and(|point| point.in_pod || point.leads_to.is_some()),
            event.packet.transport,
        ) else {
            return;
        };
        let asked = ends.reversed();
        // A SYN counts as one byte (RFC 9293).
        let begun = self.refusals.begun.find(acknowledgment.wrapping_sub(1));
        let mut begun = begun.map(|begun| (begun.slot, begun.id));
        let syn = begun.find(|(slot, id)| {
            let open = self.open.get(*slot).filter(|open| open.path.id == *id);
            open.is_some_and(|open| open.wants_answer && open.path.has_had(asked))
        });
        drop(begun);
        if let Some((slot, _)) = syn {
            self.close(slot, Outcome::Delivered);
        }
    }
}
