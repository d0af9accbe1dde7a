//! Echo requests: some small ones, and one of each length with DF.
use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
    thread,
    time::Instant,
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{ANSWER, Count, PAUSE, TRIED};
use crate::{
    model::probes::{Ask, LADDER, Probed},
    packet::{ECHO_HEADER, echo_reply, echo_request},
};

/// The payload that ping has.
const PAYLOAD: usize = 56;

/// Sends echo requests and waits for the answers.
pub(super) fn pings(to: IpAddr, id: u16) -> Probed {
    exchange(Ask::Echo.what(), to, id, &[PAYLOAD; TRIED])
}

/// The length of the headers of IP and ICMP.
fn headers(to: IpAddr) -> usize {
    ECHO_HEADER + if to.is_ipv4() { 20 } else { 40 }
}

/// The same with one of each length, the header of IP included; none if there are no lengths.
pub(super) fn ladder(to: IpAddr, id: u16, lengths: &[u32]) -> Option<Probed> {
    let payloads: Vec<_> = lengths
        .iter()
        .filter_map(|length| usize::try_from(*length).ok()?.checked_sub(headers(to)))
        .collect();
    (!payloads.is_empty()).then(|| exchange(LADDER, to, id, &payloads))
}

fn exchange(what: &'static str, to: IpAddr, id: u16, payloads: &[usize]) -> Probed {
    let mut count = Count::new(what, payloads.len());
    match open(to) {
        Ok(socket) => match socket.connect(&SocketAddr::new(to, 0).into()) {
            Ok(()) => ask(&socket, to, id, payloads, &mut count),
            Err(error) => count.error(&error),
        },
        Err(error) => count.untried(&error),
    }
    count.0
}

fn open(to: IpAddr) -> io::Result<Socket> {
    let (domain, protocol) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    set_dont_fragment(&socket, to)?;
    socket.set_write_timeout(Some(ANSWER))?;
    Ok(socket)
}

/// Sets DF, whatever the kernel has learnt of the MTU of the way.
fn set_dont_fragment(socket: &Socket, to: IpAddr) -> io::Result<()> {
    let (level, name, value) = match to {
        IpAddr::V4(_) => (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_PROBE,
        ),
        IpAddr::V6(_) => (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_PROBE,
        ),
    };
    // SAFETY: the value is an int that outlives the call, and the descriptor is open while
    // `socket` lives.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    match status {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends a request of each length, and waits until each is answered or is late.
fn ask(mut socket: &Socket, to: IpAddr, id: u16, payloads: &[usize], count: &mut Count) {
    let whole = |payload: usize| u32::try_from(payload + headers(to)).ok();
    let mut awaited = Vec::new();
    for (sequence, payload) in (1_u16..).zip(payloads) {
        let request = echo_request(to, id, sequence, *payload);
        // The first error may be about the packet before, which an error of ICMP has refused.
        let sent = socket
            .write_all(&request)
            .or_else(|_| socket.write_all(&request));
        match sent {
            Ok(()) => awaited.push((id, sequence)),
            Err(error) => {
                count.0.unsent.extend(whole(*payload));
                count.error(&error);
            }
        }
        thread::sleep(PAUSE);
    }
    let deadline = Instant::now() + ANSWER;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    while !awaited.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
            return;
        }
        match socket.read(&mut buffer) {
            Ok(length) => {
                let Some(answered) = buffer
                    .get(..length)
                    .and_then(|received| echo_reply(received, to.is_ipv4()))
                    .and_then(numbers)
                else {
                    continue;
                };
                let before = awaited.len();
                awaited.retain(|numbers| *numbers != answered);
                if awaited.len() < before {
                    count.0.answered += 1;
                    let at = usize::from(answered.1).checked_sub(1);
                    let payload = at.and_then(|at| payloads.get(at));
                    count
                        .0
                        .lengths
                        .extend(payload.and_then(|payload| whole(*payload)));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_of_longer(&error, payloads) => {}
            // An error of ICMP, which concerns one of them.
            Err(error) => count.error(&error),
        }
    }
}

/// Whether an error is of longer requests than these: all raw sockets that send to a host are told
/// of it.
fn is_of_longer(error: &io::Error, payloads: &[usize]) -> bool {
    let is_length = error.raw_os_error() == Some(libc::EMSGSIZE);
    is_length && payloads.iter().all(|payload| *payload <= PAYLOAD)
}

/// Identifier and sequence number of an echo message.
fn numbers(message: &[u8]) -> Option<(u16, u16)> {
    let number = |at: usize| {
        let bytes = message.get(at..at + 2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    };
    Some((number(4)?, number(6)?))
}
