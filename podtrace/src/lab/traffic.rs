//! Traffic between namespaces of the lab. Every wait has a deadline.

pub mod flood;

use std::io::{self, Read, Write};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket,
};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::netns::NetNs;
use crate::packet::{echo_reply, echo_request};

/// Deadline of a single answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);
/// Deadline of a whole TCP exchange.
const EXCHANGE_DEADLINE: Duration = Duration::from_secs(10);
const CHUNK: usize = 16 * 1024;
/// Largest payload of an ICMP echo in an IPv4 packet.
const MAX_PAYLOAD: usize = 65_507;

/// Sends `count` echo requests one after the other, numbered from 1, and
/// returns the round-trip times. A missing answer is `TimedOut`.
pub fn ping(
    from: &NetNs,
    to: IpAddr,
    id: u16,
    count: u16,
    payload: usize,
) -> io::Result<Vec<Duration>> {
    if payload > MAX_PAYLOAD {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let socket = from.run(|| icmp_socket(to))??;
    (1..=count)
        .map(|sequence| echo(&socket, &echo_request(to, id, sequence, payload)))
        .collect()
}

fn icmp_socket(to: IpAddr) -> io::Result<Socket> {
    let (domain, protocol) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.connect(&SocketAddr::new(to, 0).into())?;
    socket.set_write_timeout(Some(ANSWER_DEADLINE))?;
    Ok(socket)
}

/// Sends one request and waits for its answer; other packets are skipped.
fn echo(mut socket: &Socket, request: &[u8]) -> io::Result<Duration> {
    let start = Instant::now();
    socket.write_all(request)?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let left = ANSWER_DEADLINE
            .checked_sub(start.elapsed())
            .filter(|left| !left.is_zero())
            .ok_or(io::ErrorKind::TimedOut)?;
        socket.set_read_timeout(Some(left))?;
        let length = match socket.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.map_err(timed_out)?,
        };
        if is_answer(&buffer[..length], request) {
            return Ok(start.elapsed());
        }
    }
}

/// Whether a received packet answers the request.
fn is_answer(packet: &[u8], request: &[u8]) -> bool {
    let reply = echo_reply(packet, request[0] == 8);
    reply.is_some_and(|reply| reply[4..] == request[4..])
}

/// Opens a connection to `addr` in `server`, sends `bytes` bytes, receives them back and
/// closes. Port 0 lets the kernel choose. Returns the number of echoed bytes.
pub fn tcp_exchange(
    client: &NetNs,
    server: &NetNs,
    addr: SocketAddr,
    bytes: usize,
) -> io::Result<usize> {
    let listener = server.run(|| TcpListener::bind(addr))??;
    // On Linux this bounds accept as well.
    SockRef::from(&listener).set_read_timeout(Some(ANSWER_DEADLINE))?;
    let addr = listener.local_addr()?;
    thread::scope(|scope| {
        let served = scope.spawn(|| tcp_serve(&listener));
        let echoed = client
            .run(|| TcpStream::connect_timeout(&addr, ANSWER_DEADLINE))
            .map_err(io::Error::from)
            .flatten()
            .and_then(|stream| tcp_send(stream, bytes));
        let served = join(served);
        let echoed = echoed?;
        served.map(|()| echoed)
    })
}

fn tcp_serve(listener: &TcpListener) -> io::Result<()> {
    let (mut stream, _) = listener.accept().map_err(timed_out)?;
    set_timeouts(&stream)?;
    // It is closed once the client's last acknowledgment has come, which a process between the
    // nodes may still have.
    SockRef::from(&stream).set_linger(Some(ANSWER_DEADLINE))?;
    let deadline = Instant::now() + EXCHANGE_DEADLINE;
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = stream.read(&mut buffer).map_err(timed_out)?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..length]).map_err(timed_out)?;
        check_deadline(deadline)?;
    }
}

fn tcp_send(mut stream: TcpStream, bytes: usize) -> io::Result<usize> {
    set_timeouts(&stream)?;
    let deadline = Instant::now() + EXCHANGE_DEADLINE;
    let chunk: Vec<u8> = (0_u8..=255).cycle().take(CHUNK).collect();
    let mut answer = vec![0; CHUNK];
    let mut echoed = 0;
    while echoed < bytes {
        let length = CHUNK.min(bytes - echoed);
        stream.write_all(&chunk[..length]).map_err(timed_out)?;
        stream
            .read_exact(&mut answer[..length])
            .map_err(timed_out)?;
        same(&chunk[..length], &answer[..length])?;
        echoed += length;
        check_deadline(deadline)?;
    }
    stream.shutdown(Shutdown::Write)?;
    let rest = stream.read(&mut answer).map_err(timed_out)?;
    same(&[], &answer[..rest])?;
    Ok(echoed)
}

/// Sends datagrams to `addr` in `server` one after the other and receives each back. Port 0
/// lets the kernel choose. Returns the number of answers, which is that of all datagrams: a
/// missing answer is `TimedOut`.
pub fn udp_exchange(
    client: &NetNs,
    server: &NetNs,
    addr: SocketAddr,
    datagrams: usize,
    payload: &[u8],
) -> io::Result<usize> {
    let listener = server.run(|| UdpSocket::bind(addr))??;
    let to = listener.local_addr()?;
    udp_requests(client, to, &listener, datagrams, payload)
}

/// The same through another address, which somebody between the two translates.
pub fn udp_exchange_through(
    client: &NetNs,
    to: SocketAddr,
    server: &NetNs,
    addr: SocketAddr,
    datagrams: usize,
    payload: &[u8],
) -> io::Result<usize> {
    let listener = server.run(|| UdpSocket::bind(addr))??;
    udp_requests(client, to, &listener, datagrams, payload)
}

fn udp_requests(
    client: &NetNs,
    to: SocketAddr,
    listener: &UdpSocket,
    datagrams: usize,
    payload: &[u8],
) -> io::Result<usize> {
    listener.set_read_timeout(Some(ANSWER_DEADLINE))?;
    let socket = client.run(|| UdpSocket::bind(unspecified(to)))??;
    socket.set_read_timeout(Some(ANSWER_DEADLINE))?;
    socket.connect(to)?;
    thread::scope(|scope| {
        let served = scope.spawn(|| udp_serve(listener, datagrams));
        let sent = udp_send(&socket, datagrams, payload);
        let served = join(served);
        sent?;
        served.map(|()| datagrams)
    })
}

fn udp_serve(socket: &UdpSocket, datagrams: usize) -> io::Result<()> {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    for _ in 0..datagrams {
        let (length, peer) = socket.recv_from(&mut buffer).map_err(timed_out)?;
        socket.send_to(&buffer[..length], peer)?;
    }
    Ok(())
}

fn udp_send(socket: &UdpSocket, datagrams: usize, payload: &[u8]) -> io::Result<()> {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    for _ in 0..datagrams {
        socket.send(payload)?;
        let length = socket.recv(&mut buffer).map_err(timed_out)?;
        same(payload, &buffer[..length])?;
    }
    Ok(())
}

fn unspecified(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

fn set_timeouts(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
    stream.set_write_timeout(Some(ANSWER_DEADLINE))
}

fn check_deadline(deadline: Instant) -> io::Result<()> {
    if Instant::now() < deadline {
        Ok(())
    } else {
        Err(io::ErrorKind::TimedOut.into())
    }
}

fn same(sent: &[u8], received: &[u8]) -> io::Result<()> {
    if sent == received {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Linux reports a socket's timeout as `EAGAIN`.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        io::ErrorKind::TimedOut.into()
    } else {
        error
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, io::Result<T>>) -> io::Result<T> {
    match thread.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
