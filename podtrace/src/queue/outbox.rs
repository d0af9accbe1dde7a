//! What waits to be published, and how often that was done.
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};

use super::Queue;
use crate::{signals::Stop, wire::message::Unpublished};

/// Messages that wait at most, and those on their way.
const WAITING: usize = 512;
const ON_THE_WAY: usize = 256;
/// Pause before a message is sent again, and how long that goes on where nobody can wait.
const PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);

/// A message.
pub(super) struct Outgoing {
    pub(super) subject: String,
    pub(super) payload: Bytes,
    /// The hops in it, if any.
    pub(super) hops: Option<Unpublished>,
}

/// What became of the messages.
#[derive(Clone, Default)]
pub(super) struct Fates(Arc<Mutex<Fate>>);

#[derive(Default)]
struct Fate {
    /// What was not published and not told yet.
    unpublished: Vec<Unpublished>,
    messages: u64,
    bytes: u64,
}

impl Fates {
    fn change<T>(&self, change: impl FnOnce(&mut Fate) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes note that hops are not published.
    pub(super) fn lose(&self, hops: Unpublished) {
        self.change(|fate| fate.unpublished.push(hops));
    }

    /// The hops that were not published since the last call.
    pub(super) fn take_unpublished(&self) -> Vec<Unpublished> {
        self.change(|fate| std::mem::take(&mut fate.unpublished))
    }

    /// How many messages were published, and their bytes.
    pub(super) fn published(&self) -> (u64, u64) {
        self.change(|fate| (fate.messages, fate.bytes))
    }
}

/// Where messages go.
pub(super) struct Outbox {
    sender: Sender<Outgoing>,
    fates: Fates,
    /// Whether who fills it can wait: what it publishes is on a disk.
    can_wait: bool,
}

impl Outbox {
    /// Publishes what is put in until it is dropped; `can_wait`: whether who does so may be held up.
    pub(super) fn open(
        queue: Queue,
        can_wait: bool,
        (runtime, stop): (&tokio::runtime::Runtime, &Stop),
    ) -> (Self, Fates, tokio::task::JoinHandle<()>) {
        let (sender, receiver) = channel(WAITING);
        let fates = Fates::default();
        let sending = Sending {
            queue,
            fates: fates.clone(),
            can_wait,
            stop: stop.clone(),
        };
        let sending = runtime.spawn(send_all(sending, receiver));
        let outbox = Self {
            sender,
            fates: fates.clone(),
            can_wait,
        };
        (outbox, fates, sending)
    }

    /// Puts in a message. Hops without room are lost if nobody can wait; returns whether the outbox
    /// is open still.
    pub(super) fn put(&self, message: Outgoing) -> bool {
        if self.can_wait || message.hops.is_none() {
            return self.sender.blocking_send(message).is_ok();
        }
        match self.sender.try_send(message) {
            Ok(()) => true,
            Err(TrySendError::Full(message)) => {
                message
                    .hops
                    .into_iter()
                    .for_each(|hops| self.fates.lose(hops));
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }
}

/// How messages are sent.
#[derive(Clone)]
struct Sending {
    queue: Queue,
    fates: Fates,
    can_wait: bool,
    stop: Stop,
}

async fn send_all(sending: Sending, mut receiver: Receiver<Outgoing>) {
    let mut on_the_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = on_the_way.next(), if !on_the_way.is_empty() => {}
            message = receiver.recv(), if on_the_way.len() < ON_THE_WAY => match message {
                Some(message) => on_the_way.push(send(sending.clone(), message)),
                None => break,
            },
        }
    }
    while on_the_way.next().await.is_some() {}
}

/// Sends a message until the server has it: twice where its answer is lost, which readers see by its
/// number.
async fn send(sending: Sending, message: Outgoing) {
    let Sending { queue, fates, .. } = &sending;
    let begun = Instant::now();
    let len = message.payload.len();
    // Without what is no hop, nobody can read a session.
    let patience = match message.hops {
        Some(_) => PATIENCE,
        None => 6 * PATIENCE,
    };
    while len <= queue.message_max() {
        let (subject, payload) = (message.subject.clone(), message.payload.clone());
        let sent = queue.jetstream.publish(subject, payload).await;
        if let Ok(acknowledged) = sent
            && acknowledged.await.is_ok()
        {
            fates.change(|fate| {
                fate.messages += 1;
                fate.bytes += len as u64;
            });
            return;
        }
        let waits = sending.can_wait && !sending.stop.is_set();
        if !waits && begun.elapsed() > patience {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    message.hops.into_iter().for_each(|hops| fates.lose(hops));
}
