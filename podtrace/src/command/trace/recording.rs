//! Recording what a session sees.
use std::{fs, time::Duration};

use anyhow::{Context as _, bail};
use nix::sys::utsname::uname;

use crate::{
    cli::{CaptureArgs, FileArgs},
    clock::{monotonic_ns, nanos},
    node::target::Node,
    session::{
        files::{FileOptions, Keep, SessionFiles, Target},
        format::{FORMAT, SectionInfo},
        recorder::{Recorder, RecorderOptions},
    },
    text::sanitize::sanitize,
};

/// A recording that is about to begin: its first file is there.
pub(crate) struct Recording {
    /// None once it has begun.
    files: Option<SessionFiles>,
    options: RecorderOptions,
}

/// How long to wait for the thread of files that are not needed.
const PATIENCE: Duration = Duration::from_secs(1);

impl Drop for Recording {
    /// Nothing is left of one that did not begin.
    fn drop(&mut self) {
        if let Some(files) = self.files.take() {
            // What stays is empty; why nothing is recorded is said elsewhere.
            let _ = files.close(PATIENCE);
        }
    }
}

impl Recording {
    /// Creates the first file, if one is asked for.
    pub(crate) fn open(
        args: &FileArgs,
        capture: &CaptureArgs,
        nodes: &[Node],
        epoch_ns: i128,
    ) -> anyhow::Result<Option<Self>> {
        let Some(path) = &args.write else {
            return Ok(None);
        };
        if args.keep_size.is_some() && args.rotate_bytes().is_none() {
            bail!("--keep-size takes --rotate-size: a file that does not end is never deleted");
        }
        let names: Vec<_> = nodes.iter().map(|node| node.name.to_string()).collect();
        let files = SessionFiles::open(FileOptions {
            target: if args.is_stdout() {
                Target::Stdout
            } else {
                Target::Path(path.clone())
            },
            rotates: args.rotates(),
            keep: Keep {
                files: args.keep_files,
                bytes: args.keep_size,
                age: args.keep_time,
            },
            max_file_bytes: args.rotate_bytes(),
            zstd: args.how.zstd,
            force: args.how.force,
            node: names.join("+"),
            start: jiff::Timestamp::now(),
        })?;
        let info = SectionInfo {
            format: FORMAT,
            session: session_name()?,
            sessions: 1,
            nodes: names,
            epoch_ns: i64::try_from(epoch_ns).context("the clock is wrong")?,
            snaplen: capture.snaplen,
            sample: capture.load.sample.unwrap_or(1),
            max_rate: capture.load.max_rate,
            headers_only: capture.load.headers_only,
            hop_timeout_ns: nanos(capture.hop_timeout),
            interfaces: capture.interfaces.clone(),
            ..SectionInfo::default()
        };
        let options = RecorderOptions {
            info,
            kernel: kernel(),
            command: command(),
            rotate_bytes: args.rotate_bytes(),
            rotate_ns: args.rotate_after().map(nanos),
            flush_ns: nanos(args.flush),
        };
        Ok(Some(Self {
            files: Some(files),
            options,
        }))
    }

    /// Begins it.
    pub(crate) fn start(mut self) -> anyhow::Result<Recorder> {
        let now_ns = monotonic_ns()?;
        let files = self.files.take().context("it has begun already")?;
        Ok(Recorder::new(self.options.clone(), files, now_ns))
    }
}

/// A random name.
pub(crate) fn session_name() -> anyhow::Result<String> {
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid");
    let uuid = uuid.context("failed to make a name for the session")?;
    Ok(uuid.trim().to_owned())
}

/// Name, release and machine of the running kernel.
pub(crate) fn kernel() -> String {
    uname().map_or_else(
        |_| "unknown".into(),
        |names| {
            let parts = [names.sysname(), names.release(), names.machine()];
            let parts = parts.map(|part| part.to_string_lossy().into_owned());
            sanitize(&parts.join(" "))
        },
    )
}

/// The command line.
pub(crate) fn command() -> String {
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    sanitize(&words.collect::<Vec<_>>().join(" "))
}
