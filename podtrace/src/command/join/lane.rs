//! Joins one bucket, from the place where it was left.
use std::{
    sync::{Arc, mpsc::sync_channel},
    thread,
};

use tokio::runtime::Handle;

use super::{
    Setup, WAITING,
    demux::{Demux, Message, Shared, Side, decoder},
    format,
    ledger::{Account, Goal, Ledger},
    store::{Progress, Store},
};
use crate::{
    bucket::Buckets,
    packet::key_payload,
    queue::{Received, follow},
    replay::{
        cluster::{Clocks, Cluster, Feed},
        options::PlayerOptions,
        player::Player,
    },
    session::reader::ReaderOptions,
    wire::{done::Done, relay::Relay},
};

/// Joins a bucket to its end; returns what became of its hops, in all.
pub(super) fn run(bucket: u16, setup: &Setup, runtime: &Handle) -> anyhow::Result<Account> {
    let folder = setup.args.write.as_deref();
    let store = match folder {
        Some(folder) => match Store::open(folder, bucket, &setup.stop)? {
            Some(store) => Some(store),
            None => return Ok(Account::default()),
        },
        None => None,
    };
    let progress = match &store {
        Some(store) => store.progress()?,
        None => None,
    };
    let progress = progress.unwrap_or_default();
    if progress.is_last {
        return Ok(Account {
            totals: progress.totals,
            unwritten: None,
        });
    }
    join(bucket, setup, runtime, (store, progress))
}

fn join(
    bucket: u16,
    setup: &Setup,
    runtime: &Handle,
    (store, progress): (Option<Store>, Progress),
) -> anyhow::Result<Account> {
    let shared = Arc::new(Shared::default());
    let clocks = Clocks::queued(setup.sessions.len());
    let options = ReaderOptions {
        key_payload: key_payload(u32::MAX),
        ..ReaderOptions::default()
    };
    let (mut sides, mut sessions) = (Vec::new(), Vec::new());
    for (number, name) in setup.sessions.iter().enumerate() {
        let done = progress.sessions.get(name).cloned();
        let done = Done::from(done.unwrap_or_default());
        let (relayed, session) = Feed::relay(name, (options.clone(), &clocks), number);
        sides.push(Side::new(Relay::new(bucket, done.clone()), relayed));
        sessions.push((name.clone(), session));
        shared.change(|state| {
            state.done.push(done);
            state.held.push(Default::default());
        });
    }
    let (sender, messages) = sync_channel(WAITING);
    let earlier = setup.contexts.subscribe(sender.clone());
    let subject = setup.queue.hops_of(bucket);
    let take = move |received: Received| {
        let message = Message::Hops(received.sequence, received.payload);
        tokio::task::block_in_place(|| sender.send(message)).is_ok()
    };
    runtime.spawn(follow(
        setup.queue.clone(),
        subject,
        progress.from_sequence,
        take,
    ));
    let demux = Demux {
        names: Arc::clone(&setup.sessions),
        sides,
        shared: Arc::clone(&shared),
        decoder: decoder()?,
        stop: setup.stop.clone(),
        ended: 0,
    };
    let reading = thread::Builder::new().name("demux".into());
    let reading = reading.spawn(move || demux.run(earlier, &messages))?;
    let feeds = sessions.into_iter();
    let feeds = feeds.map(|(name, session)| Feed::relayed(name, session));
    let feeds: Vec<_> = feeds.collect::<Result<_, _>>()?;
    let cluster = Cluster::new(feeds, clocks);
    let asked = PlayerOptions::default();
    let mut player = Player::live(&asked, cluster, setup.stop.clone())?;
    player.first_packet = progress.next_packet.max(1);
    let goal = Goal {
        buckets: Buckets::new(setup.buckets),
        bucket,
        every: setup.args.every,
        format: format(&setup.args),
        store: store.zip(setup.room.clone()),
        stop: setup.stop.clone(),
    };
    let ledger = Ledger::new(
        goal,
        Arc::clone(&setup.sessions),
        Arc::clone(&shared),
        progress,
    );
    let account = ledger.account();
    player.run(|_| Ok(vec![Box::new(ledger)]))?;
    if reading.join().is_err() {
        anyhow::bail!("a thread has failed");
    }
    let account = account.lock();
    Ok(account
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone())
}
