//! A UDP flood from one namespace to another: as many datagrams as one thread
//! can send in a given time, counted where they arrive.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    MsgFlags, MultiHeaders, recvmmsg, sendmmsg, setsockopt,
    sockopt::{RcvBufForce, SndBufForce},
};
use nix::time::{ClockId, clock_gettime};

use super::{join, unspecified};
use crate::netns::NetNs;

/// Datagrams of one system call.
const BATCH: usize = 64;
/// Bytes of a payload that tell it from all others of the flood.
const NUMBER: usize = size_of::<u64>();
/// So large that the receiver is not what loses datagrams.
const SOCKET_BUFFER: usize = 256 << 20;
/// How long the receiver waits for another datagram.
const QUIET: Duration = Duration::from_millis(50);
/// The interface of a pod.
const POD_LINK: &str = "eth0";

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloodSpec {
    /// Bytes of UDP payload, at least 8: a number that counts up.
    pub payload: usize,
    /// How long.
    pub duration: Duration,
}

/// What became of a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood {
    /// Datagrams that the sender's kernel took.
    pub sent: u64,
    /// Packets that came in by `eth0` of the receiving namespace.
    pub arrived: u64,
    /// Datagrams that the receiving socket gave out.
    pub received: u64,
    /// From the first to the last system call of the sender.
    pub took: Duration,
    /// Processor time of the sender, and with it of all that its system calls
    /// do at once: the way through the kernel until a queue.
    pub processor: Duration,
}

/// Floods `addr`, which is in `to`. Port 0 lets the kernel choose.
///
/// # Errors
/// When a socket cannot be had, or the flood cannot be sent.
pub fn udp_flood(from: &NetNs, to: &NetNs, addr: SocketAddr, spec: FloodSpec) -> io::Result<Flood> {
    if spec.payload < NUMBER {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let service = to.run(|| UdpSocket::bind(addr))??;
    setsockopt(&service, RcvBufForce, &SOCKET_BUFFER)?;
    service.set_read_timeout(Some(QUIET))?;
    let socket = from.run(|| UdpSocket::bind(unspecified(addr)))??;
    setsockopt(&socket, SndBufForce, &SOCKET_BUFFER)?;
    socket.connect(service.local_addr()?)?;
    let before = received_packets(to)?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let counted = scope.spawn(|| count(&service, &is_over));
        let sent = send(&socket, spec);
        is_over.store(true, Ordering::Release);
        let received = join(counted);
        let flood = sent?;
        Ok(Flood {
            arrived: received_packets(to)?.saturating_sub(before),
            received: received?,
            ..flood
        })
    })
}

/// Sends until the time is over; a batch may be taken in part.
fn send(socket: &UdpSocket, spec: FloodSpec) -> io::Result<Flood> {
    let mut payloads = vec![vec![0; spec.payload]; BATCH];
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    let mut sent = 0;
    let start = Instant::now();
    let processor = thread_time()?;
    loop {
        let took = start.elapsed();
        if took >= spec.duration {
            return Ok(Flood {
                sent,
                arrived: 0,
                received: 0,
                took,
                processor: thread_time()?.saturating_sub(processor),
            });
        }
        for (number, payload) in (sent..).zip(&mut payloads) {
            payload[..NUMBER].copy_from_slice(&number.to_be_bytes());
        }
        let slices: Vec<_> = payloads.iter().map(|p| [IoSlice::new(p)]).collect();
        let batch = sendmmsg(
            socket.as_raw_fd(),
            &mut headers,
            &slices,
            [None; BATCH],
            [],
            MsgFlags::empty(),
        );
        match batch {
            Ok(batch) => sent += batch.count() as u64,
            // A queue on the way was full.
            Err(nix::Error::ENOBUFS | nix::Error::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Processor time of the calling thread.
fn thread_time() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// Counts datagrams until the flood is over and none comes any more.
fn count(socket: &UdpSocket, is_over: &AtomicBool) -> io::Result<u64> {
    let mut buffers = [[0; NUMBER]; BATCH];
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    let mut received = 0;
    loop {
        // Read first: what was sent before the end is still counted.
        let was_over = is_over.load(Ordering::Acquire);
        let mut slices: Vec<_> = buffers.iter_mut().map(|b| [IoSliceMut::new(b)]).collect();
        let batch = recvmmsg(
            socket.as_raw_fd(),
            &mut headers,
            &mut slices,
            MsgFlags::MSG_WAITFORONE,
            None,
        );
        match batch {
            Ok(batch) => received += batch.count() as u64,
            Err(nix::Error::EAGAIN) if was_over => return Ok(received),
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Packets that came in by `eth0` so far, as the kernel counts them.
fn received_packets(netns: &NetNs) -> io::Result<u64> {
    let table = netns.run(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
    packets_in(&table, POD_LINK).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// A line is `NAME: BYTES PACKETS …`.
fn packets_in(table: &str, link: &str) -> Option<u64> {
    table.lines().find_map(|line| {
        let (name, counters) = line.split_once(':')?;
        let is_it = name.trim() == link;
        let packets = is_it.then(|| counters.split_whitespace().nth(1))?;
        packets?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_from_the_line_of_the_link() {
        let table = "Inter-|   Receive\n face |bytes    packets errs\n    \
                     lo: 1 2 0\n  eth0: 600 7 0 0\neth00:1 9";
        assert_eq!(packets_in(table, "eth0"), Some(7));
        assert_eq!(packets_in(table, "eth1"), None);
    }
}
