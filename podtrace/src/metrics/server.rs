//! Answers those who ask for metrics, by HTTP/1.1.
//!
//! A thread of its own without capabilities, so that nobody who connects slows the trace down.
//! Each connection has one request and a time; few are open at once, others wait to be accepted.
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener as Listener, TcpStream},
    runtime::Builder,
    sync::{Semaphore, oneshot},
    time::{sleep, timeout},
};

use super::{consumer::Source, exposition::CONTENT_TYPE};
use crate::privilege;

/// Upper bound of the connections at once.
const CONNECTIONS_MAX: usize = 16;
/// Upper bound of the header of a request, in bytes.
const HEADER_MAX: usize = 8192;
/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Until the next try where no connection could be accepted, for want of descriptors as a rule.
const RETRY: Duration = Duration::from_millis(100);

/// Serves metrics until it is dropped.
pub(crate) struct Server {
    /// Dropped to end it.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Opens the port.
    ///
    /// # Errors
    /// When it is not free, or the address is not one of this machine.
    pub(crate) fn open(address: SocketAddr) -> io::Result<TcpListener> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Begins to answer at a port that was opened.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(listener: TcpListener, source: Source) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = move || {
            // What it cannot give up it does not need: it goes on.
            let _ = privilege::keep(privilege::NONE);
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, source) => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new().name("metrics".into()).spawn(serve)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, source: Source) {
    let Ok(listener) = Listener::from_std(listener) else {
        return;
    };
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(RETRY).await;
            continue;
        };
        let source = source.clone();
        tokio::spawn(async move {
            // Whoever does not read the answer has none.
            let _ = timeout(PATIENCE, answer(stream, source)).await;
            drop(permit);
        });
    }
}

async fn answer(mut stream: TcpStream, source: Source) -> io::Result<()> {
    let (mut header, mut part) = (Vec::new(), [0; 1024]);
    let reply = loop {
        if let Some(reply) = reply(&header, &source) {
            break reply;
        }
        match stream.read(&mut part).await? {
            0 => return Ok(()),
            bytes => header.extend_from_slice(&part[..bytes]),
        }
    };
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

/// The answer to a request; none while its header is not whole.
fn reply(header: &[u8], source: &Source) -> Option<String> {
    let is_whole = header.windows(4).any(|bytes| bytes == b"\r\n\r\n");
    if !is_whole && header.len() < HEADER_MAX {
        return None;
    }
    if !is_whole {
        return Some(refusal("431 Request Header Fields Too Large", ""));
    }
    let line = header.split(|byte| *byte == b'\r').next();
    let line = line.and_then(|line| str::from_utf8(line).ok());
    let mut words = line.unwrap_or_default().split(' ');
    let request = (words.next(), words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) = request else {
        return Some(refusal("400 Bad Request", ""));
    };
    if !matches!(method, "GET" | "HEAD") {
        return Some(refusal("405 Method Not Allowed", "Allow: GET, HEAD\r\n"));
    }
    if target.split('?').next() != Some("/metrics") {
        return Some(refusal("404 Not Found", ""));
    }
    let text = source.text();
    let head = head("200 OK", CONTENT_TYPE, text.len(), "");
    Some(if method == "GET" { head + &text } else { head })
}

fn head(status: &str, kind: &str, length: usize, more: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         {more}Connection: close\r\n\r\n"
    )
}

fn refusal(status: &str, more: &str) -> String {
    let text = format!("{status}\nmetrics are at /metrics\n");
    head(status, "text/plain; charset=utf-8", text.len(), more) + &text
}

#[cfg(test)]
mod tests;
