//! Where an agent is.
use std::{fmt, path::PathBuf, str::FromStr};

use thiserror::Error;

use crate::text::escape::shown;

/// Where an agent is, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `ssh://[USER@]HOST[:PORT]`: podtrace is run there, as root, by ssh.
    Ssh {
        /// User and host, as ssh takes them.
        destination: String,
        /// Port; none for that of ssh's configuration.
        port: Option<u16>,
    },
    /// `unix:PATH`: an agent that listens there.
    Unix(PathBuf),
    /// `tls://HOST:PORT`: an agent that listens at a port.
    Tls {
        /// Name or address, which its certificate has, too.
        host: String,
        /// Port.
        port: u16,
        /// The folder with the certificate of this side, which stands beside the address.
        folder: Option<PathBuf>,
    },
    /// `exec:COMMAND`: a command of the shell whose standard input and output lead to
    /// `podtrace agent --stdio`.
    Exec(String),
}

/// Why text is no address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}: it takes ssh://[USER@]HOST[:PORT], tls://HOST:PORT, unix:PATH or exec:COMMAND")]
pub struct AddressError(&'static str);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.split_once(':') {
            Some(("unix", "")) => Err(AddressError("no path")),
            Some(("unix", path)) => Ok(Self::Unix(path.into())),
            Some(("exec", command)) if command.trim().is_empty() => Err(AddressError("no command")),
            Some(("exec", command)) => Ok(Self::Exec(command.to_owned())),
            Some(("ssh", rest)) => ssh(rest.strip_prefix("//").unwrap_or(rest)),
            Some(("tls", rest)) => tls(rest.strip_prefix("//").unwrap_or(rest)),
            Some(("tcp", _)) => Err(AddressError(
                "agents take TLS at their ports, as both sides have to know each other",
            )),
            _ => Err(AddressError("unknown kind of address")),
        }
    }
}

/// `text`: what follows `tls://`.
fn tls(text: &str) -> Result<Address, AddressError> {
    let (host, port) = host_and_port(text.trim_end_matches('/'));
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_');
    if host.is_empty() || !host.chars().all(is_host) {
        return Err(AddressError("no host"));
    }
    let port = port.and_then(|port| port.parse().ok());
    Ok(Address::Tls {
        host: host.to_owned(),
        port: port
            .filter(|port| *port > 0)
            .ok_or(AddressError("no port"))?,
        folder: None,
    })
}

/// A host, which may stand in brackets, and the port behind it.
fn host_and_port(text: &str) -> (&str, Option<&str>) {
    match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or(port))),
        None => text
            .split_once(':')
            .map_or((text, None), |(host, port)| (host, Some(port))),
    }
}

/// `text`: what follows `ssh://`.
fn ssh(text: &str) -> Result<Address, AddressError> {
    let text = text.trim_end_matches('/');
    let at = text.rfind('@').map_or(0, |at| at + 1);
    let (user, host) = text.split_at(at);
    let (host, port) = host_and_port(host);
    // What begins with a hyphen would be an option of ssh.
    if host.is_empty() || host.starts_with('-') || user.starts_with('-') {
        return Err(AddressError("no host"));
    }
    if user == "@" || host.contains(char::is_whitespace) || host.contains('/') {
        return Err(AddressError("no host"));
    }
    let port = port.map(str::parse).transpose();
    Ok(Address::Ssh {
        destination: format!("{user}{host}"),
        port: port.map_err(|_error| AddressError("no port"))?,
    })
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ssh {
                destination,
                port: None,
            } => write!(out, "ssh://{destination}"),
            Self::Ssh {
                destination,
                port: Some(port),
            } if destination.contains(':') => {
                let at = destination.rfind('@').map_or(0, |at| at + 1);
                let (user, host) = destination.split_at(at);
                write!(out, "ssh://{user}[{host}]:{port}")
            }
            Self::Ssh {
                destination,
                port: Some(port),
            } => write!(out, "ssh://{destination}:{port}"),
            Self::Tls { host, port, .. } if host.contains(':') => {
                write!(out, "tls://[{host}]:{port}")
            }
            Self::Tls { host, port, .. } => write!(out, "tls://{host}:{port}"),
            Self::Unix(path) => write!(out, "unix:{}", shown(path)),
            Self::Exec(command) => write!(out, "exec:{command}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_are_written() {
        for text in [
            "ssh://worker1",
            "ssh://root@worker1:2222",
            "ssh://root@[fd00::1]:22",
            "unix:/run/podtrace/agent.sock",
            "tls://worker1:9465",
            "tls://[fd00::1]:9465",
            "exec:kubectl exec -i -n podtrace agent-x -- podtrace agent --stdio",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "worker1",
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://-x@worker1",
            "ssh://@worker1",
            "ssh://worker1:ssh",
            "ssh://worker1:70000",
            "ssh://a b",
            "unix:",
            "exec: ",
            "http://worker1",
            "tcp://worker1:9465",
            "tls://worker1",
            "tls://worker1:0",
            "tls://:9465",
            "tls://a b:9465",
            "tls://fd00::1:9465",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
