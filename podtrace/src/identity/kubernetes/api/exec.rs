//! A command in a pod, as `kubectl exec` runs it: its streams in a WebSocket (RFC 6455), each message
//! of which begins with the number of a stream.
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use kube::{
    Client,
    client::Body,
    core::{Status, response::StatusSummary},
};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, DuplexStream,
        ReadHalf, WriteHalf, duplex, split,
    },
    sync::mpsc,
    time::timeout,
};

use super::failure::quote;

/// What is added to a key for the answer to it.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Versions of the streams' protocol, the preferred one first. Only the first can end standard input
/// alone.
const PROTOCOLS: &str = "v5.channel.k8s.io, v4.channel.k8s.io";
const CAN_END: &str = "v5.channel.k8s.io";
/// Numbers of streams: of the command, of how it has ended, and of the end of others.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const OUTCOME: u8 = 3;
const END: u8 = 255;
/// Kinds of frames.
const CONTINUED: u8 = 0;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// The last frame of a message.
const FINAL: u8 = 0x80;
/// Bytes that are kept for a reader, and of one write.
const BUFFER: usize = 256 << 10;
const CHUNK: usize = 32 << 10;
/// Upper bound of what is kept of the command's words.
const WORDS_MAX: usize = 4000;
/// The longest frame of control (RFC 6455, 5.5).
const CONTROL_MAX: u64 = 125;
/// How long the answer may take, beside what the server takes.
const PATIENCE: Duration = Duration::from_secs(15);

/// A command that runs in a pod.
pub struct Exec {
    /// Its standard input and output.
    pub stream: DuplexStream,
    /// What it says, and how it has ended.
    pub said: Said,
}

/// What a command says at its standard error, and how it has ended.
#[derive(Clone, Debug, Default)]
pub struct Said(Arc<Mutex<(Vec<u8>, Vec<u8>)>>);

impl Said {
    fn add(&self, stream: u8, bytes: &[u8]) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = match stream {
            STDERR => &mut said.0,
            OUTCOME => &mut said.1,
            _ => return,
        };
        let room = WORDS_MAX.saturating_sub(place.len());
        place.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Why it has failed, in one line that is safe to show: its first error, or what the node says of
    /// it. None if nobody says.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let words = String::from_utf8_lossy(&said.0);
        let line = words.lines().map(str::trim).find(|line| !line.is_empty());
        let status = serde_json::from_slice::<Status>(&said.1).ok();
        let failed = status.filter(|status| status.status == Some(StatusSummary::Failure));
        let line = line.map(|line| line.strip_prefix("podtrace: ").unwrap_or(line).to_owned());
        line.or(failed.map(|status| status.message))
            .map(|words| quote(&words))
    }
}

/// Runs a command. `path`: of the request, with its parameters.
///
/// # Errors
/// When the server refuses, or does not speak the protocol.
pub(super) async fn exec(client: &Client, path: &str) -> kube::Result<Exec> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| broken(&error.to_string()))?;
    let key = base64(&key);
    let request = Request::get(path)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key)
        .header(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOLS)
        .body(Body::empty())
        .map_err(kube::Error::HttpError)?;
    let answered = timeout(PATIENCE, client.send(request)).await;
    let answer = answered.map_err(|_elapsed| broken("no answer"))??;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refusal(answer).await);
    }
    let can_end = agreed(answer.headers(), &key)?;
    let upgraded = hyper::upgrade::on(answer).await;
    let upgraded = upgraded.map_err(|error| broken(&error.to_string()))?;
    Ok(run(TokioIo::new(upgraded), can_end))
}

/// Whether standard input can be ended alone, by the answer's headers.
fn agreed(headers: &header::HeaderMap, key: &str) -> kube::Result<bool> {
    let of = |name| {
        let value = headers.get(name);
        value.and_then(|value| value.to_str().ok())
    };
    if of(header::SEC_WEBSOCKET_ACCEPT) != Some(&*accepted(key)) {
        return Err(broken("the server does not speak WebSocket"));
    }
    let protocol = of(header::SEC_WEBSOCKET_PROTOCOL).unwrap_or_default();
    if !PROTOCOLS.split(", ").any(|known| known == protocol) {
        return Err(broken("the server speaks another protocol of exec"));
    }
    Ok(protocol == CAN_END)
}

/// Carries the streams of a command.
fn run(socket: impl AsyncRead + AsyncWrite + Send + 'static, can_end: bool) -> Exec {
    let (stream, far) = duplex(BUFFER);
    let (from_console, to_console) = split(far);
    let (receiver, sender) = split(socket);
    let said = Said::default();
    // An answer to a ping at a time, which a server sends seldom.
    let (pongs, to_answer) = mpsc::channel(1);
    let words = said.clone();
    tokio::spawn(async move {
        let sending = send(from_console, sender, to_answer, can_end);
        let receiving = receive(
            BufReader::with_capacity(CHUNK, receiver),
            to_console,
            (words, pongs),
        );
        // When either breaks, the other is of no use: both ends of the stream are dropped. What was
        // received is read to its end before.
        tokio::select! {
            _ = receiving => {}
            Err(_) = sending => {}
        }
    });
    Exec { stream, said }
}

/// An error of the connection.
fn broken(why: &str) -> kube::Error {
    kube::Error::Service(io::Error::other(why.to_owned()).into())
}

/// Why the server refuses.
async fn refusal(answer: Response<Body>) -> kube::Error {
    let code = answer.status().as_u16();
    let body = answer.into_body().collect_bytes().await;
    let body = match body {
        Ok(body) => body,
        Err(error) => return error,
    };
    let status = serde_json::from_slice::<Status>(&body);
    let status = status.unwrap_or_else(|_| {
        Status::failure(&String::from_utf8_lossy(&body), "no status").with_code(code)
    });
    kube::Error::Api(status.boxed())
}

/// Sends what the console writes, and answers pings, until the console leaves.
async fn send(
    mut console: ReadHalf<DuplexStream>,
    mut socket: WriteHalf<impl AsyncWrite>,
    mut pongs: mpsc::Receiver<Vec<u8>>,
    can_end: bool,
) -> io::Result<()> {
    let mut bytes = vec![0; CHUNK];
    bytes[0] = STDIN;
    let mut has_ended = false;
    loop {
        tokio::select! {
            read = console.read(&mut bytes[1..]), if !has_ended => match read? {
                0 => {
                    has_ended = true;
                    match can_end {
                        true => frame(&mut socket, BINARY, &[END, STDIN]).await?,
                        // That ends the command.
                        false => frame(&mut socket, CLOSE, &[]).await?,
                    }
                }
                len => frame(&mut socket, BINARY, &bytes[..=len]).await?,
            },
            pong = pongs.recv() => match pong {
                Some(pong) => frame(&mut socket, PONG, &pong).await?,
                None => return Ok(()),
            },
        }
    }
}

/// Writes a frame, masked as those of clients are.
async fn frame(socket: &mut (impl AsyncWrite + Unpin), kind: u8, payload: &[u8]) -> io::Result<()> {
    let mut mask = [0; 4];
    getrandom::fill(&mut mask).map_err(io::Error::other)?;
    let mut bytes = vec![FINAL | kind];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ ..126), _) => bytes.push(0x80 | len),
        (_, Ok(len)) => {
            bytes.push(0x80 | 126);
            bytes.extend(len.to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    socket.write_all(&bytes).await?;
    socket.flush().await
}

/// Takes what comes until the server closes, or the connection breaks.
async fn receive(
    mut socket: BufReader<ReadHalf<impl AsyncRead>>,
    mut console: WriteHalf<DuplexStream>,
    (said, pongs): (Said, mpsc::Sender<Vec<u8>>),
) -> io::Result<()> {
    let mut stream = None;
    let mut bytes = vec![0; CHUNK];
    loop {
        let kind = socket.read_u8().await?;
        let len = socket.read_u8().await?;
        let mut left = match len {
            126 => socket.read_u16().await?.into(),
            127 => socket.read_u64().await?,
            // A mask, which servers do not have, makes it too large.
            len => len.into(),
        };
        match kind & !FINAL {
            CLOSE => return Ok(()),
            kind @ (PING | PONG) if left <= CONTROL_MAX => {
                let mut payload = vec![0; usize::try_from(left).unwrap_or_default()];
                socket.read_exact(&mut payload).await?;
                if kind == PING {
                    pongs.send(payload).await.map_err(io::Error::other)?;
                }
                continue;
            }
            BINARY if len < 128 => stream = None,
            CONTINUED if len < 128 => {}
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let read = socket.read(&mut bytes[..most]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= read as u64;
            let mut part = &bytes[..read];
            let of = match stream {
                Some(of) => of,
                None => {
                    let of = part[0];
                    part = &part[1..];
                    stream = Some(of);
                    of
                }
            };
            match of {
                STDOUT => console.write_all(part).await?,
                of => said.add(of, part),
            }
        }
    }
}

/// The answer of a server to a key.
fn accepted(key: &str) -> String {
    base64(
        digest(
            &SHA1_FOR_LEGACY_USE_ONLY,
            (key.to_owned() + GUID).as_bytes(),
        )
        .as_ref(),
    )
}

/// Bytes in base64 (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = (bits >> (18 - 6 * at)) as usize & 63;
            text.push(match at <= chunk.len() {
                true => char::from(DIGITS[digit]),
                false => '=',
            });
        }
    }
    text
}

/// A value of a query.
pub(super) fn value(text: &str) -> String {
    let mut quoted = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                quoted.push(char::from(byte));
            }
            byte => quoted += &format!("%{byte:02X}"),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_answered_as_rfc_6455_has_it() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        assert_eq!(base64(b"the sample nonce"), key);
        assert_eq!(accepted(key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(
            [base64(b""), base64(b"a"), base64(b"ab")],
            ["", "YQ==", "YWI="]
        );
        assert_eq!(value("a b&c=/%é"), "a%20b%26c%3D%2F%25%C3%A9");
    }

    #[tokio::test]
    async fn streams_are_kept_apart_and_messages_may_come_in_parts() {
        let (socket, mut server) = duplex(1 << 20);
        let Exec { mut stream, said } = run(socket, true);
        let mut sent = Vec::new();
        // The begin of each stream, empty.
        sent.extend([0x82, 1, STDOUT, 0x82, 1, STDERR]);
        sent.extend([0x82, 4, STDOUT, b'a', b'b', b'c']);
        // One message in three frames, with a ping between.
        sent.extend([
            0x02, 2, STDOUT, b'd', 0x89, 2, b'h', b'i', 0x00, 1, b'e', 0x80, 1, b'f',
        ]);
        let large = vec![b'x'; 70_000];
        sent.extend([0x82, 127]);
        sent.extend((large.len() as u64 + 1).to_be_bytes());
        sent.push(STDOUT);
        sent.extend(&large);
        sent.extend([0x82, 126, 0, 4, STDERR, b'n', b'o', b'\n']);
        sent.extend([0x88, 0]);
        server.write_all(&sent).await.unwrap();
        stream.write_all(b"in").await.unwrap();
        let mut received = vec![0; 6];
        stream.read_exact(&mut received).await.unwrap();
        assert_eq!(received, b"abcdef");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, large);
        assert_eq!(said.failure().as_deref(), Some("no"));
    }

    #[tokio::test]
    async fn what_is_written_is_masked_and_its_end_is_told() {
        let (socket, mut server) = duplex(1 << 20);
        let Exec { mut stream, .. } = run(socket, true);
        for written in [vec![7; 1], vec![8; 300]] {
            stream.write_all(&written).await.unwrap();
            let (kind, payload) = unmasked(&mut server).await;
            assert_eq!((kind, payload[0]), (0x82, STDIN));
            assert_eq!(payload[1..], written);
        }
        server.write_all(&[0x89, 1, b'p']).await.unwrap();
        assert_eq!(unmasked(&mut server).await, (0x8a, b"p".to_vec()));
        stream.shutdown().await.unwrap();
        assert_eq!(unmasked(&mut server).await, (0x82, vec![END, STDIN]));
        // A masked frame is none of a server.
        server
            .write_all(&[0x82, 0x81, 0, 0, 0, 0, STDOUT])
            .await
            .unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }

    async fn unmasked(server: &mut DuplexStream) -> (u8, Vec<u8>) {
        let kind = server.read_u8().await.unwrap();
        let len = match server.read_u8().await.unwrap() & 0x7f {
            126 => server.read_u16().await.unwrap().into(),
            len => usize::from(len),
        };
        let mut mask = [0; 4];
        server.read_exact(&mut mask).await.unwrap();
        let mut payload = vec![0; len];
        server.read_exact(&mut payload).await.unwrap();
        let masks = mask.iter().cycle();
        payload
            .iter_mut()
            .zip(masks)
            .for_each(|(byte, mask)| *byte ^= mask);
        (kind, payload)
    }

    #[test]
    fn failures_are_told_by_the_command_or_its_node() {
        let said = Said::default();
        assert_eq!(said.failure(), None);
        let status = br#"{"status":"Failure","message":"exec: \"podtrace\": not found"}"#;
        said.add(OUTCOME, status);
        assert_eq!(said.failure().unwrap(), "exec: \"podtrace\": not found");
        said.add(STDERR, b"podtrace: it lacks \x1b[31mCAP_BPF\nhint: none\n");
        assert!(said.failure().unwrap().starts_with("it lacks"));
        assert!(!said.failure().unwrap().contains('\x1b'));
    }
}
