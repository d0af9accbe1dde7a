//! A Service's address on a node, by the rules that kube-proxy would write.
use std::{
    fmt,
    io::{self, Write as _},
    net::SocketAddrV4,
    process::{Command, Stdio},
};

use super::LabNode;
use crate::netns::NetNs;

/// Why a node translates no address.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// There is no program that sets rules.
    #[error("neither nft nor iptables is installed")]
    NoProgram,
    /// The program refuses the rule.
    #[error("{program}: {reason}")]
    Refused {
        /// `nft` or `iptables`.
        program: &'static str,
        /// Its output, or why it could not be run.
        reason: String,
    },
}

/// Has a node send datagrams for `service` to `backend`: by `nft`, else by `iptables`.
///
/// The rule lives in the node's network namespace, and ends with it.
///
/// # Errors
/// When there is no such program, or when it fails.
pub fn serve(
    node: &LabNode,
    service: SocketAddrV4,
    backend: SocketAddrV4,
) -> Result<(), ServiceError> {
    let (address, port) = (service.ip(), service.port());
    let table = format!(
        "table ip podtrace {{ chain services {{ \
         type nat hook prerouting priority dstnat; \
         ip daddr {address} udp dport {port} dnat to {backend} }} }}"
    );
    let rule = format!(
        "-w -t nat -A PREROUTING -p udp -d {address} --dport {port} \
         -j DNAT --to-destination {backend}"
    );
    let rule: Vec<_> = rule.split(' ').collect();
    let mut first = None;
    for (program, arguments, input) in [("nft", &["-f", "-"][..], &*table), ("iptables", &rule, "")]
    {
        match set(&node.netns, program, arguments, input) {
            Ok(()) => return Ok(()),
            Err(Failure::Missing) => {}
            Err(Failure::Other(reason)) => {
                first.get_or_insert(ServiceError::Refused { program, reason });
            }
        }
    }
    Err(first.unwrap_or(ServiceError::NoProgram))
}

enum Failure {
    Missing,
    Other(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => other(error),
        }
    }
}

fn other(error: impl fmt::Display) -> Failure {
    Failure::Other(error.to_string())
}

/// Runs a program in a namespace.
fn set(netns: &NetNs, program: &str, arguments: &[&str], input: &str) -> Result<(), Failure> {
    let run = || {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read says why when it ends.
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output()
    };
    let output = netns.run(run).map_err(other)??;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(other(said.lines().next().unwrap_or("it failed")))
}
