//! Counters of the calling thread's network namespace.
use std::fs;

use crate::model::facts::ListenCounters;

/// The extended counters of TCP, among others (proc_pid_net(5)).
const NETSTAT: &str = "/proc/thread-self/net/netstat";

/// Those of now; none if they cannot be read.
#[must_use]
pub fn listen_counters() -> Option<ListenCounters> {
    parse(&fs::read_to_string(NETSTAT).ok()?)
}

fn parse(netstat: &str) -> Option<ListenCounters> {
    let mut lines = netstat
        .lines()
        .filter_map(|line| line.strip_prefix("TcpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let counter = |wanted: &str| {
        let names = names.split_ascii_whitespace();
        let mut counters = names.zip(values.split_ascii_whitespace());
        let (_, value) = counters.find(|(name, _)| *name == wanted)?;
        value.parse().ok()
    };
    Some(ListenCounters {
        overflows: counter("ListenOverflows")?,
        drops: counter("ListenDrops")?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counters_are_those_of_listening_sockets() {
        let netstat = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\n\
            TcpExt: 1 22 333\nIpExt: InNoRoutes\nIpExt: 0\n";
        let expected = ListenCounters {
            overflows: 22,
            drops: 333,
        };
        assert_eq!(parse(netstat), Some(expected));
        assert_eq!(parse("TcpExt: A\n"), None);
        assert_eq!(
            parse("TcpExt: ListenOverflows ListenDrops\nTcpExt: 1\n"),
            None
        );
        assert!(listen_counters().is_some());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(TcpExt: [A-Za-z0-9 -]{0,40}\n){0,3}") {
            let _ = parse(&text);
        }
    }
}
