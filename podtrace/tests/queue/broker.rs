//! A server of NATS with JetStream, whose messages survive it.
use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Broker {
    folder: TempDir,
    server: Child,
    address: SocketAddr,
}

impl Broker {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = serve(&folder, "-1");
        let address = address(&folder, &server);
        let broker = Self {
            folder,
            server,
            address,
        };
        broker.wait();
        broker
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    pub(crate) fn kill_and_restart(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        self.server = serve(&self.folder, &self.address.port().to_string());
        self.wait();
    }

    fn wait(&self) {
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < deadline, "the server does not listen");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ended = self.server.kill();
        let _ended = self.server.wait();
    }
}

/// `port`: -1 for one that is free.
fn serve(folder: &TempDir, port: &str) -> Child {
    let mut server = Command::new("nats-server");
    server.args(["-a", "127.0.0.1", "-p", port, "-js", "--store_dir"]);
    server.arg(folder.path().join("store"));
    server.arg("--ports_file_dir").arg(folder.path());
    server.stdout(Stdio::null()).stderr(Stdio::null());
    server
        .spawn()
        .expect("nats-server is missing: cargo xtask setup installs it")
}

/// Where it listens, by the file that it writes.
fn address(folder: &TempDir, server: &Child) -> SocketAddr {
    let file = folder
        .path()
        .join(format!("nats-server_{}.ports", server.id()));
    let deadline = Instant::now() + DEADLINE;
    loop {
        let ports = fs::read(&file).ok();
        let ports = ports.and_then(|ports| serde_json::from_slice::<Value>(&ports).ok());
        if let Some(ports) = ports {
            let url = ports["nats"][0].as_str().unwrap();
            return url.trim_start_matches("nats://").parse().unwrap();
        }
        assert!(Instant::now() < deadline, "the server does not start");
        thread::sleep(Duration::from_millis(5));
    }
}
