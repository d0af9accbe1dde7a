//! How a TCP connection is opened, as far as it is seen.
use super::side::Fate;
use crate::{
    packet::{TCP_ACK, TCP_RST, TCP_SYN, Transport, asks_to_connect},
    path::{LateOf, Outcome, Path},
    world::World,
};

/// What is seen of the handshake.
#[derive(Clone, Debug, Default)]
pub(super) struct Opening {
    /// The number of the SYN.
    pub(super) sequence: Option<u32>,
    pub(super) syns: u64,
    pub(super) last_syn_ns: u64,
    pub(super) syn_acks: u64,
    /// The number of the SYN that they acknowledge: the path of a SYN may end after theirs.
    answered: Option<u32>,
    /// How many SYNs have reached a socket that did not answer, and where.
    pub(super) reached: u64,
    pub(super) reached_at: Option<Box<str>>,
    /// The id of the network namespace where one has arrived.
    pub(super) reached_netns: Option<u64>,
    /// Segments with data from the client that arrived.
    pub(super) data: u64,
    /// How many SYN-ACKs were sent after such data.
    pub(super) repeated: u64,
    /// Whether the client has acknowledged the SYN-ACK.
    pub(super) is_acknowledged: bool,
    /// Whether both have asked for it at once (RFC 9293, 3.5): no queue of a listening socket is
    /// concerned.
    is_simultaneous: bool,
    /// Whether the server has sent anything behind its SYN-ACK.
    pub(super) goes_on: bool,
}

impl Opening {
    /// Whether a path is the SYN of another connection with the same ports.
    pub(super) fn is_other(&self, path: &Path, is_answer: bool) -> bool {
        // The other end has asked, too, before it has got the question.
        if is_answer && self.syns > 0 && self.syn_acks == 0 {
            return false;
        }
        match (path.packet.transport, self.sequence) {
            (
                Transport::Tcp {
                    flags, sequence, ..
                },
                None,
            ) => {
                let is_known = self.syn_acks > 0 || self.goes_on || self.data > 0;
                asks_to_connect(flags) && is_known && self.answered != Some(sequence)
            }
            (
                Transport::Tcp {
                    flags, sequence, ..
                },
                Some(known),
            ) => asks_to_connect(flags) && sequence != known,
            _ => false,
        }
    }

    pub(super) fn add(&mut self, path: &Path, is_answer: bool, fate: Fate, world: &World) {
        let Transport::Tcp {
            flags,
            sequence,
            acknowledgment,
            payload,
            ..
        } = path.packet.transport
        else {
            return;
        };
        let ts_ns = path.first_ns();
        // What a later report corrects was counted before, unless that was not taken.
        let is_new = u64::from(path.late_of.is_none() || self.syns == 0);
        match (is_answer, flags & (TCP_SYN | TCP_ACK | TCP_RST)) {
            (false, TCP_SYN) => {
                self.sequence = Some(sequence);
                self.syns += is_new;
                self.last_syn_ns = self.last_syn_ns.max(ts_ns);
                if fate == Fate::Arrived {
                    self.reached_netns = path.last_point(world).map(|point| point.netns_id);
                }
                let was_unanswered = |before: LateOf| before.outcome == Outcome::Unanswered;
                if path.late_of.is_some_and(was_unanswered) {
                    self.reached = self.reached.saturating_sub(1);
                }
                if path.outcome == Outcome::Unanswered {
                    self.reached += 1;
                    self.reached_at = self.reached_at.take().or_else(|| place(path, world));
                }
            }
            (true, TCP_SYN) => self.is_simultaneous = true,
            (true, flags) if flags & TCP_SYN != 0 => {
                self.syn_acks += u64::from(path.late_of.is_none());
                self.answered = Some(acknowledgment.wrapping_sub(1));
                self.repeated += u64::from(self.data > 0);
            }
            (true, flags) => self.goes_on |= flags & TCP_RST == 0,
            (false, flags) => {
                self.data += u64::from(payload > 0 && fate == Fate::Arrived);
                self.is_acknowledged |= self.syn_acks > 0 && flags == TCP_ACK;
            }
        }
    }

    /// Whether the server answers again and again what the client has acknowledged by data.
    pub(super) fn is_deaf(&self) -> bool {
        self.repeated > 0 && self.syns > 0 && !self.goes_on && !self.is_simultaneous
    }

    /// Whether the server has answered.
    pub(super) fn is_answered(&self) -> bool {
        self.syn_acks > 0 || self.goes_on || self.is_simultaneous
    }

    /// Whether the client has acknowledged the answer.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.is_acknowledged
    }

    /// Whether it is all that is seen of the connection.
    pub(super) fn is_refused_or_unanswered(&self) -> bool {
        self.syns > 0 && !self.is_answered()
    }
}

/// Where a path's packet was last.
fn place(path: &Path, world: &World) -> Option<Box<str>> {
    let point = path.last_point(world)?;
    Some(world.owner_of(point).as_ref().into())
}
