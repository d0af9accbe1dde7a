//! Sessions that are streamed while they are recorded.
use std::{
    fs::{self, File},
    io::Write as _,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{runs::Lines, sample::*};
use crate::{
    agent::Control,
    output::{json::Json, printer::Printer},
    replay::{
        cluster::{Clocks, Cluster, Feed},
        options::PlayerOptions,
        player::Player,
    },
    session::{
        chain::Chain,
        reader::{Ahead, Reader},
    },
    signals::Stop,
};

/// How exactly agents tell their clocks, in nanoseconds.
const EXACT_NS: u64 = 1_000;

/// The lines of JSON of sessions that another thread writes to pipes. `ahead_ns`: by how much their
/// clocks are ahead of the first.
pub(super) fn follow(
    ahead_ns: &[u64],
    write: impl FnOnce(Vec<UnixStream>) + Send + 'static,
) -> Vec<Value> {
    let pipes = ahead_ns.iter().map(|_| UnixStream::pair().unwrap());
    let (readers, writers): (Vec<_>, Vec<_>) = pipes.unzip();
    let writing = thread::spawn(move || write(writers));
    let clocks = Clocks::live(ahead_ns.len());
    let begin_ns = BEGIN_NS.saturating_add_signed(EPOCH_NS);
    for (number, ahead_ns) in ahead_ns.iter().enumerate().skip(1) {
        let messages = clocks.messages();
        messages.record((0, number), [begin_ns, begin_ns + ahead_ns + EXACT_NS]);
        messages.record((number, 0), [begin_ns + ahead_ns, begin_ns + EXACT_NS]);
    }
    let feeds = readers.into_iter().enumerate().map(|(number, pipe)| {
        pipe.set_nonblocking(true).unwrap();
        let session = (File::from(OwnedFd::from(pipe)), Control::default());
        Feed::begin(
            format!("unix:{number}"),
            session,
            (options(), clocks.watch(number)),
        )
        .unwrap()
    });
    let feeds: Vec<_> = feeds.collect();
    let options = PlayerOptions::default();
    let cluster = Cluster::new(feeds, clocks);
    let player = Player::live(&options, cluster, Stop::default()).unwrap();
    let lines = Lines::default();
    let printer = Printer::new(Box::new(Json::new(0)), Box::new(lines.clone()));
    player.run(|_| Ok(vec![Box::new(printer)])).unwrap();
    writing.join().unwrap();
    lines.values()
}

#[test]
fn session_that_is_over_and_does_not_end_holds_nobody_up() {
    let recorded = small(How::default());
    let files = recorded.files.iter().map(|file| fs::read(file).unwrap());
    let session: Vec<_> = files.flatten().collect();
    let (pipe, mut writer) = UnixStream::pair().unwrap();
    pipe.set_nonblocking(true).unwrap();
    let pipe = File::from(OwnedFd::from(pipe));
    // It stays open.
    let writing = thread::spawn(move || writer.write_all(&session).map(|()| writer));
    let reader = Reader::over(Path::new("unix:1"), pipe, options()).unwrap();
    let session_of = Ahead::live(reader, Box::new(|_, _| {})).unwrap();
    let mut chain = Chain::live(session_of, options());
    let (sender, told) = mpsc::channel();
    let reading = thread::spawn(move || {
        while !chain.has_ended() {
            // What is behind the closing block never comes.
            match chain.would_wait() {
                true => thread::yield_now(),
                false if chain.next_item().unwrap().is_none() => return,
                false => {}
            }
        }
        sender.send(()).unwrap();
    });
    let writer = writing.join().unwrap().unwrap();
    let ended = told.recv_timeout(Duration::from_secs(60));
    drop(writer);
    reading.join().unwrap();
    ended.unwrap();
}
