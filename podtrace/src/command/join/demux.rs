//! Puts the sessions of all nodes together again, for one bucket.
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use super::{late::Late, message::Message};
use crate::{
    session::reader::Relayed,
    signals::Stop,
    wire::{
        Decoder, Hop, Limits,
        done::Done,
        message::{Context, HopsMessage},
        relay::{Relay, Takes},
    },
};

/// How long hops that others are behind are waited for: the stream does not have them any more.
pub(super) const GIVE_UP: Duration = Duration::from_secs(10);
/// Pause between two looks at what has come.
const PAUSE: Duration = Duration::from_millis(5);
/// Hops that wait to be joined at most.
const QUEUED: i64 = 1 << 20;

/// What the reading side of a bucket tells the joining one.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// Hops that were read and not joined.
    pub(super) queued: AtomicI64,
    /// Whether all sessions were read to their ends.
    pub(super) has_ended: AtomicBool,
}

#[derive(Default)]
pub(super) struct State {
    /// The sessions by their numbers.
    pub(super) names: Vec<String>,
    /// The hops of each that are done.
    pub(super) done: Vec<Done>,
    /// Where the messages with others are in the stream, by the hop behind their last.
    pub(super) held: Vec<BTreeMap<u64, u64>>,
    /// Where the first messages of sessions are that have not begun.
    pub(super) unknown: BTreeMap<String, u64>,
    pub(super) newest: u64,
    pub(super) missing: u64,
    pub(super) unreadable: u64,
    /// Hops of sessions that have ended.
    pub(super) published: u64,
}

impl Shared {
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// Adds a session, as the next one.
    pub(super) fn add(&mut self, name: &str, done: Done) {
        self.names.push(name.to_owned());
        self.done.push(done);
        self.held.push(BTreeMap::new());
        self.unknown.remove(name);
    }

    /// The number in the stream of the first message with hops that are not done.
    pub(super) fn first_undone(&mut self) -> u64 {
        let mut from = self.newest + 1;
        for (held, done) in self.held.iter_mut().zip(&self.done) {
            *held = held.split_off(&(done.base() + 1));
            from = held.values().copied().min().unwrap_or(from).min(from);
        }
        self.unknown
            .values()
            .copied()
            .min()
            .unwrap_or(from)
            .min(from)
    }
}

/// A node's session.
pub(super) struct Side {
    pub(super) relay: Relay,
    /// None once it has ended.
    pub(super) relayed: Option<Relayed>,
    /// Since when it waits for hops.
    stuck: Option<Instant>,
}

impl Side {
    pub(super) fn new(relay: Relay, relayed: Relayed) -> Self {
        Self {
            relay,
            relayed: Some(relayed),
            stuck: None,
        }
    }

    /// Hands on what can be handed on of the session of this number; returns whether it ends with
    /// that.
    pub(super) fn advance(
        &mut self,
        session: usize,
        (shared, decoder): (&Shared, &mut Decoder),
    ) -> bool {
        let Some(relayed) = &mut self.relayed else {
            return false;
        };
        let mut onward = Onward {
            relayed,
            shared,
            session,
            record: Vec::new(),
        };
        let mut has_moved = false;
        while self.relay.step(decoder, &mut onward) {
            has_moved = true;
        }
        let is_taken = relayed.flush();
        self.stuck = match self.relay.waits_for_hops() {
            Some(_) if !has_moved => self.stuck.or_else(|| Some(Instant::now())),
            Some(_) => Some(Instant::now()),
            None => None,
        };
        let has_ended = self.relay.has_ended();
        if has_ended || !is_taken {
            // Its reader sees the end when nobody can write any more.
            self.relayed = None;
        }
        has_ended
    }
}

/// All sessions.
pub(super) struct Demux {
    /// Their numbers.
    pub(super) numbers: HashMap<String, usize>,
    pub(super) sides: Vec<Side>,
    pub(super) shared: Arc<Shared>,
    pub(super) decoder: Decoder,
    pub(super) stop: Stop,
    /// How many have ended.
    pub(super) ended: usize,
    /// What begins with others.
    pub(super) late: Late,
}

/// Hands on a session.
struct Onward<'a> {
    relayed: &'a mut Relayed,
    shared: &'a Shared,
    session: usize,
    record: Vec<u8>,
}

impl Takes for Onward<'_> {
    fn blocks(&mut self, blocks: &[u8]) {
        // Damage is told by the reader itself.
        let _unreadable = self.relayed.add(blocks);
    }

    fn hop(&mut self, hop: &Hop<'_>, number: u64) {
        self.record.clear();
        hop.write_record(&mut self.record);
        if self.relayed.add_packet(&self.record, number as u32) {
            self.shared.queued.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.shared.change(|state| {
            state.unreadable += 1;
            state.done[self.session].add(number);
        });
    }

    fn missing(&mut self, first: u64, count: u64) {
        self.relayed.add_lost(count, self.relayed.last_ns());
        self.shared.change(|state| {
            state.missing += count;
            state.done[self.session].add_all(first..first + count);
        });
    }
}

/// The limits of a batch that a node makes.
pub(super) fn decoder() -> std::io::Result<Decoder> {
    Decoder::new(Limits::default())
}

impl Demux {
    /// Reads until all sessions have ended, or nobody takes them any more.
    pub(super) fn run(mut self, earlier: Vec<Arc<Context>>, messages: &Receiver<Message>) {
        for context in earlier {
            self.take(Message::Context(context));
        }
        while self.sides.iter().any(|side| side.relayed.is_some()) && !self.stop.is_set() {
            match messages.recv_timeout(PAUSE) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => self.give_up_late(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while self.shared.queued.load(Ordering::Relaxed) > QUEUED && !self.stop.is_set() {
                thread::sleep(PAUSE);
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Context(context) => {
                let session = match self.numbers.get(&context.session) {
                    Some(session) => *session,
                    None => match self.begin(&context) {
                        Some(session) => session,
                        None => return,
                    },
                };
                self.sides[session].relay.add_context(context);
                self.advance(session);
            }
            Message::Hops(sequence, bytes) => {
                self.shared
                    .change(|state| state.newest = state.newest.max(sequence));
                let Some(hops) = HopsMessage::read(&bytes) else {
                    return;
                };
                let Some(session) = self.numbers.get(hops.session).copied() else {
                    // They are read again when it begins.
                    self.shared.change(|state| {
                        let first = state.unknown.entry(hops.session.to_owned());
                        first.or_insert(sequence);
                    });
                    return;
                };
                let end = hops.first.saturating_add(hops.count.into());
                self.shared.change(|state| {
                    state.held[session].entry(end).or_insert(sequence);
                });
                self.sides[session].relay.add_hops(&hops);
                self.advance(session);
            }
        }
    }

    /// Begins with a session that has begun after the others; returns its number.
    fn begin(&mut self, context: &Arc<Context>) -> Option<usize> {
        let session = self.sides.len();
        let name = &context.session;
        let (relay, relayed, mut newcomer, done) = self.late.session(context, session)?;
        let mut side = Side::new(relay, relayed);
        side.advance(session, (&self.shared, &mut self.decoder));
        if !newcomer.has_begun() {
            return None;
        }
        let unread = self.shared.change(|state| {
            let first = state.unknown.get(name).copied();
            state.add(name, done);
            first.map(|first| first..=state.newest)
        });
        self.sides.push(side);
        self.numbers.insert(name.clone(), session);
        self.shared.has_ended.store(false, Ordering::Release);
        self.late.hand_on(newcomer);
        if let Some(unread) = unread {
            self.late.read_again(unread);
        }
        Some(session)
    }

    fn advance(&mut self, session: usize) {
        let side = &mut self.sides[session];
        if !side.advance(session, (&self.shared, &mut self.decoder)) {
            return;
        }
        let published = side.relay.taken();
        self.shared.change(|state| state.published += published);
        self.ended += 1;
        let has_ended = self.ended == self.sides.len();
        self.shared.has_ended.store(has_ended, Ordering::Release);
    }

    fn give_up_late(&mut self) {
        for session in 0..self.sides.len() {
            let side = &mut self.sides[session];
            if side.stuck.is_some_and(|since| since.elapsed() > GIVE_UP) {
                side.relay.give_up();
                self.advance(session);
            }
        }
    }
}
