//! Options of metrics.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;

/// Where the metrics of a running session are served.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct MetricsArgs {
    /// Serve metrics of what is traced for Prometheus: with 9464, at http://127.0.0.1:9464/metrics.
    /// Another address of this machine is given with the port; everybody who reaches it reads them
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = address)]
    pub metrics: Option<SocketAddr>,
}

/// An address with a port; a port alone is one of 127.0.0.1.
fn address(text: &str) -> Result<SocketAddr, String> {
    let here = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let parsed = text.parse().ok().or_else(|| text.parse().ok().map(here));
    parsed.filter(|address| address.port() > 0).ok_or_else(|| {
        "must be an address with a port, as 127.0.0.1:9464 or [::1]:9464, or a port, as 9464"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_alone_is_local() {
        for (text, expected) in [
            ("9464", "127.0.0.1:9464"),
            ("0.0.0.0:9464", "0.0.0.0:9464"),
            ("[::1]:1", "[::1]:1"),
        ] {
            assert_eq!(address(text), Ok(expected.parse().unwrap()));
        }
        for text in [
            "",
            "0",
            "x",
            ":9464",
            "localhost:9464",
            "127.0.0.1",
            "127.0.0.1:0",
            "70000",
            "::1:9464x",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
