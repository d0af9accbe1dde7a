//! `podtrace export`.
use std::{
    io::{self, Write},
    path::Path as FilePath,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, bail};

use super::{play_options, stop_on_signal};
use crate::{
    cli::{ExportArgs, ExportFormat},
    command::{
        FINE,
        setup::{command, kernel, session_name},
    },
    export::{CsvRows, ExportError, ParquetRows},
    output::json::Json,
    path::{Path, summary::Summary},
    pipeline::output::Output,
    replay::{
        inputs::{Input, differ_in_sampling},
        play::Play,
    },
    session::{
        files::{self, FileOptions, Keep, SessionFiles, Target},
        format::{FORMAT, SectionInfo},
        recorder::{Recorder, RecorderOptions},
    },
    world::World,
};

/// How much is given to the kernel at once, in nanoseconds of the recording.
const FLUSH_NS: u64 = 1_000_000_000;

/// Runs the command; returns the exit code.
pub(in crate::command) fn run(args: &ExportArgs) -> anyhow::Result<u8> {
    if args.how.zstd && args.format != ExportFormat::Pcapng {
        bail!("--zstd is for pcapng; parquet is compressed anyway, others take a pipe to zstd");
    }
    // What cannot be read leaves no file behind.
    let options = play_options(&args.input);
    let mut play = Play::new(&options, false, stop_on_signal()?)?;
    play.selection.vantage.clone_from(&args.vantage);
    play.keep_captured = args.format == ExportFormat::Pcapng;
    let failed = Failed {
        error: Arc::default(),
        stop: Arc::clone(&play.stop),
    };
    match args.format {
        ExportFormat::Pcapng => {
            let notices = Box::new(Notices);
            let record = |inputs: &[Input]| recorder(args, inputs).map(Some);
            play.run(notices, &mut io::sink(), record)?;
        }
        ExportFormat::Json => {
            let output = Box::new(Json::new(0));
            play.run(output, &mut writer(args)?, |_| Ok(None))?;
        }
        ExportFormat::Csv => {
            let rows = Rows::Csv(CsvRows::new(writer(args)?, 0)?);
            let output = Export {
                rows: Some(rows),
                failed: failed.clone(),
            };
            play.run(Box::new(output), &mut io::sink(), |_| Ok(None))?;
        }
        ExportFormat::Parquet => {
            let rows = Rows::Parquet(ParquetRows::new(writer(args)?, 0)?);
            let output = Export {
                rows: Some(rows),
                failed: failed.clone(),
            };
            play.run(Box::new(output), &mut io::sink(), |_| Ok(None))?;
        }
    }
    failed.result()?;
    Ok(FINE)
}

/// The file to write; none for standard output.
fn target(args: &ExportArgs) -> Option<&FilePath> {
    args.write.as_deref().filter(|path| path.as_os_str() != "-")
}

fn writer(args: &ExportArgs) -> anyhow::Result<Box<dyn Write + Send>> {
    Ok(match target(args) {
        Some(path) => {
            let file = files::create(path, args.how.force);
            let file = file.with_context(|| format!("failed to create {}", path.display()))?;
            Box::new(io::BufWriter::new(file))
        }
        None => Box::new(io::BufWriter::new(io::stdout())),
    })
}

/// The interfaces that the export is limited to, or was from the begin.
fn chosen(args: &ExportArgs, inputs: &[Input]) -> Vec<String> {
    let vantage = args.vantage.iter().map(|vantage| vantage.interface.clone());
    let given = args.input.interfaces.iter().cloned().chain(vantage);
    let given: Vec<_> = given.collect();
    if !given.is_empty() {
        return given;
    }
    let infos = inputs.iter().filter_map(Input::info);
    infos.flat_map(|info| info.interfaces.clone()).collect()
}

fn recorder(args: &ExportArgs, inputs: &[Input]) -> anyhow::Result<Recorder> {
    let nodes: Vec<_> = inputs.iter().flat_map(Input::nodes).collect();
    let files = SessionFiles::open(FileOptions {
        target: target(args).map_or(Target::Stdout, |path| Target::Path(path.to_owned())),
        rotates: false,
        keep: Keep::default(),
        max_file_bytes: None,
        zstd: args.how.zstd,
        force: args.how.force,
        node: nodes.join("+"),
        start: jiff::Timestamp::now(),
    })?;
    let infos = || inputs.iter().filter_map(Input::info);
    let info = SectionInfo {
        format: FORMAT,
        session: session_name()?,
        sessions: inputs.iter().map(Input::sessions).sum(),
        nodes,
        snaplen: infos().map(|info| info.snaplen).min().unwrap_or(u32::MAX),
        sample: infos().map(|info| info.sample).max().unwrap_or(0),
        max_rate: infos().filter_map(|info| info.max_rate).max(),
        mixed_sampling: differ_in_sampling(inputs),
        headers_only: infos().any(|info| info.headers_only),
        hop_timeout_ns: infos().map(|info| info.hop_timeout_ns).max().unwrap_or(0),
        interfaces: chosen(args, inputs),
        ..SectionInfo::default()
    };
    let options = RecorderOptions {
        info,
        kernel: kernel(),
        command: command(),
        rotate_bytes: None,
        rotate_ns: None,
        flush_ns: FLUSH_NS,
    };
    Ok(Recorder::new(options, files, 0).patient())
}

/// Why writing failed, and the flag that ends the reading then.
#[derive(Clone)]
struct Failed {
    error: Arc<Mutex<Option<ExportError>>>,
    stop: Arc<AtomicBool>,
}

impl Failed {
    fn note(&self, result: Result<(), ExportError>) {
        if let (Err(error), Ok(mut slot)) = (result, self.error.lock()) {
            slot.get_or_insert(error);
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn result(&self) -> Result<(), ExportError> {
        let error = self.error.lock().ok().and_then(|mut slot| slot.take());
        error.map_or(Ok(()), Err)
    }
}

enum Rows {
    Csv(CsvRows<Box<dyn Write + Send>>),
    Parquet(ParquetRows<Box<dyn Write + Send>>),
}

/// Writes a row for each hop.
struct Export {
    rows: Option<Rows>,
    failed: Failed,
}

impl Output for Export {
    fn path(&mut self, _: &mut String, path: &Path, world: &World) {
        self.failed.note(match &mut self.rows {
            Some(Rows::Csv(rows)) => rows.write(path, world),
            Some(Rows::Parquet(rows)) => rows.write(path, world),
            None => Ok(()),
        });
    }

    /// What is incomplete for it is counted as such.
    fn attaching(&mut self, _: &mut String, _left: u64, _refused: u64) {}

    fn notice(&mut self, _: &mut String, text: &str) {
        eprintln!("podtrace: {text}");
    }

    fn summary(&mut self, _: &mut String, _: &Summary, _: &World) {
        let finished = match self.rows.take() {
            Some(Rows::Csv(rows)) => rows.finish(),
            Some(Rows::Parquet(rows)) => rows.finish(),
            None => return,
        };
        let flushed = finished.and_then(|mut writer| Ok(writer.flush()?));
        self.failed.note(flushed);
    }
}

/// Only what the user should know.
struct Notices;

impl Output for Notices {
    /// What is incomplete for it is counted as such.
    fn attaching(&mut self, _: &mut String, _left: u64, _refused: u64) {}

    fn notice(&mut self, _: &mut String, text: &str) {
        eprintln!("podtrace: {text}");
    }
}
