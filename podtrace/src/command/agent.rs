//! `podtrace agent`: serves the sessions of its node.
use std::{ffi::OsString, path::PathBuf};

use anyhow::Context as _;
use nix::unistd::gethostname;

use super::{FINE, setup::check_support};
use crate::{
    agent::{Listener, ServeOptions, serve},
    cli::AgentArgs,
    signals::Signals,
    sink,
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
        host: host.to_string_lossy().into_owned(),
        gives_payload: args.payload,
        traces_max: args.max_traces as usize,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let served = runtime.block_on(async {
        let mut signals = Signals::listen_as_service()?;
        let listener = match &args.listen {
            Some(path) => {
                let listener = Listener::unix(path)?;
                sink::tell(&format!("listening at {}", shown(path)));
                listener
            }
            None => Listener::Stdio,
        };
        serve(listener, options, signals.next()).await?;
        anyhow::Ok(())
    });
    // Nobody waits for standard input any more.
    runtime.shutdown_background();
    served?;
    Ok(FINE)
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
