//! Traffic inside the containers of the CRI lab: echo services and their
//! clients, over IPv4 and IPv6. Every wait of a client has a deadline.
//!
//! The image has only this and busybox, which has no UDP client.

use std::env;
use std::io::{self, Read, Write};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket,
};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

const USAGE: &str = "usage: lab-peer
    pause                      wait for ever
    tcp-serve PORT             echo what comes over TCP
    udp-serve PORT             echo datagrams
    tcp-start PORT             the same, but return as soon as the socket is
    udp-start PORT             bound: the service goes on in the background; PORT may have an
                               address before it, as 0.0.0.0:8080
    tcp HOST PORT COUNT BYTES  have COUNT messages of BYTES echoed, over one connection
    udp HOST PORT COUNT BYTES  have COUNT datagrams of BYTES echoed";

/// How long a client waits for a connection, message or answer.
const DEADLINE: Duration = Duration::from_secs(5);
const CHUNK: usize = 64 * 1024;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab-peer {}: {error}", args.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> io::Result<()> {
    match words {
        ["pause"] => loop {
            thread::park();
        },
        ["tcp-serve", port] => tcp_serve(&bind(port, TcpListener::bind)?),
        ["udp-serve", port] => udp_serve(&bind(port, UdpSocket::bind)?),
        ["tcp-start", port] => start("tcp-inherited", bind(port, TcpListener::bind)?.into()),
        ["udp-start", port] => start("udp-inherited", bind(port, UdpSocket::bind)?.into()),
        ["tcp-inherited"] => tcp_serve(&TcpListener::from(inherited()?)),
        ["udp-inherited"] => udp_serve(&UdpSocket::from(inherited()?)),
        ["tcp", host, port, count, bytes] => {
            let to = SocketAddr::new(parse(host)?, parse(port)?);
            tcp(to, parse(count)?, parse(bytes)?)
        }
        ["udp", host, port, count, bytes] => {
            let to = SocketAddr::new(parse(host)?, parse(port)?);
            udp(to, parse(count)?, parse(bytes)?)
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, USAGE)),
    }
}

fn parse<T: std::str::FromStr>(word: &str) -> io::Result<T> {
    word.parse().map_err(|_not_a_number_or_address| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("not usable: {word}"))
    })
}

/// Binds to an address and port. A port alone: to every address of both families, or of IPv4 if there
/// is no IPv6.
fn bind<T>(port: &str, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    if let Ok(address) = port.parse() {
        return bind(address);
    }
    let port = parse(port)?;
    bind((Ipv6Addr::UNSPECIFIED, port).into())
        .or_else(|_no_ipv6| bind((Ipv4Addr::UNSPECIFIED, port).into()))
}

/// Passes a bound socket to another process of this program, which keeps running: the service
/// answers once this returns.
fn start(service: &str, socket: OwnedFd) -> io::Result<()> {
    Command::new(env::current_exe()?)
        .arg(service)
        .stdin(socket)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(|_runs_on| ())
}

fn inherited() -> io::Result<OwnedFd> {
    io::stdin().as_fd().try_clone_to_owned()
}

fn tcp_serve(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        thread::spawn(move || tcp_echo(stream));
    }
}

fn tcp_echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..length])?;
    }
}

fn udp_serve(socket: &UdpSocket) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        // An ICMP error about an earlier answer must not end the service.
        if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], peer);
        }
    }
}

fn tcp(to: SocketAddr, count: usize, bytes: usize) -> io::Result<()> {
    let stream = TcpStream::connect_timeout(&to, DEADLINE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    print_addresses(stream.local_addr()?, to)?;
    let message = message(bytes);
    let mut answer = vec![0; bytes];
    for _ in 0..count {
        // Both at once: a long message fills the buffers of both ends.
        thread::scope(|scope| {
            let sent = scope.spawn(|| (&stream).write_all(&message));
            let received = (&stream).read_exact(&mut answer);
            match sent.join() {
                Ok(sent) => sent.and(received),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })?;
        same(&message, &answer)?;
    }
    stream.shutdown(Shutdown::Write)?;
    let rest = (&stream).read(&mut [0])?;
    same(&[], &vec![0; rest])
}

fn udp(to: SocketAddr, count: usize, bytes: usize) -> io::Result<()> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    print_addresses(socket.local_addr()?, to)?;
    let message = message(bytes);
    let mut answer = vec![0; CHUNK];
    for _ in 0..count {
        socket.send(&message)?;
        let length = socket.recv(&mut answer)?;
        same(&message, &answer[..length])?;
    }
    Ok(())
}

/// The client's address identifies its packets.
fn print_addresses(from: SocketAddr, to: SocketAddr) -> io::Result<()> {
    writeln!(io::stdout(), "{from} -> {to}")
}

fn message(bytes: usize) -> Vec<u8> {
    (0_u8..=255).cycle().take(bytes).collect()
}

fn same(sent: &[u8], received: &[u8]) -> io::Result<()> {
    if sent == received {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the answer is not what was sent",
        ))
    }
}
