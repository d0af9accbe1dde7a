//! `podtrace agent`: serves the sessions of its node.
use std::{ffi::OsString, path::PathBuf};

use anyhow::{Context as _, bail};
use nix::unistd::gethostname;

use super::{
    FINE,
    setup::{check_support, nodes},
};
use crate::{
    agent::{Listener, ServeOptions, serve},
    cli::{AgentArgs, Place},
    model::probes::{Outcomes, Probes},
    prober::Prober,
    signals::Signals,
    text::escape::shown,
};

/// podtrace itself, also where its file was replaced by a newer one.
const PROGRAM: &str = "/proc/self/exe";

/// Runs `agent`; returns the exit code.
pub(super) fn run(args: &AgentArgs) -> anyhow::Result<u8> {
    check_support()?;
    let host = gethostname().context("failed to read the host name")?;
    let options = ServeOptions {
        program: PROGRAM.into(),
        arguments: arguments(args),
        host: shown(&host),
        nodes: node_names(args)?,
        gives_payload: args.payload,
        prober: args.probe.then_some(send as fn(_) -> _),
        traces_max: args.max_traces as usize,
        max_rate: args.max_rate,
        consoles: args.consoles.clone(),
        // Over standard input and output, its console is told everything.
        tells: !args.stdio,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let served = runtime.block_on(async {
        let mut signals = Signals::listen_as_service()?;
        let mut listeners = Vec::new();
        for place in &args.listen {
            listeners.push(match (place, &args.tls) {
                (Place::Path(path), _) => Listener::unix(path)?,
                (Place::Port(port), Some(folder)) => Listener::tls(port, folder).await?,
                (Place::Port(port), None) => bail!("tcp://{port} takes --tls"),
            });
        }
        if args.stdio {
            listeners.push(Listener::Stdio);
        }
        serve(listeners, options, signals.next()).await?;
        anyhow::Ok(())
    });
    // Nobody waits for standard input any more.
    runtime.shutdown_background();
    served?;
    Ok(FINE)
}

/// Sends for a console.
fn send(probes: Probes) -> Result<Outcomes, String> {
    let prober = Prober::start(Vec::new());
    let prober = prober.map_err(|error| format!("failed to start a thread: {error}"))?;
    prober.wait_for(probes).map_err(|error| error.to_string())
}

/// The names of the nodes that are traced.
fn node_names(args: &AgentArgs) -> anyhow::Result<Vec<String>> {
    let nodes = nodes(&args.netns, &args.naming.node_name)?;
    Ok(nodes.iter().map(|node| node.name.to_string()).collect())
}

/// The arguments of each trace: which nodes, and where names come from.
fn arguments(args: &AgentArgs) -> Vec<OsString> {
    let option = |name: &str, value: &std::ffi::OsStr| {
        let mut argument = OsString::from(format!("--{name}="));
        argument.push(value);
        argument
    };
    let paths = |name, paths: &[PathBuf]| {
        let paths = paths.iter();
        paths.map(|path| option(name, path.as_os_str())).collect()
    };
    let naming = &args.naming;
    let mut all: Vec<OsString> = paths("netns", &args.netns);
    all.append(&mut paths("cri-socket", &naming.cri_socket));
    all.extend(
        naming
            .pods
            .iter()
            .map(|path| option("pods", path.as_os_str())),
    );
    all.extend(
        naming
            .node_name
            .iter()
            .map(|name| option("node-name", name.as_ref())),
    );
    all.extend(
        args.kubeconfig
            .iter()
            .map(|path| option("kubeconfig", path.as_os_str())),
    );
    all
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;

    use super::*;
    use crate::{
        agent::Request,
        cli::{Cli, Command},
    };

    #[test]
    fn what_is_asked_for_cannot_be_taken_for_another_option() {
        let request = Request {
            expression: "-1 < ip[0]".to_owned(),
            interfaces: vec!["--write=x".to_owned()],
            snaplen: Some(200),
            payload: true,
            without_drops: true,
            sample: Some(10),
            max_rate: Some(50_000),
            vxlan_ports: vec![4789],
            hop_timeout: Some(Duration::from_millis(1500)),
            duration: Some(Duration::from_secs(10)),
        };
        let line = [OsString::from("podtrace")].into_iter();
        let line = line.chain(request.arguments());
        let cli = Cli::try_parse_from(line).unwrap();
        let Command::Record(args) = cli.command else {
            panic!("{:?}", cli.command);
        };
        assert!(cli.no_config && args.files.is_stdout());
        assert_eq!(args.filter.expression, ["(-1 < ip[0])"]);
        assert_eq!(args.capture.interfaces.len(), 1);
        assert_eq!(args.capture.load.sample, Some(10));
        assert_eq!(args.capture.load.max_rate, Some(50_000));
        assert_eq!(args.capture.duration, request.duration);
        assert_eq!(args.capture.hop_timeout, Duration::from_millis(1500));
        assert!(!args.capture.load.headers_only && args.capture.load.no_drops);
    }

    #[test]
    fn options_of_an_agent_are_those_of_its_traces() {
        let line = "podtrace agent --stdio --netns a --cri-socket=/s --pods t --node-name -n";
        let line = line.replace("--node-name -n", "--node-name=-n");
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::Agent(args) = cli.command else {
            panic!("{:?}", cli.command);
        };
        let line = ["podtrace", "record", "-w", "-"].map(OsString::from);
        let line = line.into_iter().chain(arguments(&args));
        let Command::Record(args) = Cli::try_parse_from(line).unwrap().command else {
            panic!("no record");
        };
        assert_eq!(args.capture.netns, [PathBuf::from("a")]);
        assert_eq!(args.capture.naming.cri_socket, [PathBuf::from("/s")]);
        assert_eq!(args.capture.naming.pods, Some("t".into()));
        assert_eq!(args.capture.naming.node_name, ["-n"]);
    }
}
