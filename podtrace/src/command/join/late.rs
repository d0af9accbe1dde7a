//! Sessions that begin after the others: nodes beyond those that were waited for, and nodes whose
//! recording began anew.
use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{
        Arc,
        mpsc::{Sender, SyncSender},
    },
};

use tokio::runtime::Handle;

use super::message::Message;
use crate::{
    queue::{Queue, Received, follow},
    replay::cluster::{Later, Newcomer},
    session::reader::{ReaderOptions, Relayed},
    wire::{
        done::{Done, StoredDone},
        message::Context,
        relay::Relay,
    },
};

/// What a bucket's reader needs to begin with a session.
pub(super) struct Late {
    pub(super) bucket: u16,
    pub(super) options: ReaderOptions,
    pub(super) later: Later,
    /// The hops of sessions that were done before.
    pub(super) done: BTreeMap<String, StoredDone>,
    /// Takes the sessions.
    pub(super) newcomers: Sender<Newcomer>,
    pub(super) queue: Queue,
    pub(super) runtime: Handle,
    /// Takes what is read again.
    pub(super) messages: SyncSender<Message>,
}

impl Late {
    /// A session with its first context; none if that is another one, which tells nothing alone.
    pub(super) fn session(
        &self,
        context: &Arc<Context>,
        number: usize,
    ) -> Option<(Relay, Relayed, Newcomer, Done)> {
        if context.number != 0 {
            return None;
        }
        let name = &context.session;
        let options = (self.options.clone(), &self.later);
        let (relayed, newcomer) = Newcomer::relay(name, options, number);
        let done = self.done.get(name).cloned();
        let done = Done::from(done.unwrap_or_default());
        let mut relay = Relay::new(self.bucket, done.clone());
        relay.add_context(Arc::clone(context));
        Some((relay, relayed, newcomer, done))
    }

    /// Hands a session to what joins it.
    pub(super) fn hand_on(&self, newcomer: Newcomer) {
        // Nobody takes it once that has ended.
        let _ended = self.newcomers.send(newcomer);
    }

    /// Reads messages again, by their numbers in the stream: those of the session were passed over.
    pub(super) fn read_again(&self, numbers: RangeInclusive<u64>) {
        let (messages, last) = (self.messages.clone(), *numbers.end());
        let take = move |received: Received| {
            let is_over = received.sequence >= last;
            let message = Message::Hops(received.sequence, received.payload);
            tokio::task::block_in_place(|| messages.send(message)).is_ok() && !is_over
        };
        let subject = self.queue.hops_of(self.bucket);
        let queue = self.queue.clone();
        self.runtime
            .spawn(follow(queue, subject, *numbers.start(), take));
    }
}
