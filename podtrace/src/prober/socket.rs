//! Connections of TCP, and datagrams of UDP.
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use super::{ANSWER, Count, PAUSE, TRIED};
use crate::model::probes::{Ask, DNS_PORT, Probed};

/// How long the answer to a datagram may take before the next is sent.
const DATAGRAM: Duration = Duration::from_millis(300);
/// What is sent to a port of UDP that is not that of DNS.
const PAYLOAD: &[u8] = b"podtrace";
/// What is asked for: each cluster has it.
const QUESTION: [&str; 5] = ["kubernetes", "default", "svc", "cluster", "local"];

/// Opens connections and closes them.
pub(super) fn connects(to: SocketAddr) -> Probed {
    let mut count = Count::new(Ask::Connect(to.port()).what(), TRIED);
    let attempts = thread::scope(|scope| {
        let attempts = [(); TRIED].map(|()| {
            let attempt = scope.spawn(move || TcpStream::connect_timeout(&to, ANSWER));
            thread::sleep(PAUSE);
            attempt
        });
        attempts.map(thread::ScopedJoinHandle::join)
    });
    for attempt in attempts.into_iter().flatten() {
        match attempt {
            // A refusal is an answer, too.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                count.0.answered += 1;
                count.error(&error);
            }
            Err(error) => count.error(&error),
            Ok(_) => count.0.answered += 1,
        }
    }
    count.0
}

/// Sends datagrams until one is answered.
pub(super) fn datagrams(to: SocketAddr) -> Probed {
    let mut count = Count::new(Ask::Datagram(to.port()).what(), 0);
    count.0.tried = 1;
    match open(to) {
        Ok(socket) => {
            if let Err(error) = ask(&socket, to, &mut count) {
                count.error(&error);
            }
        }
        Err(error) => count.untried(&error),
    }
    count.0
}

fn open(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(DATAGRAM))?;
    Ok(socket)
}

fn ask(socket: &UdpSocket, to: SocketAddr, count: &mut Count) -> io::Result<()> {
    socket.connect(to)?;
    let mut answer = [0; 512];
    for number in 1..=TRIED {
        count.0.tried = u32::try_from(number).unwrap_or(u32::MAX);
        socket.send(&payload(to.port(), number))?;
        match socket.recv(&mut answer) {
            Ok(_) => {
                count.0.answered += 1;
                return Ok(());
            }
            Err(error) => {
                count.error(&error);
                if error.kind() == io::ErrorKind::ConnectionRefused {
                    count.0.answered += 1;
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// A query for DNS, and a few bytes for any other port. `number`: of the datagram.
fn payload(port: u16, number: usize) -> Vec<u8> {
    if port != DNS_PORT {
        return PAYLOAD.to_vec();
    }
    let id = u16::try_from(number).unwrap_or_default();
    let mut query = id.to_be_bytes().to_vec();
    // Recursion desired, one question (RFC 1035, 4.1.1).
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in QUESTION {
        query.push(u8::try_from(label.len()).unwrap_or_default());
        query.extend(label.bytes());
    }
    // The root, type A, class IN.
    query.extend([0, 0, 1, 0, 1]);
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_is_that_of_rfc_1035() {
        let expected = b"\x00\x02\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0akubernetes\x07default\
            \x03svc\x07cluster\x05local\x00\x00\x01\x00\x01";
        assert_eq!(payload(DNS_PORT, 2), expected);
        assert_eq!(payload(5000, 1), PAYLOAD);
    }
}
