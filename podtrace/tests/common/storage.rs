//! An object storage for the tests, and a gate before it, at which requests can be held or refused.
use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use crate::run::podtrace;

/// moto's server, which ends with this.
pub(crate) struct Storage {
    child: Child,
    address: SocketAddr,
}

impl Storage {
    /// With a bucket `traces`; none without moto.
    pub(crate) fn start() -> Option<Self> {
        let Some(python) = env::var_os("PODTRACE_PYARROW") else {
            println!("skipped: no Python with moto for an object storage");
            return None;
        };
        let mut server = Command::new(python);
        server.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]);
        server.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = server.spawn().unwrap();
        let mut says = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(says.read_line(&mut line).unwrap() > 0, "moto has ended");
            if let Some((_, address)) = line.split_once("Running on http://") {
                break address.trim().parse().unwrap();
            }
        };
        // It says more than a pipe has room for.
        thread::spawn(move || std::io::copy(&mut says, &mut std::io::sink()));
        let storage = Self { child, address };
        let answer = ask(
            storage.address,
            b"PUT /traces HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
        Some(storage)
    }

    pub(crate) fn podtrace(&self, args: &[&str]) -> Command {
        through(self.address, args)
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// podtrace with the storage at an address.
fn through(address: SocketAddr, args: &[&str]) -> Command {
    let mut command = podtrace(args);
    command.env("AWS_ENDPOINT", format!("http://{address}"));
    command
        .env("AWS_ACCESS_KEY_ID", "a")
        .env("AWS_SECRET_ACCESS_KEY", "b");
    command.env("AWS_REGION", "us-east-1");
    command
}

/// What becomes of a request.
pub(crate) enum Fate {
    Passes,
    /// The connection is cut.
    Fails,
    /// Nothing is answered.
    Waits,
}

/// Passes requests on as it is told.
pub(crate) struct Gate {
    address: SocketAddr,
    /// Tells that a request waits.
    pub(crate) waiting: Receiver<()>,
}

impl Gate {
    /// `fate`: of a request, by its number from 0 and its first line.
    pub(crate) fn new(
        storage: &Storage,
        fate: impl FnMut(usize, &str) -> Fate + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (to, fate) = (storage.address, Arc::new(Mutex::new((0, fate))));
        let (sender, waiting) = channel();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, fate, sender) = (client.unwrap(), Arc::clone(&fate), sender.clone());
                thread::spawn(move || {
                    pass(client, to, &sender, |line| {
                        let (number, fate) = &mut *fate.lock().unwrap();
                        *number += 1;
                        fate(*number - 1, line)
                    })
                });
            }
        });
        Self { address, waiting }
    }

    pub(crate) fn podtrace(&self, args: &[&str]) -> Command {
        through(self.address, args)
    }
}

/// Passes one request on.
fn pass(client: TcpStream, to: SocketAddr, waits: &Sender<()>, fate: impl FnOnce(&str) -> Fate) {
    let mut from = BufReader::new(&client);
    let (mut head, mut length) = (String::from(""), 0);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            head += "Connection: close\r\n\r\n";
            break;
        }
        head += &line;
    }
    let mut request = head.into_bytes();
    let mut body = vec![0; length];
    from.read_exact(&mut body).unwrap();
    let first = request.split(|byte| *byte == b'\r').next().unwrap();
    let fate = fate(&String::from_utf8_lossy(first));
    match fate {
        Fate::Fails => return,
        Fate::Waits => {
            let _ = waits.send(());
            // Until the other side has left.
            let _ = from.read(&mut [0]);
            return;
        }
        Fate::Passes => {}
    }
    request.extend(body);
    let answer = ask(to, &request);
    // It may have been killed meanwhile.
    let _ = (&client).write_all(&answer);
}

fn ask(to: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut server = TcpStream::connect(to).unwrap();
    server.write_all(request).unwrap();
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).unwrap();
    answer
}
