//! `podtrace export`.
use std::{
    io::{self, IsTerminal as _, Write},
    path::Path as FilePath,
};

use anyhow::bail;

use super::{code, leaves_terminal, player_options, progress_alone};
use crate::{
    cli::{ExportArgs, ExportFormat, ReplayArgs, WriteArgs},
    command::{
        filter::refuse_partial,
        setup::{
            check_write, command, kernel, names_of, refuse_terminal, session_name, vxlan_ports,
        },
        stop::stop_on_signal,
    },
    export::{CsvRows, ExportError, ParquetRows, check_parquet},
    output::{json::Json, notices::Notices, printer::Printer},
    packet::VxlanPorts,
    path::{Path, summary::Summary},
    pipeline::consumer::{Consumer, Failure},
    replay::{
        inputs::{Input, differ_in_sampling, firsts},
        player::{Found, Player},
    },
    session::{
        files::{self, FileOptions, Keep, SessionFiles, Target},
        format::{CAPTURE, FORMAT, SectionInfo, SourceSession},
        reader::VXLAN_PORTS,
        recorder::{Recorder, RecorderOptions},
    },
    sink::{Named, Writer, status},
    text::escape::shown,
    world::World,
};

/// Time between two writes to the kernel, in nanoseconds of the recording.
const FLUSH_NS: u64 = 1_000_000_000;
/// The same where somebody may watch.
const PIPED_FLUSH_NS: u64 = 100_000_000;

/// Runs the command; returns the exit code.
pub(in crate::command) fn run(args: &ExportArgs) -> anyhow::Result<u8> {
    if args.how.zstd && args.format != ExportFormat::Pcapng {
        bail!("--zstd is for pcapng; parquet is compressed anyway, others take a pipe to zstd");
    }
    check_write(&args.how, args.write.as_deref())?;
    if args.format == ExportFormat::Pcapng {
        refuse_partial(args.input.filter.scope)?;
    }
    if args.format == ExportFormat::Parquet {
        check_parquet()?;
    }
    let is_binary = matches!(args.format, ExportFormat::Pcapng | ExportFormat::Parquet);
    if is_binary && target(args).is_none() {
        refuse_terminal()?;
    }
    check_target(args)?;
    // Opens the input first: an unreadable one leaves no file behind.
    let options = player_options(&args.input)?;
    let mut player = Player::new(&options, false, stop_on_signal()?)?;
    let is_free = target(args).is_some() && status::has_terminal()
        || !io::stdout().is_terminal() && leaves_terminal();
    player.show_progress = is_free.then(progress_alone);
    player.vantage.clone_from(&args.vantage);
    player.is_recorded = args.format == ExportFormat::Pcapng;
    let mut has_started = false;
    let played = player.run(|found| {
        let made = consumers(args, found)?;
        has_started = true;
        Ok(made)
    });
    let is_cut = !played.as_ref().is_ok_and(|played| !played.is_interrupted);
    if let (true, true, Some(path)) = (is_cut, has_started, target(args))
        && path.exists()
    {
        eprintln!("podtrace: {} is partial", shown(path));
    }
    Ok(code(&played?))
}

/// The consumers of `replay -o pcapng`.
pub(super) fn piped(
    args: &ReplayArgs,
    found: &Found<'_>,
) -> anyhow::Result<Vec<Box<dyn Consumer>>> {
    let export = ExportArgs {
        input: args.input.clone(),
        format: ExportFormat::Pcapng,
        write: None,
        how: WriteArgs {
            zstd: false,
            force: false,
        },
        vantage: None,
    };
    let recorder = recorder(&export, found, PIPED_FLUSH_NS)?;
    Ok(vec![Box::new(recorder), Box::new(Notices)])
}

fn consumers(args: &ExportArgs, found: &Found<'_>) -> anyhow::Result<Vec<Box<dyn Consumer>>> {
    let exporter: Box<dyn Consumer> = match args.format {
        ExportFormat::Pcapng => Box::new(recorder(args, found, FLUSH_NS)?),
        // JSON has lines for notices.
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

/// Refuses a directory, unless the file gets a name of its own.
fn check_target(args: &ExportArgs) -> anyhow::Result<()> {
    let name = match args.format {
        ExportFormat::Pcapng => return Ok(()),
        ExportFormat::Json => "packets.json",
        ExportFormat::Csv => "packets.csv",
        ExportFormat::Parquet => "packets.parquet",
    };
    if let Some(path) = target(args).filter(|path| path.is_dir()) {
        bail!(
            "--write {} is a directory\nhint: name a file in it, for example --write {}",
            shown(path),
            shown(path.join(name))
        );
    }
    Ok(())
}

fn writer(args: &ExportArgs) -> anyhow::Result<Box<dyn Write + Send>> {
    Ok(match target(args) {
        Some(path) => {
            let file = files::create(path, args.how.force)?;
            let name = shown(path);
            Box::new(io::BufWriter::new(Named::new(name, file)))
        }
        None => Box::new(io::BufWriter::new(Named::stdout())),
    })
}

/// The interfaces that the export is limited to, or else the recordings.
fn chosen(args: &ExportArgs, inputs: &[Input]) -> Vec<String> {
    // An interface name has no slash.
    let vantage = args
        .vantage
        .iter()
        .filter_map(|name| name.rsplit('/').next());
    let vantage = vantage.map(str::to_owned);
    let given = names_of(&args.input.interfaces).into_iter();
    let given: Vec<_> = given.chain(vantage).collect();
    if !given.is_empty() {
        return given;
    }
    let infos = inputs.iter().filter_map(Input::info);
    infos.flat_map(|info| info.interfaces.clone()).collect()
}

/// The sessions of the inputs.
fn made_of(inputs: &[Input]) -> anyhow::Result<Box<[SourceSession]>> {
    let source = |input: &Input| {
        let info = input.info().filter(|info| !info.made_of.is_empty());
        Ok(SourceSession {
            session: match input.session()? {
                Some(name) => name,
                None => format!("{CAPTURE}{}", session_name()?),
            },
            live: info.map(SectionInfo::live).unwrap_or_default(),
            boot_ns: input.boot_ns().unwrap_or_default(),
        })
    };
    inputs.iter().map(source).collect()
}

/// The UDP ports on which VXLAN is decoded in the inputs, apart from those of their snapshots.
fn tunnels(inputs: &[Input], given: VxlanPorts) -> Vec<u16> {
    let of = |input: &Input| match input.info() {
        Some(info) => info.vxlan_ports.clone(),
        None => VXLAN_PORTS.to_vec(),
    };
    given.with(&inputs.iter().flat_map(of).collect::<Vec<_>>())
}

fn recorder(args: &ExportArgs, found: &Found<'_>, flush_ns: u64) -> anyhow::Result<Recorder> {
    let Found {
        inputs,
        outline,
        clocks,
    } = found;
    let nodes: Vec<_> = firsts(inputs).flat_map(Input::nodes).collect();
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
        sessions: firsts(inputs).map(Input::sessions).sum(),
        nodes,
        snaplen: infos().map(|info| info.snaplen).min().unwrap_or(u32::MAX),
        sample: infos().map(|info| info.sample).max().unwrap_or(0),
        max_rate: infos().filter_map(|info| info.max_rate).max(),
        mixed_sampling: differ_in_sampling(inputs),
        headers_only: infos().any(|info| info.headers_only),
        hop_timeout_ns: infos().map(|info| info.hop_timeout_ns).max().unwrap_or(0),
        interfaces: chosen(args, inputs),
        vxlan_ports: tunnels(inputs, vxlan_ports(&args.input.vxlan_port)?),
        made_of: made_of(inputs)?,
        clocks: clocks.clone(),
        ..SectionInfo::default()
    };
    let options = RecorderOptions {
        info,
        kernel: kernel(),
        command: command(),
        rotate_bytes: None,
        rotate_ns: None,
        flush_ns,
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

    fn record(&mut self, result: Result<(), ExportError>) {
        self.failure.record(result.map_err(Into::into));
    }
}

impl Consumer for Export {
    fn on_path(&mut self, path: &Path, world: &World) {
        let written = match &mut self.rows {
            Some(Rows::Csv(rows)) => rows.write(path, world),
            Some(Rows::Parquet(rows)) => rows.write(path, world),
            None => Ok(()),
        };
        self.record(written);
    }

    fn on_end(&mut self, _: &Summary, _: &World) -> Vec<String> {
        let mut beyond = 0;
        let finished = match self.rows.take() {
            Some(Rows::Csv(rows)) => rows.finish(),
            Some(Rows::Parquet(rows)) => {
                beyond = rows.beyond();
                rows.finish()
            }
            None => return Vec::new(),
        };
        self.record(finished.and_then(|mut writer| Ok(writer.flush()?)));
        let notice = || {
            format!(
                "{beyond} times are written as 2262-04-11T23:47:16Z, the last that Parquet has: csv and json go on to 2554"
            )
        };
        (beyond > 0).then(notice).into_iter().collect()
    }

    fn has_failed(&self) -> bool {
        self.failure.has_failed()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.failure.take()
    }
}
