//! `podtrace diagnose`.
use std::{
    cell::Cell,
    env,
    io::{self, IsTerminal as _},
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use tokio::sync::Notify;

use super::{
    FINE, INTERRUPTED, PROBLEMS, UNKNOWN,
    cluster::{Asking, ended},
    replay::{code, leaves_terminal, progress_alone},
    setup::{check_support, nodes, vxlan_ports},
    stop::stop_on_signal,
    trace::{Watch, follow},
    use_color, width,
};
use crate::{
    cli::{ChosenArgs, DiagnoseArgs, DiagnoseFormat, DiagnoseProtocol, LiveFilterArgs, SelectArgs},
    clock::epoch_ns,
    diagnosis::{AskedEnd, Conclusion, Diagnosis, Mode, Pair},
    output::diagnosis::{DiagnosisReport, Live, PictureOptions, ReportFormat},
    packet::Protocol,
    pipeline::{Asked, consumer::Consumer},
    prober::Prober,
    replay::{ShowLine, options::PlayerOptions, player::Player, report::Played},
    select::{Peer, Selector},
    signals::Stop,
    sink::{Sink, TextSink},
};

/// How long packets are watched by default.
const DURATION: Duration = Duration::from_secs(10);

/// Runs the command; returns the exit code.
pub(super) fn run(args: &DiagnoseArgs) -> anyhow::Result<u8> {
    if !args.read.is_empty() {
        return replay(args);
    }
    if args.cluster.elsewhere().is_some() {
        return of_agents(args);
    }
    refuse_unsendable(args)?;
    check_support().map_err(|error| anyhow!("{error}; {OF_RECORDING}"))?;
    live(args)
}

/// What takes no privileges.
const OF_RECORDING: &str =
    "a recording can be diagnosed without: podtrace diagnose -r FILE SRC DST";

/// Refuses to send where nothing can be sent to.
fn refuse_unsendable(args: &DiagnoseArgs) -> anyhow::Result<()> {
    if !args.probe {
        return Ok(());
    }
    let (peer, text) = (&args.destination.peer, &args.destination.text);
    let Peer::Address(range) = peer else {
        return Ok(());
    };
    if let Some(IpAddr::V6(address)) = range.single()
        && address.is_unicast_link_local()
    {
        bail!(
            "{text} is a link-local address, which does not tell the interface to send by\n\
             hint: give another address of it, or its name: podtrace diagnose --probe web db"
        );
    }
    Ok(())
}

fn live(args: &DiagnoseArgs) -> anyhow::Result<u8> {
    let mut capture = args.capture.clone();
    let duration = *capture.duration.get_or_insert(DURATION);
    let known = nodes(&capture.netns, &capture.naming.node_name)?;
    let diagnosis = Diagnosis::new(pair(args), mode(args));
    let concluded = Rc::new(Cell::new(None));
    let quit = Arc::new(Notify::new());
    let filter = LiveFilterArgs {
        chosen: ChosenArgs {
            select: SelectArgs {
                selector: selector(args),
            },
            ..ChosenArgs::default()
        },
        wait: args.wait,
        ..LiveFilterArgs::default()
    };
    let show = |sink| {
        // Here the privileges to send are there still.
        let prober = args.probe.then(|| {
            let known = known.into_iter().map(|node| node.netns).collect();
            Prober::start(known).context("failed to start a thread")
        });
        let asked = Arc::clone(&quit);
        let quit = Box::new(move || asked.notify_one());
        let words = watching(args, duration);
        let (timeout, prober) = (capture.hop_timeout, prober.transpose()?);
        let live = Live::new(words, prober, timeout, args.wait, quit);
        let report = DiagnosisReport::new(
            diagnosis,
            format(args),
            Some(live),
            sink,
            Rc::clone(&concluded),
        );
        Ok(Box::new(report) as Box<_>)
    };
    let watch = Watch {
        quit: Arc::clone(&quit),
        needs_all: true,
        ..Watch::new(show, epoch_ns()?)
    };
    let code = follow((&capture, &filter), None, watch)?;
    Ok(finish(code, conclusion(concluded.take())?))
}

/// Looks at recordings.
fn replay(args: &DiagnoseArgs) -> anyhow::Result<u8> {
    let how = Recorded {
        stop: stop_on_signal()?,
        show_progress: leaves_terminal().then(progress_alone),
        format: format(args),
        sink: Box::new(Sink::stdout()?),
        beside: Vec::new(),
    };
    let (played, concluded) = recorded(args, how)?;
    Ok(finish(code(&played), concluded))
}

/// How recordings are looked at.
pub(super) struct Recorded {
    /// Ends it early.
    pub(super) stop: Stop,
    /// Shows the progress, if requested.
    pub(super) show_progress: Option<ShowLine>,
    /// How the report is written.
    pub(super) format: ReportFormat,
    /// Where to.
    pub(super) sink: Box<dyn TextSink>,
    /// Who listens, too.
    pub(super) beside: Vec<Box<dyn Consumer>>,
}

/// Looks at recordings: what was read, and the conclusion, if there is one.
pub(super) fn recorded(
    args: &DiagnoseArgs,
    how: Recorded,
) -> anyhow::Result<(Played, Option<Conclusion>)> {
    let options = PlayerOptions {
        files: args.read.clone(),
        interfaces: args.capture.chosen().to_vec(),
        vxlan_ports: vxlan_ports(&args.capture.vxlan_port)?,
        asked: Asked {
            selector: selector(args).map(Arc::new),
            ..Asked::default()
        },
        ..PlayerOptions::default()
    };
    let mut player = Player::new(&options, false, how.stop)?;
    player.show_progress = how.show_progress;
    let concluded = Rc::new(Cell::new(None));
    let played = player.run(|found| {
        let mut diagnosis = Diagnosis::new(pair(args), Mode::Recorded);
        diagnosis.note_unseen(found.unrecorded);
        let concluded = Rc::clone(&concluded);
        let report = DiagnosisReport::new(diagnosis, how.format, None, how.sink, concluded);
        let mut consumers = how.beside;
        consumers.push(Box::new(report));
        Ok(consumers)
    })?;
    Ok((played, conclusion(concluded.take())?))
}

/// The conclusion; none if there was nothing to conclude from.
fn conclusion(concluded: Option<Result<Conclusion, String>>) -> anyhow::Result<Option<Conclusion>> {
    concluded.transpose().map_err(anyhow::Error::msg)
}

/// Looks at other nodes.
fn of_agents(args: &DiagnoseArgs) -> anyhow::Result<u8> {
    refuse_unsendable(args)?;
    let mut capture = args.capture.clone();
    let duration = *capture.duration.get_or_insert(DURATION);
    let asking = Asking {
        cluster: &args.cluster,
        capture: &capture,
        expression: &[],
        ends: Some([&args.source, &args.destination]),
        probe: args.probe,
    };
    let options = asking.options(Asked {
        selector: selector(args).map(Arc::new),
        ..Asked::default()
    })?;
    let stop = stop_on_signal()?;
    let Some((connections, cluster)) = asking.begin(&options, &stop)? else {
        return Ok(INTERRUPTED);
    };
    let quit = stop.clone();
    let quit = Box::new(move || quit.set());
    let prober = args.probe.then(|| connections.prober()).transpose()?;
    let live = Live::new(
        watching(args, duration),
        prober,
        capture.hop_timeout,
        false,
        quit,
    );
    let player = Player::live(&options, cluster, stop)?;
    let sink = Box::new(Sink::stdout()?);
    let concluded = Rc::new(Cell::new(None));
    let played = player.run(|_| {
        let diagnosis = Diagnosis::new(pair(args), mode(args));
        let concluded = Rc::clone(&concluded);
        let report = DiagnosisReport::new(diagnosis, format(args), Some(live), sink, concluded);
        Ok(vec![Box::new(report)])
    })?;
    let code = ended(&played, &capture);
    Ok(finish(code, conclusion(concluded.take())?))
}

fn mode(args: &DiagnoseArgs) -> Mode {
    match args.probe {
        true => Mode::Probed,
        false => Mode::Watched,
    }
}

/// What is watched, in words.
fn watching(args: &DiagnoseArgs, duration: Duration) -> String {
    let (from, to) = (&args.source.text, &args.destination.text);
    let seconds = duration.as_secs_f64();
    format!("watching {from} and {to} for {seconds} s at most")
}

/// The exit code. `concluded`: none if the trace ended before it began.
fn finish(code: u8, concluded: Option<Conclusion>) -> u8 {
    match (code, concluded) {
        (FINE, Some(Conclusion::Delivered)) => FINE,
        (FINE, Some(Conclusion::Lost | Conclusion::Refused)) => PROBLEMS,
        (FINE, Some(Conclusion::Unknown) | None) => UNKNOWN,
        (code, _) => code,
    }
}

fn selector(args: &DiagnoseArgs) -> Option<Selector> {
    Selector::of_pair(&args.source.peer, &args.destination.peer)
}

fn pair(args: &DiagnoseArgs) -> Pair {
    let end = |end: &crate::cli::End| AskedEnd {
        peer: end.peer.clone(),
        text: end.text.clone(),
    };
    let given = args.protocol.map(|protocol| match protocol {
        DiagnoseProtocol::Icmp => Protocol::Icmp,
        DiagnoseProtocol::Tcp => Protocol::Tcp,
        DiagnoseProtocol::Udp => Protocol::Udp,
    });
    Pair {
        source: end(&args.source),
        destination: end(&args.destination),
        protocol: given.or_else(|| args.port.map(|_| Protocol::Tcp)),
        port: args.port,
    }
}

fn format(args: &DiagnoseArgs) -> ReportFormat {
    match args.output {
        DiagnoseFormat::Json => ReportFormat::Json,
        DiagnoseFormat::Text => ReportFormat::Picture(PictureOptions {
            color: use_color(args.color),
            ascii: !io::stdout().is_terminal() || !is_utf8(),
            width: width(),
        }),
    }
}

/// Whether the locale is of UTF-8, by the first of its variables that is set.
fn is_utf8() -> bool {
    let variables = ["LC_ALL", "LC_CTYPE", "LANG"];
    let mut set = variables.iter().filter_map(env::var_os);
    let set = set.find(|value| !value.is_empty());
    let set = set.map(|value| value.to_ascii_lowercase());
    set.is_some_and(|value| {
        let value = value.as_encoded_bytes();
        value.ends_with(b"utf-8") || value.ends_with(b"utf8")
    })
}
