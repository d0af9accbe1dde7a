//! Where metrics are served.
use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use anyhow::Context as _;

use crate::{
    live::recording::Recording,
    metrics::{Metrics, Server},
    pipeline::consumer::Consumer,
    sink,
    text::system_error::without_numbers,
};

/// Opens the port, if one is asked for.
pub(super) fn open(address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else {
        return Ok(None);
    };
    let listener = Server::open(address).map_err(|error| refused(address, &error))?;
    if !address.ip().is_loopback() {
        sink::tell(&format!(
            "metrics are at http://{address}/metrics for everybody who reaches it"
        ));
    }
    Ok(Some(listener))
}

fn refused(address: SocketAddr, error: &io::Error) -> anyhow::Error {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another program has the port: ss -ltnp 'sport = :{}' names it; take another",
            address.port()
        ),
        io::ErrorKind::AddrNotAvailable => {
            "it is no address of this machine: ip address lists them; --metrics 9464 is for this \
             machine alone"
                .to_owned()
        }
        _ => "--metrics 9464 takes a port of this machine alone".to_owned(),
    };
    let reason = without_numbers(&error.to_string());
    anyhow::anyhow!("--metrics {address}: {reason}\nhint: {hint}")
}

/// Serves metrics there; returns what counts, and what ends it when it is dropped.
pub(super) fn serve(
    listener: TcpListener,
    recording: Option<&Recording>,
) -> anyhow::Result<(Box<dyn Consumer>, Server)> {
    let metrics = Metrics::default();
    let source = metrics.source(recording.map(Recording::progress));
    let server = Server::start(listener, source).context("failed to start the metrics")?;
    Ok((Box::new(metrics), server))
}
