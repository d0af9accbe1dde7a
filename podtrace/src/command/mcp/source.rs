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
pub(super) struct Recorded {
    pub(super) files: Arc<[PathBuf]>,
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
        let recorded = |files: Arc<[PathBuf]>, kept| Recorded { files, _kept: kept };
        match self {
            Self::Files(files) => Ok(recorded(Arc::clone(files), None)),
            Self::Lake(_) => Ok(recorded(Arc::default(), None)),
            Self::Live(live) => {
                let (path, kept) = live.record(given.seconds(), stop)?;
                Ok(recorded(Arc::new([path]), Some(kept)))
            }
        }
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
        let mut line: Vec<OsString> = vec!["podtrace".into()];
        line.extend(live.arguments(1, "recording".into()));
        let Command::Record(record) = parse(&line)? else {
            bail!("not a recording");
        };
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

    /// Records for so many seconds.
    fn record(&self, seconds: u64, stop: &Stop) -> anyhow::Result<(PathBuf, Kept)> {
        if self.is_elsewhere {
            let folder = tempfile::Builder::new().prefix("podtrace-mcp-").tempdir();
            let folder = folder.context("failed to make a temporary folder")?;
            let place = folder.path().join("nodes");
            let line = self.arguments(seconds, place.clone().into());
            child::run(&line, stop, |_| Ok(ControlFlow::Continue(())))?;
            return Ok((place, Kept::Folder(folder)));
        }
        let mut file = tempfile::tempfile().context("failed to make a temporary file")?;
        let line = self.arguments(seconds, "-".into());
        child::run(&line, stop, |bytes| {
            file.write_all(bytes)
                .context("failed to keep what was recorded")?;
            Ok(ControlFlow::Continue(()))
        })?;
        // Also for a podtrace that this one runs.
        let path = format!("/proc/{}/fd/{}", process::id(), file.as_raw_fd());
        Ok((path.into(), Kept::File(file)))
    }

    /// What `podtrace diagnose --probe` says of two ends, as JSON.
    ///
    /// # Errors
    /// In its words.
    pub(super) fn probe(&self, given: &Given, stop: &Stop) -> anyhow::Result<Vec<u8>> {
        let mut line: Vec<OsString> = vec!["diagnose".into(), "--probe".into()];
        line.extend([
            "--output=json".into(),
            format!("--duration={}s", given.seconds()).into(),
        ]);
        line.extend(self.options.iter().cloned());
        line.extend(given.ends().into_iter().map(OsString::from));
        let mut all = Vec::new();
        child::run(&line, stop, |bytes| {
            all.extend_from_slice(bytes);
            match all.len() > super::answer::BYTES_MAX * 8 {
                true => bail!("the diagnosis is too long"),
                false => Ok(ControlFlow::Continue(())),
            }
        })?;
        Ok(all)
    }
}
