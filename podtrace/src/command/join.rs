//! `podtrace join`: the paths of many nodes' packets, from a queue; and `podtrace publish`, which
//! puts a node's session into it.
mod cut;
mod demux;
mod lane;
mod late;
mod ledger;
mod message;
mod output;
mod publish;
mod room;
mod store;

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc::SyncSender},
    thread,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use jiff::tz::TimeZone;
use tokio::runtime::{Builder, Runtime};

use super::{FINE, INTERRUPTED, stop::stop_on_signal, use_color, width};
use crate::{
    cli::{JoinArgs, JoinFormat},
    lake::{Lake, Open},
    output::{
        json::Json,
        render::Render,
        text::{TcpNumbers, Text, TextOptions},
    },
    queue::{Queue, Received, follow},
    signals::Stop,
    sink,
    text::{count::counted, escape::shown, sanitize::sanitize},
    wire::message::Context,
};
use ledger::{Account, Unwritten};
use message::Message;
pub(super) use publish::run as publish;
use room::Room;
use store::Totals;

/// Pause between two looks at what has come.
const PAUSE: Duration = Duration::from_millis(20);
/// Messages that wait for a bucket's thread at most.
const WAITING: usize = 256;

/// What the nodes have sent beside hops, for all buckets.
#[derive(Clone, Default)]
struct Contexts(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    all: Vec<Arc<Context>>,
    takers: Vec<SyncSender<Message>>,
    /// The sessions that have begun.
    sessions: BTreeSet<String>,
    /// How many buckets there are; none before the first session.
    buckets: Option<u16>,
}

impl Contexts {
    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, context: Context) {
        let context = Arc::new(context);
        let taken = self.change(|known| {
            let buckets = *known.buckets.get_or_insert(context.buckets);
            if context.buckets != buckets {
                return Err(buckets);
            }
            let is_new = context.number == 0 && known.sessions.insert(context.session.clone());
            known.all.push(Arc::clone(&context));
            Ok((is_new, known.takers.clone()))
        });
        let name = sanitize(&context.session);
        match taken {
            Ok((is_new, takers)) => {
                if is_new && !takers.is_empty() {
                    sink::tell(&format!("session {name} has begun: it is joined, too"));
                }
                for taker in takers {
                    let _ended = taker.send(Message::Context(Arc::clone(&context)));
                }
            }
            Err(buckets) if context.number == 0 => sink::tell(&format!(
                "session {name} is left out: it is published into {} buckets, the others into {buckets}",
                context.buckets
            )),
            Err(_) => {}
        }
    }

    /// Those so far, while all others go to `taker`.
    fn subscribe(&self, taker: SyncSender<Message>) -> Vec<Arc<Context>> {
        self.change(|known| {
            known.takers.push(taker);
            known.all.clone()
        })
    }

    /// The sessions that have begun.
    fn sessions(&self) -> BTreeSet<String> {
        self.change(|known| known.sessions.clone())
    }
}

/// What all buckets share.
#[derive(Clone)]
struct Setup {
    queue: Queue,
    contexts: Contexts,
    args: Arc<JoinArgs>,
    buckets: u16,
    /// Of the directory, if there is one.
    room: Option<Room>,
    lake: Option<Lake>,
    stop: Stop,
}

/// Runs `join`; returns the exit code.
pub(super) fn run(args: &JoinArgs) -> anyhow::Result<u8> {
    let stop = stop_on_signal()?;
    let runtime = runtime()?;
    let how = Open {
        make: true,
        patience: args.store.retry_for,
    };
    let lake = args.lake.as_ref().map(|url| Lake::open(url, how));
    let lake = lake.transpose()?;
    let queue = runtime.block_on(Queue::connect(&args.queue.nats, &args.queue.run))?;
    let contexts = Contexts::default();
    let (known, subject) = (contexts.clone(), queue.contexts());
    runtime.spawn(follow(
        queue.clone(),
        subject,
        0,
        move |received: Received| {
            if let Some(context) = Context::read(&received.payload) {
                tokio::task::block_in_place(|| known.add(context));
            }
            true
        },
    ));
    let Some(buckets) = wait_for_nodes(&contexts, args.nodes, &stop)? else {
        return Ok(INTERRUPTED);
    };
    let setup = Setup {
        queue,
        contexts,
        args: Arc::new(args.clone()),
        buckets,
        room: args.write.as_deref().map(Room::of),
        lake,
        stop,
    };
    let joined = join(&setup, &runtime);
    runtime.shutdown_background();
    let Account {
        sessions,
        totals,
        unwritten,
    } = joined?;
    tell(&totals);
    let joined = sessions.unwrap_or_default();
    let more = setup.contexts.sessions().difference(&joined).count() as u64;
    if more > 0 && !setup.stop.is_set() {
        let more = counted(more, "session");
        sink::tell(&format!(
            "{more} began when others had ended: start it again to join them, too"
        ));
    }
    match (unwritten, &args.write) {
        (Some(unwritten), Some(folder)) => Err(not_written(unwritten, folder)),
        _ => Ok(FINE),
    }
}

fn not_written(Unwritten { paths, hops }: Unwritten, folder: &Path) -> anyhow::Error {
    anyhow!(
        "{} of {} are not written: no space in {}\nhint: free some, and start it again: they come \
         again, as long as the queue keeps them",
        counted(paths, "path"),
        counted(hops, "hop"),
        shown(folder)
    )
}

fn runtime() -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    let builder = builder.worker_threads(2).enable_all();
    builder.build().context("failed to start the runtime")
}

/// Waits until so many nodes have begun; returns into how many buckets they publish, none if a signal
/// came first.
fn wait_for_nodes(contexts: &Contexts, nodes: usize, stop: &Stop) -> anyhow::Result<Option<u16>> {
    while !stop.is_set() {
        let (sessions, buckets) = contexts.change(|known| (known.sessions.len(), known.buckets));
        if sessions >= nodes {
            return Ok(buckets.or(Some(0)));
        }
        stop.sleep(PAUSE)?;
    }
    Ok(None)
}

/// Joins all buckets, each on a thread of its own.
fn join(setup: &Setup, runtime: &Runtime) -> anyhow::Result<Account> {
    let own = setup.args.buckets.clone();
    let own = own.unwrap_or(0..=setup.buckets.saturating_sub(1));
    if *own.end() >= setup.buckets {
        bail!(
            "there is no bucket {}: the nodes publish {}",
            own.end(),
            setup.buckets
        );
    }
    let lanes = own.map(|bucket| {
        let (setup, handle) = (setup.clone(), runtime.handle().clone());
        let name = format!("bucket-{bucket}");
        let lane = move || lane::run(bucket, &setup, &handle);
        thread::Builder::new().name(name).spawn(lane)
    });
    let lanes: Vec<_> = lanes.collect::<Result<_, _>>()?;
    let mut all = Account::default();
    let mut failed = None;
    for lane in lanes {
        match lane.join() {
            Ok(Ok(own)) => all.add(&own),
            Ok(Err(error)) => failed = failed.or(Some(error)),
            Err(_panicked) => bail!("a thread has failed"),
        }
    }
    failed.map_or(Ok(all), Err)
}

/// How paths are shown.
fn format(args: &JoinArgs) -> Box<dyn Render> {
    match args.output {
        JoinFormat::Text if args.write.is_none() => {
            let options = TextOptions {
                color: use_color(args.color),
                numeric: args.numeric,
                // The packets of a connection are in several buckets, its begin in one.
                tcp: TcpNumbers::Absolute,
                width: width(),
                ..TextOptions::default()
            };
            Box::new(Text::new(options, TimeZone::system()))
        }
        JoinFormat::Text | JoinFormat::Json => Box::new(Json::new(0)),
    }
}

/// Tells what became of the hops.
fn tell(totals: &Totals) {
    let Totals {
        joined,
        halos,
        late,
        missing,
        unreadable,
        ..
    } = totals;
    let all = totals.all();
    let mut words = format!(
        "{}: {joined} joined, {halos} of packets that another bucket shows, {late} too late, \
         {missing} missing, {unreadable} unreadable",
        counted(all, "hop")
    );
    match totals.published {
        Some(published) if published == all => words += "; as many as were published",
        Some(published) => words += &format!("; {published} were published"),
        None => words += "; not all nodes have ended",
    }
    sink::tell(&words);
}
