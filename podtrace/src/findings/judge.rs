//! What a judgement of conversations depends on, beside themselves.
use std::net::IpAddr;

use super::{conversation::Conversation, overflows::Overflows, side::Of};
use crate::{map::Map, model::facts::ListenCounters, path::losses::Losses};

/// Judges conversations at one time.
pub(super) struct Judge<'a> {
    now_ns: u64,
    losses: &'a Losses,
    partial_ns: Option<u64>,
    overflows: &'a Overflows,
    /// How many connections each server has answered.
    accepted: Map<(IpAddr, Option<u16>), u64>,
    /// How many datagrams found no room at each socket.
    unread: Map<(IpAddr, Option<u16>), u64>,
}

impl<'a> Judge<'a> {
    /// `losses`: when events were lost; `partial_ns`: since when some interfaces are unwatched.
    pub(super) fn new(
        now_ns: u64,
        losses: &'a Losses,
        partial_ns: Option<u64>,
        overflows: &'a Overflows,
    ) -> Self {
        Self {
            now_ns,
            losses,
            partial_ns,
            overflows,
            accepted: Map::default(),
            unread: Map::default(),
        }
    }

    /// The same with the connections that these conversations show.
    pub(super) fn with_servers(mut self, conversations: &[&Conversation]) -> Self {
        let answered = conversations.iter();
        for talk in answered.filter(|talk| talk.opening.is_answered()) {
            *self.accepted.entry(talk.reached.to()).or_default() += 1;
        }
        for talk in conversations {
            for of in [Of::Client, Of::Server] {
                let told = talk.side(of).unread.told;
                if told > 0 {
                    *self.unread.entry(talk.socket(of)).or_default() += told;
                }
            }
        }
        self
    }

    /// How many datagrams of all conversations found no room at the socket that a side is for.
    pub(super) fn unread(&self, talk: &Conversation, of: Of) -> u64 {
        let unread = self.unread.get(&talk.socket(of));
        unread.copied().unwrap_or_default()
    }

    /// How many other connections the same server has answered.
    pub(super) fn accepted(&self, talk: &Conversation) -> u64 {
        let accepted = self.accepted.get(&talk.reached.to());
        accepted.copied().unwrap_or_default()
    }

    /// What the server's kernel says of its listening sockets, if a queue of one was full.
    pub(super) fn overflows(&self, talk: &Conversation) -> Option<ListenCounters> {
        self.overflows.risen(talk.opening.reached_netns?)
    }

    /// Whether so much time has passed since then.
    pub(super) fn has_waited(&self, since_ns: u64, wait_ns: u64) -> bool {
        self.now_ns.saturating_sub(since_ns) >= wait_ns
    }

    /// Whether podtrace may not have seen what was sent since then.
    pub(super) fn may_have_missed(&self, since_ns: u64) -> bool {
        self.partial_ns.is_some() || self.losses.overlap(since_ns, self.now_ns)
    }
}
