//! `podtrace trace`: attach, follow, print.
mod session;

use anyhow::{Context as _, bail};

use crate::{
    cli::{Format, TraceArgs},
    command::{FINE, LOST, use_color},
    identity::PodTable,
    node::{discover::Node, netns::NetNs},
    output::{
        Output,
        json::Json,
        text::{Text, TextOptions},
    },
    probe::support,
};
pub(super) use session::{Session, SessionOptions};

/// Runs the command; returns the exit code.
pub(super) fn run(args: &TraceArgs) -> anyhow::Result<u8> {
    check_support()?;
    let table = match &args.pods {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("failed to read the pod table {}", path.display()))?;
            PodTable::parse(&text)?
        }
        None => PodTable::default(),
    };
    let nodes = nodes(&args.netns)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let lost = runtime.block_on(async {
        let session = Session::start(nodes, Box::new(table), session_options(args)?).await?;
        session.run().await
    })?;
    Ok(if args.strict && lost > 0 { LOST } else { FINE })
}

/// Fails with words about what the process or the kernel lacks.
pub(super) fn check_support() -> anyhow::Result<()> {
    let missing = support::missing_capabilities().context("failed to read the capabilities")?;
    if !missing.is_empty() {
        bail!("missing {}\nhint: run it with sudo", missing.join(", "));
    }
    let missing = support::missing_features();
    if !missing.is_empty() {
        bail!("this kernel lacks {}", missing.join(", "));
    }
    Ok(())
}

fn nodes(names: &[String]) -> anyhow::Result<Vec<Node>> {
    if names.is_empty() {
        let name = nix::unistd::gethostname()
            .ok()
            .and_then(|name| name.into_string().ok())
            .unwrap_or_else(|| "this node".into());
        return Ok(vec![Node {
            name: crate::output::sanitize::sanitize(&name).into(),
            netns: NetNs::current()?,
        }]);
    }
    names
        .iter()
        .map(|name| {
            let short = name.rsplit('/').next().unwrap_or(name);
            Ok(Node {
                name: crate::output::sanitize::sanitize(short).into(),
                netns: NetNs::open(name)?,
            })
        })
        .collect()
}

fn session_options(args: &TraceArgs) -> anyhow::Result<SessionOptions> {
    let epoch_ns = epoch_ns()?;
    let output: Box<dyn Output> = match args.output {
        Format::Json => Box::new(Json::new(epoch_ns)),
        Format::Text => Box::new(text(args.color, args.numeric, epoch_ns)),
    };
    Ok(SessionOptions {
        interfaces: args.interfaces.clone(),
        count: args.count,
        duration: args.duration,
        snaplen: args.snaplen,
        hop_timeout: args.hop_timeout,
        ring_bytes: args.buffer << 20,
        diagnostics: args.verbose > 0,
        output,
    })
}

/// The text view with the local time zone.
pub(super) fn text(color: crate::cli::Color, numeric: bool, epoch_ns: i128) -> Text {
    let options = TextOptions {
        color: use_color(color),
        numeric,
        epoch_ns,
    };
    Text::new(options, jiff::tz::TimeZone::system())
}

/// UTC nanoseconds at CLOCK_MONOTONIC zero.
pub(super) fn epoch_ns() -> anyhow::Result<i128> {
    Ok(jiff::Timestamp::now().as_nanosecond() - i128::from(monotonic_ns()?))
}

/// CLOCK_MONOTONIC in nanoseconds, the clock of `bpf_ktime_get_ns`.
pub(super) fn monotonic_ns() -> anyhow::Result<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    let ns = i128::from(now.tv_sec()) * 1_000_000_000 + i128::from(now.tv_nsec());
    u64::try_from(ns).context("the monotonic clock is negative")
}
