//! Joins one bucket, from the place where it was left.
use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, PoisonError,
        mpsc::{channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::runtime::Handle;

use super::{
    PAUSE, Setup, WAITING,
    cut::Form,
    demux::{Demux, GIVE_UP, Shared, Side, decoder},
    format,
    late::Late,
    ledger::{Account, Goal, Ledger},
    message::Message,
    output::{Output, Stored},
    store::{Progress, Sent, Store},
};
use crate::{
    bucket::Buckets,
    cli::JoinArgs,
    packet::key_payload,
    queue::{Received, follow},
    replay::{
        cluster::{Clocks, Cluster, Feed},
        options::PlayerOptions,
        player::Player,
    },
    session::reader::ReaderOptions,
    text::escape::shown,
    wire::{done::Done, relay::Relay},
};

/// How often paths are printed, and files written: of those of a lake, fewer are better.
const PRINTED: Duration = Duration::from_millis(100);
const WRITTEN: Duration = Duration::from_secs(5);
const SENT: Duration = Duration::from_secs(60);

fn every(args: &JoinArgs) -> Duration {
    let usual = match (&args.write, &args.lake) {
        (None, _) => return PRINTED,
        (_, None) => WRITTEN,
        (_, Some(_)) => SENT,
    };
    args.every.unwrap_or(usual)
}

/// Joins a bucket to its end; returns what became of its hops, in all.
pub(super) fn run(bucket: u16, setup: &Setup, runtime: &Handle) -> anyhow::Result<Account> {
    let Some(room) = &setup.room else {
        let begin = (Output::Printed, Progress::default());
        return join(bucket, setup, runtime, begin);
    };
    let folder = room.folder();
    let Some(store) = Store::open(folder, bucket, &setup.stop)? else {
        return Ok(Account::default());
    };
    let progress = store.progress()?;
    let mut progress = continued(progress, bucket, setup)
        .with_context(|| format!("bucket {bucket} of {}", shown(folder)))?;
    store.discard_after(progress.file)?;
    let lake = setup.lake.clone();
    let stored = Stored {
        store,
        room: room.clone(),
        lake: lake.map(|lake| (lake, runtime.clone())),
        stop: setup.stop.clone(),
    };
    stored.send(&progress)?;
    wait_for_sessions(&progress, setup)?;
    let known = &progress.sessions;
    let mut sessions = setup.contexts.sessions().into_iter();
    if progress.is_last && sessions.all(|name| known.contains_key(&name)) {
        return Ok(Account {
            sessions: Some(progress.sessions.into_keys().collect()),
            totals: progress.totals,
            unwritten: None,
        });
    }
    // There may be more by now.
    progress.is_last = false;
    progress.totals.published = None;
    join(bucket, setup, runtime, (Output::Stored(stored), progress))
}

/// How far a bucket has come, where it goes on.
fn continued(progress: Option<Progress>, bucket: u16, setup: &Setup) -> anyhow::Result<Progress> {
    let Some(progress) = progress else {
        return Ok(Progress {
            lake: setup.lake.as_ref().map(|lake| Sent {
                lake: lake.name.clone(),
                session: unique(&setup.args.queue.run, bucket),
                files: Vec::new(),
            }),
            ..Progress::default()
        });
    };
    let before = progress.lake.as_ref().map(|sent| &sent.lake);
    match before {
        same if same == setup.lake.as_ref().map(|lake| &lake.name) => Ok(progress),
        Some(before) => bail!("it is joined into {before}\nhint: go on with --lake {before}"),
        None => {
            bail!("it is joined into files\nhint: go on without --lake, or in another directory")
        }
    }
}

/// Waits until all sessions have come that were joined before: what is known of them starts with them.
fn wait_for_sessions(progress: &Progress, setup: &Setup) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !setup.stop.is_set() && begun.elapsed() < GIVE_UP {
        let sessions = setup.contexts.sessions();
        if progress.sessions.keys().all(|name| sessions.contains(name)) {
            break;
        }
        setup.stop.sleep(PAUSE)?;
    }
    Ok(())
}

/// A name for what is joined of a bucket into a lake: the same run may be joined again elsewhere.
fn unique(run: &str, bucket: u16) -> String {
    // Seeded anew each time.
    let chance = RandomState::new().hash_one(bucket);
    format!("{run}-{bucket}-{chance:016x}")
}

fn join(
    bucket: u16,
    setup: &Setup,
    runtime: &Handle,
    (output, progress): (Output, Progress),
) -> anyhow::Result<Account> {
    let shared = Arc::new(Shared::default());
    let names = setup.contexts.sessions();
    let clocks = Clocks::queued(names.len());
    let options = ReaderOptions {
        key_payload: key_payload(u32::MAX),
        ..ReaderOptions::default()
    };
    let (mut sides, mut sessions) = (Vec::new(), Vec::new());
    for (number, name) in names.iter().enumerate() {
        let done = progress.sessions.get(name).cloned();
        let done = Done::from(done.unwrap_or_default());
        let (relayed, session) = Feed::relay(name, (options.clone(), &clocks), number);
        sides.push(Side::new(Relay::new(bucket, done.clone()), relayed));
        sessions.push((name.clone(), session));
        shared.change(|state| state.add(name, done));
    }
    let (sender, messages) = sync_channel(WAITING);
    let (newcomers, taken_in) = channel();
    let late = Late {
        bucket,
        options,
        later: clocks.later(),
        done: progress.sessions.clone(),
        newcomers,
        queue: setup.queue.clone(),
        runtime: runtime.clone(),
        messages: sender.clone(),
    };
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
        numbers: names.into_iter().zip(0..).collect(),
        sides,
        shared: Arc::clone(&shared),
        decoder: decoder()?,
        stop: setup.stop.clone(),
        ended: 0,
        late,
    };
    let reading = thread::Builder::new().name("demux".into());
    let reading = reading.spawn(move || demux.run(earlier, &messages))?;
    let feeds = sessions.into_iter();
    let feeds = feeds.map(|(name, session)| Feed::relayed(name, session));
    let feeds: Vec<_> = feeds.collect::<Result<_, _>>()?;
    let mut cluster = Cluster::new(feeds, clocks);
    cluster.newcomers = Some(taken_in);
    let asked = PlayerOptions::default();
    let mut player = Player::live(&asked, cluster, setup.stop.clone())?;
    player.first_packet = progress.next_packet.max(1);
    let goal = Goal {
        buckets: Buckets::new(setup.buckets),
        bucket,
        every: every(&setup.args),
        form: match &progress.lake {
            Some(Sent { session, .. }) => Form::Rows {
                session: session.clone(),
                pool: setup.args.pool.clone(),
            },
            None => Form::Text(format(&setup.args)),
        },
        output,
        stop: setup.stop.clone(),
    };
    let ledger = Ledger::new(goal, Arc::clone(&shared), progress);
    let account = ledger.account();
    player.run(|_| Ok(vec![Box::new(ledger)]))?;
    if reading.join().is_err() {
        anyhow::bail!("a thread has failed");
    }
    let account = account.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Account {
        sessions: Some(shared.change(|state| state.names.iter().cloned().collect())),
        ..account.clone()
    })
}
