//! The listening sockets of the calling thread's network namespace.
use std::fs;

use crate::{model::probes::Listener, netns::netstat::listen_counters};

/// What the kernel tells of the namespace of a thread.
const ROOT: &str = "/proc/thread-self/net";
/// The state of a listening socket (`TCP_LISTEN` of net/tcp_states.h).
const LISTEN: &str = "0A";

/// The one at a port; none if there is none, or if it cannot be read. It has no overflows to tell
/// of yet, but those before.
pub(super) fn listener(port: u16) -> Option<Listener> {
    let read = |name| fs::read_to_string(format!("{ROOT}/{name}")).unwrap_or_default();
    let tables = ["tcp", "tcp6"].map(read);
    let waiting = tables.iter().flat_map(|table| waiting(table, port)).max()?;
    let overflows = listen_counters()?.overflows;
    Some(Listener { waiting, overflows })
}

/// How many connections wait at each listening socket of a port, in a table of sockets (proc(5)).
fn waiting(table: &str, port: u16) -> impl Iterator<Item = u32> {
    table.lines().filter_map(move |line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let (local, state) = (columns.next()?, columns.nth(1)?);
        let (_, own) = local.rsplit_once(':')?;
        let is_it = state == LISTEN && u16::from_str_radix(own, 16) == Ok(port);
        let (_, received) = columns.next()?.split_once(':')?;
        u32::from_str_radix(received, 16).ok().filter(|_| is_it)
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn tables_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n\
            0: 0100007F:0050 00000000:0000 0A 00000000:00000003 00:00000000 00000000\n\
            1: 0100007F:0050 0100007F:9C40 01 00000000:00000007 00:00000000 00000000\n\
            2: 00000000:0051 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n\
            broken";
        let of = |port| waiting(table, port).collect::<Vec<_>>();
        assert_eq!((of(80), of(81), of(82)), (vec![3], vec![0], vec![]));
    }

    #[test]
    fn connection_waits_until_it_is_accepted() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let waits = || listener(port).unwrap().waiting;
        assert_eq!(waits(), 0);
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert_eq!(waits(), 1);
        let _accepted = socket.accept().unwrap();
        assert_eq!(waits(), 0);
    }
}
