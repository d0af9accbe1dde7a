//! Options of `diagnose`.
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{CaptureArgs, ClusterArgs, Color, parse::port};
use crate::{packet::is_group_address, select::Peer, text::escape::escape};

/// Options of `diagnose`.
#[derive(Clone, Debug, Args)]
pub struct DiagnoseArgs {
    /// Who asks: a pod ([NS/]NAME), a node or an IP address
    #[arg(value_name = "SRC", value_parser = end)]
    pub source: End,
    /// Who answers: a pod or a Service ([NS/]NAME), a node or an IP address
    #[arg(value_name = "DST", value_parser = end)]
    pub destination: End,
    /// Port of the destination
    #[arg(long, value_name = "N", value_parser = port)]
    pub port: Option<u16>,
    /// Protocol of the packets [default: icmp, tcp with --port; what a Service has ports of]
    #[arg(long, value_name = "NAME")]
    pub protocol: Option<DiagnoseProtocol>,
    /// Send a few packets from inside the source's network namespace, which is said before: three
    /// pings, TCP connections or UDP datagrams (DNS queries to port 53), and an echo request
    /// with DF of each of some lengths up to the MTU
    #[arg(long)]
    pub probe: bool,
    /// Wait for pods, Services and nodes that do not exist yet, instead of refusing their names
    #[arg(long)]
    pub wait: bool,
    /// Look at this recording instead of this node, a file or a directory (repeatable: recordings
    /// of several nodes are looked at as one)
    #[arg(short, long, value_name = "FILE|DIR",
          conflicts_with_all = ["probe", "count", "duration", "netns", "cri_socket", "pods",
                                "node_name", "kubeconfig", "command", "ready_fd", "wait"])]
    pub read: Vec<PathBuf>,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: DiagnoseFormat,
    /// When to use colours; NO_COLOR turns them off
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// What to trace.
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// Where else.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// An end, with the text that names it.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// Who it is.
    pub peer: Peer,
    /// As it was given, safe for a terminal.
    pub text: String,
}

fn end(text: &str) -> Result<End, String> {
    const EXPECTED: &str = "must be a pod, a Service, a node or an address, as default/web, web, \
                            worker1 or 10.244.1.2";
    if text.contains(['*', '?', '[']) {
        return Err(format!("is a pattern, which may be of several: {EXPECTED}"));
    }
    let peer = match text.parse() {
        Ok(Peer::Address(range)) => {
            let address = range.single().ok_or(EXPECTED)?;
            if is_group_address(address) || address.is_unspecified() {
                return Err(format!("is no address of one host: {EXPECTED}"));
            }
            Peer::Address(range)
        }
        Ok(Peer::Pod(name) | Peer::Named(name)) => Peer::Named(name),
        Err(_) => return Err(EXPECTED.into()),
    };
    Ok(End {
        peer,
        text: escape(text),
    })
}

/// Protocols that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiagnoseProtocol {
    /// Echo requests and replies of ICMP and ICMPv6
    Icmp,
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

/// Output formats of `diagnose`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiagnoseFormat {
    /// The roads with a mark at each hop, for humans
    Text,
    /// One JSON document
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_names_or_single_addresses() {
        for text in ["web", "default/web", "10.0.0.1", "10.0.0.1/32", "fd00::1"] {
            assert_eq!(end(text).unwrap().text, text);
        }
        let groups = ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"];
        let patterns = ["*", "c*", "default/worker?", "[a-z]eb"];
        let wrong = ["", "/", "a/b/c", "10.0.0.0/8", "a/"].iter().chain(&groups);
        for bad in wrong.chain(&patterns) {
            assert!(end(bad).unwrap_err().contains("default/web"), "{bad}");
        }
    }
}
