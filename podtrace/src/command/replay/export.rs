//! `podtrace export`.
use std::{
    io::{self, IsTerminal as _, Write},
    path::Path as FilePath,
};

use super::{
    leaves_terminal, player_options, progress_alone,
    rewrite::Rewrite,
    target::{Begun, finish, refuse_directory, refuse_inputs, target},
};
use crate::{
    cli::{ExportArgs, ExportFormat},
    command::{
        setup::{refuse_terminal, refuse_terminal_for_packets},
        stop::stop_on_signal,
    },
    export::{
        Collector, CsvRows, ExportError, Lines, OtlpTraces, ParquetRows, PerfettoTrace, Receiver,
        check_parquet,
    },
    output::{json::Json, notices::Notices, printer::Printer},
    path::{Path, summary::Summary},
    pipeline::consumer::{Consumer, Failure},
    replay::{
        inputs::{Input, firsts},
        player::{Found, Player},
    },
    session::files::{Target, file_name},
    sink::{Writer, status},
    text::count::counted,
    world::World,
};

/// Time between two writes to the kernel, in nanoseconds of the recording.
const FLUSH_NS: u64 = 1_000_000_000;

/// Runs the command; returns the exit code.
pub(in crate::command) fn run(args: &ExportArgs) -> anyhow::Result<u8> {
    let file = target(args.write.as_deref());
    if args.format == ExportFormat::Parquet {
        check_parquet()?;
    }
    if file.is_none() {
        match args.format {
            ExportFormat::Pcapng => refuse_terminal_for_packets("-w FILE")?,
            ExportFormat::Parquet => refuse_terminal("-w FILE")?,
            _ => {}
        }
    }
    if let Some(path) = file {
        if let Some(name) = example(args.format) {
            refuse_directory(path, name)?;
        }
        refuse_inputs(path, &args.input)?;
    }
    // Opens the input first: an unreadable one leaves no file behind.
    let options = player_options(&args.input)?;
    let mut player = Player::new(&options, false, stop_on_signal()?)?;
    let is_free = file.is_some() && status::has_terminal()
        || !io::stdout().is_terminal() && leaves_terminal();
    player.show_progress = is_free.then(progress_alone);
    player.vantage.clone_from(&args.vantage);
    player.is_recorded = args.format == ExportFormat::Pcapng;
    let written = file.map(|path| file_name(path, args.how.zstd));
    let is_part = options.is_part();
    let mut begun = Begun::default();
    let played = player.run(|found| {
        let made = consumers(args, file, is_part, found, &mut begun)?;
        begun.has_begun = true;
        Ok(made)
    });
    finish(written.as_deref(), begun, played)
}

fn consumers(
    args: &ExportArgs,
    file: Option<&FilePath>,
    is_part: bool,
    found: &Found<'_>,
    begun: &mut Begun,
) -> anyhow::Result<Vec<Box<dyn Consumer>>> {
    let mut open = || begun.writer(file, args.how.force);
    let exporter: Box<dyn Consumer> = match args.format {
        ExportFormat::Pcapng => {
            let rewrite = Rewrite {
                target: file.map_or(Target::Stdout, |path| Target::Path(path.to_owned())),
                how: args.how,
                vantage: args.vantage.as_deref(),
                is_part,
                flush_ns: FLUSH_NS,
            };
            let (recorder, replacement) = rewrite.recorder(&args.input, found)?;
            begun.replacement = replacement;
            Box::new(recorder)
        }
        // JSON has lines for notices.
        ExportFormat::Json => {
            let sink = Box::new(Writer(open()?));
            let printer = Printer::new(Box::new(Json::new(0)), sink);
            return Ok(vec![Box::new(printer)]);
        }
        ExportFormat::Csv => Box::new(Export::new(Rows::Csv(CsvRows::new(open()?, 0)?))),
        ExportFormat::Perfetto => {
            let trace = PerfettoTrace::new(open()?, 0);
            Box::new(Export::new(Rows::Perfetto(trace)))
        }
        ExportFormat::Otlp => {
            let receiver: Box<dyn Receiver> = match &args.to {
                Some(endpoint) => Box::new(Collector::connect(endpoint.clone())?),
                None => Box::new(Lines(open()?)),
            };
            let traces = OtlpTraces::new(receiver, sessions(found)?, 0);
            Box::new(Export::new(Rows::Otlp(traces)))
        }
        ExportFormat::Parquet => {
            let rows = ParquetRows::new(open()?, 0)?;
            Box::new(Export::new(Rows::Parquet(rows)))
        }
    };
    Ok(vec![exporter, Box::new(Notices)])
}

/// The name of a file of that format; none if it gets a name of its own in a directory.
fn example(format: ExportFormat) -> Option<&'static str> {
    match format {
        ExportFormat::Pcapng => None,
        ExportFormat::Json => Some("packets.json"),
        ExportFormat::Csv => Some("packets.csv"),
        ExportFormat::Parquet => Some("packets.parquet"),
        ExportFormat::Perfetto => Some("packets.perfetto.json"),
        ExportFormat::Otlp => Some("packets.otlp.json"),
    }
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
    Perfetto(PerfettoTrace<Box<dyn Write + Send>>),
    Otlp(OtlpTraces),
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

/// The notice of times that Parquet does not have.
fn beyond_parquet(times: u64) -> Option<String> {
    (times > 0).then(|| {
        format!(
            "{times} times are written as 2262-04-11T23:47:16Z, the last that Parquet has: csv and json go on to 2554"
        )
    })
}

/// The notice of hops that are on no track.
fn beyond_lanes(hops: u64) -> Option<String> {
    (hops > 0).then(|| {
        format!("{hops} hops were left out: too many packets were at a place at once; csv and json have all")
    })
}

/// The notice of hops that no packet has taken on its way.
fn left_out(copies: u64) -> Option<String> {
    (copies > 0).then(|| {
        let hops = counted(copies, "hop");
        format!(
            "{hops} of copies for others, as a bridge sends to all its ports, were left out: csv and json have all"
        )
    })
}

/// The notice of spans that a collector did not want.
fn rejected(spans: u64) -> Option<String> {
    (spans > 0).then(|| format!("the collector has rejected {spans} spans"))
}

fn flush(mut writer: impl Write) -> Result<(), ExportError> {
    Ok(writer.flush()?)
}

/// The names of the sessions, which are the same each time; of a capture of another tool, that of
/// its node.
pub(in crate::command) fn sessions(found: &Found<'_>) -> anyhow::Result<String> {
    let name = |input: &Input| {
        let session = input.session()?;
        Ok(session.unwrap_or_else(|| input.nodes().join("+")))
    };
    let names: anyhow::Result<Vec<String>> = firsts(found.inputs).map(name).collect();
    Ok(names?.join("\n"))
}

impl Consumer for Export {
    fn on_path(&mut self, path: &Path, world: &World) {
        let written = match &mut self.rows {
            Some(Rows::Csv(rows)) => rows.write(path, world),
            Some(Rows::Parquet(rows)) => rows.write(path, world),
            Some(Rows::Perfetto(trace)) => trace.write(path, world),
            Some(Rows::Otlp(traces)) => traces.write(path, world),
            None => Ok(()),
        };
        self.record(written);
    }

    fn on_end(&mut self, _: &Summary, _: &World) -> Vec<String> {
        let (mut notice, mut copies) = (None, 0);
        let finished = match self.rows.take() {
            Some(Rows::Csv(rows)) => rows.finish().and_then(flush),
            Some(Rows::Parquet(rows)) => {
                notice = beyond_parquet(rows.beyond());
                rows.finish().and_then(flush)
            }
            Some(Rows::Perfetto(trace)) => {
                copies = trace.copies();
                notice = beyond_lanes(trace.beyond());
                trace.finish().and_then(flush)
            }
            Some(Rows::Otlp(traces)) => {
                copies = traces.copies();
                traces.finish().map(|spans| notice = rejected(spans))
            }
            None => return Vec::new(),
        };
        self.record(finished);
        // Of what was not written, nothing is said but why.
        let copies = if self.has_failed() { 0 } else { copies };
        notice.into_iter().chain(left_out(copies)).collect()
    }

    fn has_failed(&self) -> bool {
        self.failure.has_failed()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.failure.take()
    }
}
