//! `podtrace export`.
use std::{
    io::{self, IsTerminal as _, Write},
    path::Path as FilePath,
};

use anyhow::bail;

use super::{code, leaves_terminal, player_options, progress_alone, stop_on_signal};
use crate::{
    cli::{ExportArgs, ExportFormat},
    command::setup::{command, kernel, refuse_terminal, session_name},
    export::{CsvRows, ExportError, ParquetRows, check_parquet},
    output::{json::Json, notices::Notices, printer::Printer},
    path::{Path, summary::Summary},
    pipeline::consumer::{Consumer, Failure},
    replay::{
        inputs::{Input, differ_in_sampling},
        player::{Found, Player},
    },
    session::{
        files::{self, FileOptions, Keep, SessionFiles, Target},
        format::{FORMAT, SectionInfo},
        recorder::{Recorder, RecorderOptions},
    },
    sink::{Named, Writer, status},
    text::sanitize::sanitize,
    world::World,
};

/// How much is given to the kernel at once, in nanoseconds of the recording.
const FLUSH_NS: u64 = 1_000_000_000;

/// Runs the command; returns the exit code.
pub(in crate::command) fn run(args: &ExportArgs) -> anyhow::Result<u8> {
    if args.how.zstd && args.format != ExportFormat::Pcapng {
        bail!("--zstd is for pcapng; parquet is compressed anyway, others take a pipe to zstd");
    }
    if args.format == ExportFormat::Parquet {
        check_parquet()?;
    }
    let is_binary = matches!(args.format, ExportFormat::Pcapng | ExportFormat::Parquet);
    if is_binary && target(args).is_none() {
        refuse_terminal()?;
    }
    // What cannot be read leaves no file behind.
    let options = player_options(&args.input);
    let mut player = Player::new(&options, false, stop_on_signal()?)?;
    let is_free = target(args).is_some() && status::has_terminal()
        || !io::stdout().is_terminal() && leaves_terminal();
    player.show_progress = is_free.then(progress_alone);
    player.vantage.clone_from(&args.vantage);
    player.is_recorded = args.format == ExportFormat::Pcapng;
    let mut has_begun = false;
    let played = player.run(|found| {
        has_begun = true;
        consumers(args, found)
    })?;
    if let (true, true, Some(path)) = (played.is_interrupted, has_begun, target(args)) {
        eprintln!("podtrace: {} is partial", sanitize(&path.to_string_lossy()));
    }
    Ok(code(&played))
}

fn consumers(args: &ExportArgs, found: &Found<'_>) -> anyhow::Result<Vec<Box<dyn Consumer>>> {
    let exporter: Box<dyn Consumer> = match args.format {
        ExportFormat::Pcapng => Box::new(recorder(args, found)?),
        // It has notices among its lines.
        ExportFormat::Json => {
            let sink = Box::new(Writer(writer(args)?));
            let printer = Printer::new(Box::new(Json::new(0)), sink);
            return Ok(vec![Box::new(printer)]);
        }
        ExportFormat::Csv => Box::new(Export::new(Rows::Csv(CsvRows::new(writer(args)?, 0)?))),
        ExportFormat::Parquet => {
            let rows = ParquetRows::new(writer(args)?, 0)?;
            Box::new(Export::new(Rows::Parquet(rows)))
        }
    };
    Ok(vec![exporter, Box::new(Notices)])
}

/// The file to write; none for standard output.
fn target(args: &ExportArgs) -> Option<&FilePath> {
    args.write.as_deref().filter(|path| path.as_os_str() != "-")
}

fn writer(args: &ExportArgs) -> anyhow::Result<Box<dyn Write + Send>> {
    Ok(match target(args) {
        Some(path) => {
            let file = files::create(path, args.how.force)?;
            let name = sanitize(&path.to_string_lossy());
            Box::new(io::BufWriter::new(Named::new(name, file)))
        }
        None => Box::new(io::BufWriter::new(Named::stdout())),
    })
}

/// The interfaces that the export is limited to, or was from the begin.
fn chosen(args: &ExportArgs, inputs: &[Input]) -> Vec<String> {
    // An interface name has no slash.
    let vantage = args
        .vantage
        .iter()
        .filter_map(|name| name.rsplit('/').next());
    let vantage = vantage.map(str::to_owned);
    let given: Vec<_> = args
        .input
        .interfaces
        .iter()
        .cloned()
        .chain(vantage)
        .collect();
    if !given.is_empty() {
        return given;
    }
    let infos = inputs.iter().filter_map(Input::info);
    infos.flat_map(|info| info.interfaces.clone()).collect()
}

fn recorder(args: &ExportArgs, found: &Found<'_>) -> anyhow::Result<Recorder> {
    let Found { inputs, outline } = found;
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
        recorder: None,
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
        outline: outline.clone(),
    };
    Ok(Recorder::new(options, files, 0).patient())
}

#[cfg_attr(
    not(feature = "parquet"),
    expect(
        clippy::large_enum_variant,
        reason = "what stands in for Parquet is empty"
    )
)]
enum Rows {
    Csv(CsvRows<Box<dyn Write + Send>>),
    Parquet(ParquetRows<Box<dyn Write + Send>>),
}

/// Writes a row for each hop.
struct Export {
    /// None once all is written.
    rows: Option<Rows>,
    failure: Failure,
}

impl Export {
    fn new(rows: Rows) -> Self {
        Self {
            rows: Some(rows),
            failure: Failure::default(),
        }
    }

    fn note(&mut self, result: Result<(), ExportError>) {
        self.failure.note(result.map_err(Into::into));
    }
}

impl Consumer for Export {
    fn on_path(&mut self, path: &Path, world: &World) {
        let written = match &mut self.rows {
            Some(Rows::Csv(rows)) => rows.write(path, world),
            Some(Rows::Parquet(rows)) => rows.write(path, world),
            None => Ok(()),
        };
        self.note(written);
    }

    fn on_end(&mut self, _: &Summary, _: &World) -> Vec<String> {
        let finished = match self.rows.take() {
            Some(Rows::Csv(rows)) => rows.finish(),
            Some(Rows::Parquet(rows)) => rows.finish(),
            None => return Vec::new(),
        };
        self.note(finished.and_then(|mut writer| Ok(writer.flush()?)));
        Vec::new()
    }

    fn has_failed(&self) -> bool {
        self.failure.has_failed()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.failure.take()
    }
}
