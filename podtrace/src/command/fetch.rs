//! `podtrace record --agent`: the sessions of other nodes, each to a file, as they come.
use std::{
    fs::File,
    os::{fd::OwnedFd, unix::net::UnixStream as Pipe},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures_util::FutureExt as _;
use tokio::{io::AsyncReadExt as _, net::UnixStream, task::JoinHandle};

use super::{
    ERROR, FINE, INTERRUPTED,
    cluster::{Asking, Reached, refuse_twice, start},
    filter::asked,
    replay::progress_alone,
    stop::stop_on_signal,
};
use crate::{
    agent::{Budget, Control, Request},
    cli::RecordArgs,
    session::files::{Fetched, FetchedInto, FilesError},
    signals::Stop,
    sink::{has_no_reader, status, tell},
    text::{count::counted, escape::shown, sanitize::sanitize, size},
};

/// Bytes of a session that are written at once at most.
const CHUNK: usize = 256 << 10;
/// Pause between two looks at how the sessions are.
const PAUSE: Duration = Duration::from_millis(50);
/// How often that is shown, and how long a node may be silent before it is told.
const SHOW: Duration = Duration::from_millis(500);
const SILENT: Duration = Duration::from_secs(1);
/// How long the sessions may take to end once they were asked to.
const END: Duration = Duration::from_secs(10);

/// Runs the command; returns the exit code.
pub(super) fn run(args: &RecordArgs) -> anyhow::Result<u8> {
    let folder = args.files.write.as_deref();
    let folder = folder.context("there is nowhere to write")?;
    refuse_file(folder)?;
    let expression = &args.filter.expression;
    // A mistake in it is told before anything is asked for.
    asked(expression, &args.filter.chosen)?;
    let asking = Asking {
        cluster: &args.cluster,
        capture: &args.capture,
        expression,
        ends: None,
        probe: false,
    };
    let stop = stop_on_signal()?;
    let Some(mut connections) = asking.connect(&stop)? else {
        return Ok(INTERRUPTED);
    };
    let mut request = asking.request();
    // A file takes what comes: there is no budget that was not asked for.
    if request.max_rate.is_some() {
        let budget = Budget::new(request.max_rate, connections.len());
        tell(&format!("sampling beyond {}", budget.in_words()));
        request.max_rate = Some(budget.each());
    }
    let force = args.files.how.force;
    let begun =
        connections.run(async |agents| begin(agents, &request, (folder, force), &stop).await)?;
    let Some(mut nodes) = begun else {
        return Ok(INTERRUPTED);
    };
    let count = counted(nodes.len() as u64, "node");
    tell(&format!("recording {count} to {}", shown(folder)));
    let until = args
        .capture
        .duration
        .map(|duration| Instant::now() + duration + END);
    let refused = follow(&mut nodes, until, &stop)?;
    let has_failed = sum_up(&nodes);
    if let Some(error) = refused {
        return Err(error.into());
    }
    Ok(if has_failed { ERROR } else { FINE })
}

/// Refuses what names a file: there is one for each node.
fn refuse_file(folder: &Path) -> anyhow::Result<()> {
    let name = folder.file_name().unwrap_or_default();
    let name = Path::new(name).extension().unwrap_or_default();
    let is_name = ["pcapng", "pcap", "zst"].iter().any(|known| name == *known);
    if !folder.is_dir() && (is_name || folder.is_file()) {
        bail!(
            "of other nodes, --write is a directory, of a file for each node: {} is none\n\
             hint: --write recordings/",
            shown(folder)
        );
    }
    Ok(())
}

/// A node whose session is fetched.
struct Node {
    name: String,
    path: PathBuf,
    control: Control,
    /// Bytes that were written.
    progress: Arc<AtomicU64>,
    /// None once it has ended.
    writing: Option<JoinHandle<Result<(), FilesError>>>,
    /// Whether it has ended early.
    has_failed: bool,
    /// Its progress when it was last looked at, and since when it is so.
    seen: (u64, Instant),
}

/// Starts the traces of all agents once there is a file for each; none if a signal came first.
async fn begin(
    agents: &mut Vec<Reached>,
    request: &Request,
    (folder, force): (&Path, bool),
    stop: &Stop,
) -> anyhow::Result<Option<Vec<Node>>> {
    refuse_twice(
        agents
            .iter()
            .map(|reached| (&*reached.name, reached.agent.nodes())),
    )?;
    let into = FetchedInto::open(folder)?;
    if let Some(warning) = into.warning() {
        tell(&sanitize(&warning));
    }
    let mut files: Vec<(String, Fetched)> = Vec::new();
    for reached in agents.iter() {
        let name = reached.agent.nodes().join("+");
        let file = into.create(&name, force)?;
        if let Some((other, _)) = files.iter().find(|(_, other)| other.path() == file.path()) {
            bail!(
                "{other} and {name} would be in one file, {}\nhint: give nodes names that differ in \
                 letters and digits: podtrace agent --node-name NAME",
                shown(file.path())
            );
        }
        files.push((name, file));
    }
    let Some(traces) = start(agents, request, stop).await? else {
        return Ok(None);
    };
    let nodes = files.into_iter().zip(traces);
    let nodes = nodes.map(|((name, file), (session, control))| {
        file.confirm()?;
        let path = file.path().to_owned();
        let progress = Arc::new(AtomicU64::new(0));
        let writing = write(session, file, Arc::clone(&progress));
        Ok(Node {
            name,
            path,
            control,
            progress,
            writing: Some(tokio::spawn(writing)),
            has_failed: false,
            seen: (0, Instant::now()),
        })
    });
    nodes.collect::<anyhow::Result<Vec<_>>>().map(Some)
}

/// Writes a session to its file until it ends.
async fn write(session: File, file: Fetched, progress: Arc<AtomicU64>) -> Result<(), FilesError> {
    let mut file = file;
    let pipe = UnixStream::from_std(Pipe::from(OwnedFd::from(session)));
    let mut pipe = pipe.map_err(FilesError::Thread)?;
    loop {
        let mut bytes = Vec::with_capacity(CHUNK);
        // A pipe of this process does not fail.
        let Ok(1..) = pipe.read_buf(&mut bytes).await else {
            return Ok(());
        };
        let len = bytes.len() as u64;
        let written = tokio::task::spawn_blocking(move || {
            let written = file.write(&bytes);
            (file, written)
        });
        let Ok((same, written)) = written.await else {
            return Ok(());
        };
        file = same;
        written?;
        progress.fetch_add(len, Ordering::Relaxed);
    }
}

/// Waits until all sessions have ended, and asks them to when the user does, `until` has passed or a
/// file takes no more; returns why it does not.
fn follow(
    nodes: &mut [Node],
    until: Option<Instant>,
    stop: &Stop,
) -> anyhow::Result<Option<FilesError>> {
    let show = status::has_terminal().then(progress_alone);
    let (mut shown, mut refused, mut asked) = (Instant::now(), None, None);
    loop {
        for node in nodes.iter_mut() {
            if let Err(error) = node.look() {
                refused.get_or_insert(error);
            }
        }
        let is_over = until.is_some_and(|until| Instant::now() >= until);
        let is_to_end = stop.is_set() || is_over || refused.is_some() || has_no_reader();
        if asked.is_none() && is_to_end {
            asked = Some(Instant::now());
            nodes.iter_mut().for_each(|node| node.control.end());
        }
        let has_ended = nodes.iter().all(|node| node.writing.is_none());
        if has_ended || asked.is_some_and(|asked: Instant| asked.elapsed() >= END) {
            break;
        }
        if let Some(show) = &show
            && shown.elapsed() >= SHOW
        {
            shown = Instant::now();
            let states: Vec<_> = nodes.iter().map(Node::state).collect();
            show(sanitize(&states.join(" · ")));
        }
        match asked {
            Some(_) => thread::sleep(PAUSE),
            None => stop.sleep(PAUSE)?,
        }
    }
    if let Some(show) = &show {
        show(String::new());
    }
    for node in nodes.iter_mut().filter(|node| node.writing.is_some()) {
        node.fail(&format!("did not end within {} s", END.as_secs()));
    }
    Ok(refused)
}

impl Node {
    /// Looks at how far it is.
    ///
    /// # Errors
    /// When its file takes no more.
    fn look(&mut self) -> Result<(), FilesError> {
        for words in self.control.notices() {
            tell(&sanitize(&format!("{}: {words}", self.name)));
        }
        let bytes = self.bytes();
        if bytes != self.seen.0 {
            self.seen = (bytes, Instant::now());
        }
        let Some(written) = self.writing.take_if(|writing| writing.is_finished()) else {
            return Ok(());
        };
        let written = written.now_or_never().and_then(Result::ok);
        // Its session has ended, or its file has.
        match self.control.failure() {
            Some(why) => self.fail(&why),
            None if written.is_none() => self.fail("its thread failed"),
            None => {}
        }
        written.unwrap_or(Ok(()))
    }

    /// Tells that it has ended early, and why.
    fn fail(&mut self, why: &str) {
        self.has_failed = true;
        let why = why.lines().next().unwrap_or_default();
        tell(&sanitize(&format!(
            "{}: {why}; its recording ends here",
            self.name
        )));
    }

    fn bytes(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// In words.
    fn state(&self) -> String {
        let mut words = format!("{} {}", self.name, size::bytes(self.bytes()));
        let silent = self.seen.1.elapsed();
        if self.writing.is_none() {
            words += ": ended";
        } else if silent >= SILENT {
            words += &format!(": silent for {} s", silent.as_secs());
        }
        words
    }
}

/// Tells what each file has; returns whether a session has ended early.
fn sum_up(nodes: &[Node]) -> bool {
    for node in nodes {
        let words = match node.bytes() {
            0 => format!("{}: nothing came", node.name),
            bytes => {
                let bytes = size::bytes(bytes);
                format!("{}: {bytes} in {}", node.name, shown(&node.path))
            }
        };
        tell(&sanitize(&words));
    }
    nodes.iter().any(|node| node.has_failed)
}
