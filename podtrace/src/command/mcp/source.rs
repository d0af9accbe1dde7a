//! What the tools answer about: recordings, a lake, or nodes.
use std::{
    ffi::OsString, fs::File, io::Write as _, ops::ControlFlow, os::fd::AsRawFd as _, path::PathBuf,
    process, sync::Arc,
};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::{
    child,
    params::{Given, parse},
};
use crate::{
    cli::{Command, McpArgs},
    signals::Stop,
    text::escape::shown,
};

/// Events a second beyond which a node samples, unless the options say otherwise.
const MAX_RATE: &str = "50k";

/// What there is to answer about.
pub(super) enum Source {
    /// Recordings, read anew for each answer.
    Files(Arc<[PathBuf]>),
    /// A lake of hops and paths.
    Lake(String),
    /// Nodes, each of which is recorded for each answer.
    Live(Live),
}

/// Nodes.
pub(super) struct Live {
    /// The options of `record` that say which.
    options: Vec<OsString>,
    /// What bounds a recording beside, as far as they do not say it.
    bounds: Vec<OsString>,
    /// Whether they are others than this one.
    is_elsewhere: bool,
    /// Whether podtrace may send packets.
    pub(super) allows_probe: bool,
}

/// The recordings of one answer, which last as long as this.
#[derive(Default)]
pub(super) struct Recorded {
    pub(super) files: Arc<[PathBuf]>,
    /// What was said while they were made.
    pub(super) notices: Vec<String>,
    _kept: Option<Kept>,
}

/// Where they are.
enum Kept {
    /// A file without a name: it is gone however podtrace ends.
    File(#[expect(dead_code, reason = "it is there as long as it is open")] File),
    Folder(#[expect(dead_code, reason = "it is there as long as this is")] TempDir),
}

impl Source {
    /// What the options ask for.
    ///
    /// # Errors
    /// When the options of `record` are none.
    pub(super) fn new(args: &McpArgs) -> anyhow::Result<Self> {
        if let Some(lake) = &args.lake {
            return Ok(Self::Lake(lake.clone()));
        }
        match args.live {
            true => Live::new(args).map(Self::Live),
            false => Ok(Self::Files(args.files.as_slice().into())),
        }
    }

    /// What there is to read for an answer.
    ///
    /// # Errors
    /// When nothing can be recorded.
    pub(super) fn recorded(&self, given: &Given, stop: &Stop) -> anyhow::Result<Recorded> {
        let files = match self {
            Self::Files(files) => Arc::clone(files),
            Self::Lake(_) => Arc::default(),
            Self::Live(live) => return live.record(given.seconds(), stop),
        };
        Ok(Recorded {
            files,
            ..Recorded::default()
        })
    }
}

impl Live {
    fn new(args: &McpArgs) -> anyhow::Result<Self> {
        let mut live = Self {
            options: args.options.clone(),
            bounds: Vec::new(),
            is_elsewhere: false,
            allows_probe: args.allow_probe,
        };
        let recording = live.arguments(1, "recording".into());
        let Command::Record(record) = parse(&in_full(recording))? else {
            bail!("not a recording");
        };
        if live.allows_probe {
            let ends = ["one", "other"].map(str::to_owned);
            parse(&in_full(live.probing(1, ends)))?;
        }
        live.is_elsewhere = record.cluster.elsewhere().is_some();
        // Agents have bounds of their own.
        if !live.is_elsewhere && record.capture.load.max_rate.is_none() {
            live.bounds.push(format!("--max-rate={MAX_RATE}").into());
        }
        if !live.is_elsewhere && !record.capture.load.headers_only {
            live.bounds.push("--headers-only".into());
        }
        Ok(live)
    }

    /// The command line of a recording.
    fn arguments(&self, seconds: u64, place: OsString) -> Vec<OsString> {
        let mut line: Vec<OsString> =
            vec!["record".into(), format!("--duration={seconds}s").into()];
        line.extend(["--write".into(), place]);
        line.extend(self.bounds.iter().chain(&self.options).cloned());
        line
    }

    /// The command line of a diagnosis that sends packets.
    fn probing(&self, seconds: u64, ends: impl IntoIterator<Item = String>) -> Vec<OsString> {
        let mut line: Vec<OsString> = vec!["diagnose".into(), "--probe".into()];
        line.extend([
            "--output=json".into(),
            format!("--duration={seconds}s").into(),
        ]);
        line.extend(self.options.iter().cloned());
        line.extend(ends.into_iter().map(OsString::from));
        line
    }

    /// Records for so many seconds.
    fn record(&self, seconds: u64, stop: &Stop) -> anyhow::Result<Recorded> {
        if self.is_elsewhere {
            return self.record_others(seconds, stop);
        }
        let mut file = tempfile::tempfile().context("failed to make a temporary file")?;
        let line = self.arguments(seconds, "-".into());
        let ended = child::run(&line, stop, |bytes| {
            file.write_all(bytes)
                .context("failed to keep what was recorded")?;
            Ok(ControlFlow::Continue(()))
        });
        ended?.answered()?;
        // Also for a podtrace that this one runs.
        let path = format!("/proc/{}/fd/{}", process::id(), file.as_raw_fd());
        Ok(Recorded {
            files: Arc::new([path.into()]),
            _kept: Some(Kept::File(file)),
            ..Recorded::default()
        })
    }

    /// Records other nodes. Of those that fail there may be a part, and what is said of them.
    fn record_others(&self, seconds: u64, stop: &Stop) -> anyhow::Result<Recorded> {
        let folder = tempfile::Builder::new().prefix("podtrace-mcp-").tempdir();
        let folder = folder.context("failed to make a temporary folder")?;
        let place = folder.path().join("nodes");
        let line = self.arguments(seconds, place.clone().into());
        let mut ended = child::run(&line, stop, |_| Ok(ControlFlow::Continue(())))?;
        let has_some = place
            .read_dir()
            .is_ok_and(|mut files| files.next().is_some());
        let notices = std::mem::take(&mut ended.notices);
        if !has_some {
            ended.answered()?;
        }
        // How much is where is of no use to a model.
        let own = shown(&place);
        let notices = notices.into_iter().filter(|words| !words.contains(&own));
        Ok(Recorded {
            files: Arc::new([place]),
            notices: notices.collect(),
            _kept: Some(Kept::Folder(folder)),
        })
    }

    /// What `podtrace diagnose --probe` says of two ends, as JSON.
    ///
    /// # Errors
    /// In its words.
    pub(super) fn probe(&self, given: &Given, stop: &Stop) -> anyhow::Result<Vec<u8>> {
        let line = self.probing(given.seconds(), given.ends());
        let mut all = Vec::new();
        let ended = child::run(&line, stop, |bytes| {
            all.extend_from_slice(bytes);
            match all.len() > super::answer::BYTES_MAX * 8 {
                true => bail!("the diagnosis is too long"),
                false => Ok(ControlFlow::Continue(())),
            }
        });
        ended?.answered()?;
        Ok(all)
    }
}

/// A command line with the name of the program.
fn in_full(mut line: Vec<OsString>) -> Vec<OsString> {
    line.insert(0, "podtrace".into());
    line
}
