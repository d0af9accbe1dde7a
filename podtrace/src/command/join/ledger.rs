//! Shows the paths of a bucket, and keeps account of its hops: each is done once the paths that it
//! was joined to are written.
//!
//! What is written is a cut through the paths that no hop crosses: a path that shares a hop with one
//! that is not written yet waits for it. So whoever takes over joins the other hops as if there had
//! been no others.
use std::{
    collections::{BTreeSet, HashSet},
    io, mem,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    cut::{Cut, Form, HopId, Shown},
    demux::Shared,
    output::Output,
    room::is_full,
    store::{Progress, Totals},
};
use crate::{
    bucket::Buckets,
    map::Map,
    model::event::Event,
    path::{Path, summary::Summary},
    pipeline::consumer::{Consumer, Failure, Tick},
    signals::Stop,
    world::World,
};

/// After so long, no path goes on: what has none is done, in nanoseconds.
const FORGOTTEN_NS: u64 = 60_000_000_000;
/// Paths that have ended before it is looked which of them others hold back.
const SETTLED: usize = 512;

/// What is shown, and where.
pub(super) struct Goal {
    pub(super) buckets: Buckets,
    pub(super) bucket: u16,
    /// How often paths are written.
    pub(super) every: Duration,
    pub(super) form: Form,
    pub(super) output: Output,
    pub(super) stop: Stop,
}

/// What has become of a bucket.
#[derive(Clone, Default)]
pub(super) struct Account {
    /// The sessions that were joined; none if it is not known.
    pub(super) sessions: Option<BTreeSet<String>>,
    pub(super) totals: Totals,
    pub(super) unwritten: Option<Unwritten>,
}

/// What could not be written any more.
#[derive(Clone, Copy, Default)]
pub(super) struct Unwritten {
    pub(super) paths: u64,
    pub(super) hops: u64,
}

impl Account {
    /// Adds that of another bucket.
    pub(super) fn add(&mut self, other: &Self) {
        self.totals.add(&other.totals);
        self.sessions = match (self.sessions.take(), &other.sessions) {
            (Some(all), Some(other)) => Some(&all & other),
            (all, other) => all.or_else(|| other.clone()),
        };
        if let Some(other) = other.unwritten {
            let all = self.unwritten.get_or_insert_default();
            all.paths += other.paths;
            all.hops += other.hops;
        }
    }
}

/// A path that has ended.
struct Ended {
    id: u64,
    /// None if another bucket shows it.
    shown: Option<Shown>,
    hops: Vec<HopId>,
}

/// The consumer.
pub(super) struct Ledger {
    goal: Goal,
    shared: Arc<Shared>,
    progress: Progress,
    /// The hops of paths that have not ended, with the time of the last.
    open: Map<u64, (Vec<HopId>, u64)>,
    /// Paths that have ended, and the number of those that were held back when they were looked at.
    ended: Vec<Ended>,
    held: usize,
    /// The paths of hops that several have.
    several: Map<HopId, Vec<u64>>,
    /// What is written next.
    cut: Cut,
    newest_packet: u64,
    now_ns: u64,
    written: Instant,
    account: Arc<Mutex<Account>>,
    failure: Failure,
    late: u64,
}

impl Ledger {
    pub(super) fn new(goal: Goal, shared: Arc<Shared>, progress: Progress) -> Self {
        let account = Account {
            totals: progress.totals.clone(),
            ..Account::default()
        };
        Self {
            newest_packet: progress.next_packet.max(1) - 1,
            account: Arc::new(Mutex::new(account)),
            cut: goal.form.begin(),
            goal,
            shared,
            progress,
            open: Map::default(),
            ended: Vec::new(),
            held: 0,
            several: Map::default(),
            now_ns: 0,
            written: Instant::now(),
            failure: Failure::default(),
            late: 0,
        }
    }

    /// What became of the hops, once it is written.
    pub(super) fn account(&self) -> Arc<Mutex<Account>> {
        Arc::clone(&self.account)
    }

    /// Whether what comes is what the end of the trace has cut, not what the network did.
    fn is_cut(&self) -> bool {
        self.goal.stop.is_set() && !self.shared.has_ended.load(Ordering::Acquire)
    }

    fn end(&mut self, id: u64, shown: Option<Shown>) {
        let hops = self.open.remove(&id).map(|(hops, _)| hops);
        self.ended.push(Ended {
            id,
            shown,
            hops: hops.unwrap_or_default(),
        });
    }

    fn write_if_due(&mut self) {
        if self.written.elapsed() >= self.goal.every || self.cut.is_full() {
            let written = self.write(false);
            self.failure.record(written);
        }
    }

    /// Ends paths that have no end of their own: their hops were told to belong to an earlier one.
    fn end_forgotten(&mut self, is_last: bool) {
        let is_over = |ts_ns: u64| is_last || ts_ns.saturating_add(FORGOTTEN_NS) < self.now_ns;
        let over = self.open.iter().filter(|(_, (_, ts_ns))| is_over(*ts_ns));
        let over: Vec<_> = over.map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.end(id, None));
    }

    /// The paths that share a hop with one that has not ended, or with one of these.
    fn held_back(&self) -> HashSet<u64> {
        let mut held: HashSet<u64> = HashSet::new();
        loop {
            let before = held.len();
            for ids in self.several.values() {
                let waits = |id: &u64| held.contains(id) || self.open.contains_key(id);
                if ids.iter().any(waits) {
                    held.extend(ids);
                }
            }
            if held.len() == before {
                return held;
            }
        }
    }

    /// Puts the paths that have ended and are not held back into what is written next: nothing that
    /// comes later belongs to them.
    fn settle(&mut self) -> io::Result<()> {
        let held = self.held_back();
        let ended = mem::take(&mut self.ended);
        let (kept, ended): (Vec<_>, Vec<_>) =
            ended.into_iter().partition(|path| held.contains(&path.id));
        self.held = kept.len();
        self.ended = kept;
        for Ended { shown, hops, .. } in ended {
            for hop in &hops {
                self.several.remove(hop);
            }
            self.cut.add(shown, hops).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Writes the paths that have ended, and how far that is.
    fn write(&mut self, is_last: bool) -> io::Result<()> {
        if self.is_over() {
            return Ok(());
        }
        self.end_forgotten(is_last);
        self.settle()?;
        let mut cut = mem::replace(&mut self.cut, self.goal.form.begin());
        let done = mem::take(&mut cut.done);
        self.progress.totals.paths += cut.paths;
        for is_shown in done.values() {
            match is_shown {
                true => self.progress.totals.joined += 1,
                false => self.progress.totals.halos += 1,
            }
        }
        let late = mem::take(&mut self.late);
        let has_news = self.advance(done.into_keys(), late);
        if !has_news && !is_last {
            self.written = Instant::now();
            return Ok(());
        }
        self.progress.is_last = is_last;
        if is_last {
            let published = self.shared.change(|state| state.published);
            self.progress.totals.published = Some(published);
        }
        self.progress.kind = "progress".to_owned();
        self.progress.file += 1;
        let written = self.goal.output.write(cut, &mut self.progress);
        self.written = Instant::now();
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Ok(()) => {
                account.totals.clone_from(&self.progress.totals);
                Ok(())
            }
            Err(error) => {
                account.unwritten = Some(Unwritten {
                    paths: self.progress.totals.paths - account.totals.paths,
                    hops: self.progress.totals.all() - account.totals.all(),
                });
                // It was asked to end, and tells what is not there.
                if is_full(&error) { Ok(()) } else { Err(error) }
            }
        }
    }

    /// Whether something could not be written: what is known of its hops must not be written either.
    fn is_over(&self) -> bool {
        let account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        self.failure.has_failed() || account.unwritten.is_some()
    }

    /// Takes note that hops are done; returns whether there is anything new.
    fn advance(&mut self, hops: impl Iterator<Item = HopId>, late: u64) -> bool {
        let progress = &mut self.progress;
        let next_packet = self.newest_packet + 1;
        self.shared.change(|state| {
            let mut has_news = late + state.missing + state.unreadable > 0;
            for (session, number) in hops {
                has_news = true;
                if let Some(done) = state.done.get_mut(session) {
                    done.add(number);
                }
            }
            progress.from_sequence = state.first_undone();
            progress.next_packet = next_packet;
            progress.totals.late += late;
            progress.totals.missing += mem::take(&mut state.missing);
            progress.totals.unreadable += mem::take(&mut state.unreadable);
            for (name, done) in state.names.iter().zip(&state.done) {
                progress.sessions.insert(name.clone(), done.stored());
            }
            has_news
        })
    }

    fn hop_of(&self, event: &Event, session: usize) -> HopId {
        let number = self.shared.change(|state| {
            let done = state.done.get(session);
            done.map_or(0, |done| done.whole(event.number))
        });
        (session, number)
    }
}

impl Consumer for Ledger {
    fn takes_joins(&self) -> bool {
        true
    }

    fn on_joined(&mut self, event: &Event, packet: u64, further: &[u64], world: &World) {
        self.shared.queued.fetch_sub(1, Ordering::Relaxed);
        let point = world.tap_points.get(event.interface);
        let hop = self.hop_of(event, point.map_or(0, |point| point.node));
        self.newest_packet = self.newest_packet.max(packet);
        for id in further.iter().chain([&packet]) {
            let (hops, ts_ns) = self.open.entry(*id).or_default();
            hops.push(hop);
            *ts_ns = event.ts_ns.max(*ts_ns);
        }
        if !further.is_empty() {
            let ids = further.iter().chain([&packet]).copied();
            self.several.insert(hop, ids.collect());
        }
    }

    fn on_left_out(&mut self, event: &Event, stream: usize) {
        self.shared.queued.fetch_sub(1, Ordering::Relaxed);
        let (session, number) = self.hop_of(event, stream);
        self.late += 1;
        self.shared.change(|state| {
            if let Some(done) = state.done.get_mut(session) {
                done.add(number);
            }
        });
    }

    fn on_path(&mut self, path: &Path, world: &World) {
        if self.is_cut() {
            return;
        }
        let goal = &mut self.goal;
        let owner = goal.buckets.owner(&path.packet, path.payload.as_deref());
        let shown = (owner == goal.bucket).then(|| goal.form.show(path, world));
        self.end(path.id, shown);
        if self.ended.len() >= SETTLED + 2 * self.held && !self.is_over() {
            let settled = self.settle();
            self.failure.record(settled);
        }
    }

    fn on_tick(&mut self, tick: &Tick<'_>, _: &World) -> Vec<String> {
        self.now_ns = self.now_ns.max(tick.now_ns);
        self.write_if_due();
        Vec::new()
    }

    fn on_end(&mut self, _: &Summary, _: &World) -> Vec<String> {
        let is_last = self.shared.has_ended.load(Ordering::Acquire);
        let written = self.write(is_last);
        self.failure.record(written);
        Vec::new()
    }

    fn is_waiting(&self) -> bool {
        !self.ended.is_empty() || !self.cut.done.is_empty()
    }

    fn has_failed(&self) -> bool {
        self.failure.has_failed()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_if_due();
        self.failure.take()
    }
}
