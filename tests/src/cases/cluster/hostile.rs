//! Consoles and agents that mean harm: a port that anyone reaches, and nodes that are not what they
//! say.
use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use podtrace::agent::{Listener, ServeOptions, serve};
use podtrace::lab::traffic::ping;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::runtime::Runtime;

use super::{Cluster, DEADLINE, Process, Tracer, is_path, nodes_of, podtrace};

/// What a console may take of memory with agents that mean harm, in KiB.
const MEMORY_MAX: u64 = 400 << 10;

/// Signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    /// Writes a certificate into a folder.
    fn write(&self, folder: &Path, name: &str) {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
        fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
        fs::write(folder.join("ca.crt"), &self.pem).unwrap();
        fs::set_permissions(folder.join("tls.key"), Permissions::from_mode(0o600)).unwrap();
    }
}

/// What a process says, read by a thread.
struct Words(Receiver<String>);

impl Words {
    fn of(process: &mut Process) -> Self {
        let words = BufReader::new(process.stderr.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            words
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Self(lines)
    }

    /// Reads lines until one has all of these words.
    fn wait_for(&self, wanted: &[&str]) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut passed = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.0.recv_timeout(left) else {
                panic!("no line has {wanted:?}: {passed:#?}");
            };
            if wanted.iter().all(|words| line.contains(words)) {
                return line;
            }
            passed.push(line);
        }
    }
}

fn tls_console(port: u16, folder: &Path) -> Command {
    let mut console = podtrace();
    console.args([
        "trace",
        "--agent",
        &format!("tls://127.0.0.1:{port}"),
        "--tls",
    ]);
    console.arg(folder);
    console
}

#[test]
fn port_serves_whom_it_should_and_tells_of_the_rest() {
    let cluster = Cluster::new(1);
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let authority = Authority::new();
    authority.write(&place("server"), "127.0.0.1");
    authority.write(&place("alice"), "alice.example.com");
    authority.write(&place("eve"), "eve.example.com");
    Authority::new().write(&place("mallory"), "alice.example.com");
    fs::write(place("mallory").join("ca.crt"), &authority.pem).unwrap();
    let rights = "[[console]]\nname = \"alice.*\"\nmax-duration = \"1m\"\n";
    fs::write(place("consoles.toml"), rights).unwrap();

    let node = &cluster.lab.nodes[0].netns.name;
    let mut agent = podtrace();
    agent.args(["agent", "--netns", node, "--node-name", "worker1"]);
    agent
        .args(["--listen", "tcp://127.0.0.1:0", "--tls"])
        .arg(place("server"));
    agent.arg("--consoles").arg(place("consoles.toml"));
    agent.arg("--pods").arg(cluster._table.path());
    let mut agent = Process::spawn(agent.stderr(Stdio::piped()));
    let words = Words::of(&mut agent);
    let line = words.wait_for(&["listening at tcp://127.0.0.1:"]);
    let port: u16 = line.rsplit(':').next().unwrap().parse().unwrap();

    // More than may be there at a time.
    let crowd: Vec<_> = (0..400)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    words.wait_for(&["refused 127.0.0.1", "too many"]);
    for (console, wanted) in [
        ("eve", "eve.example.com may not trace there"),
        ("mallory", "not signed by an authority"),
    ] {
        let output = tls_console(port, &place(console)).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(wanted), "{said}");
    }
    let mut console = tls_console(port, &place("alice"));
    console.arg("icmp");
    let mut tracer = Tracer::spawn(console);
    tracer.wait_for(|value| {
        let text = value["text"].as_str().unwrap_or_default();
        text.starts_with("worker1") && text.contains("ends there after 60 s")
    });
    let pod = cluster.pod(0);
    let [a, b, c, _] = pod.ipv4.octets();
    let bridge = Ipv4Addr::new(a, b, c, 1);
    ping(&pod.netns, bridge.into(), 1, 2, 56).unwrap();
    tracer.wait_until_all(4, is_path);
    words.wait_for(&["trace 1 for alice.example.com from 127.0.0.1:", ": icmp"]);
    tracer.finish();
    words.wait_for(&[
        "trace 1 for alice.example.com ended after",
        "the console asked for it",
    ]);
    drop(crowd);
}

/// A cluster whose third node has an agent whose traces are a script.
struct Betrayed {
    cluster: Cluster,
    _runtime: Runtime,
}

impl Betrayed {
    /// `script`: `$trace` is what an honest agent runs.
    fn new(script: &str) -> Self {
        let mut cluster = Cluster::new(3);
        cluster.agents.pop();
        let program = cluster.folder.path().join("podtrace");
        let trace = std::env::var("PODTRACE_BIN").unwrap();
        let text = format!("#!/bin/sh\ntrace='{trace}'\n{script}\n");
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let netns = &cluster.lab.nodes[2].netns.name;
        let options = ServeOptions {
            program,
            arguments: vec![format!("--netns={netns}").into()],
            host: "worker3".to_owned(),
            nodes: vec!["worker3".to_owned()],
            prober: None,
            gives_payload: false,
            traces_max: 4,
            max_rate: None,
            consoles: None,
            tells: false,
        };
        let socket = cluster.socket(2);
        let _ = fs::remove_file(&socket);
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(async { Listener::unix(&socket).unwrap() });
        runtime.spawn(serve(vec![listener], options, std::future::pending()));
        Self {
            cluster,
            _runtime: runtime,
        }
    }

    /// Traces until the script has written its file, and shows that the others are seen still.
    fn survives(&self) -> Vec<serde_json::Value> {
        let cluster = &self.cluster;
        let mut console = cluster.console("trace");
        console.arg("icmp");
        let mut tracer = Tracer::spawn(console);
        let begun = cluster.folder.path().join("begun");
        let deadline = Instant::now() + DEADLINE;
        while !begun.exists() {
            assert!(Instant::now() < deadline, "the script does not come so far");
            thread::yield_now();
        }
        let (one, two) = (cluster.pod(0), cluster.pod(1));
        // One after the other: nothing may stop the console for good.
        for id in 1..=3 {
            ping(&one.netns, two.ipv4.into(), id, 2, 56).unwrap();
            tracer.wait_until_all(4 * usize::from(id), |value| {
                is_path(value) && value["outcome"] == "delivered"
            });
        }
        let status = fs::read_to_string(format!("/proc/{}/status", tracer.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.unwrap().trim().trim_end_matches(" kB");
        assert!(peak.parse::<u64>().unwrap() < MEMORY_MAX, "{peak} KiB");
        let values = tracer.finish();
        for path in values.iter().filter(|value| is_path(value)) {
            assert_eq!(path["outcome"], "delivered", "{path}");
            assert_eq!(nodes_of(path).len(), 2, "{path}");
        }
        values
    }
}

#[test]
fn agent_that_sends_garbage_is_left_behind() {
    let betrayed = Betrayed::new(
        "timeout -s INT 3 \"$trace\" \"$@\" --node-name worker3\n\
         touch \"$(dirname \"$0\")/begun\"; exec cat /dev/urandom",
    );
    betrayed.survives();
}

#[test]
fn agent_that_sends_a_bomb_is_left_behind() {
    let betrayed = Betrayed::new(
        "timeout -s INT 3 \"$trace\" \"$@\" --node-name worker3\n\
         touch \"$(dirname \"$0\")/begun\"; while :; do cat \"$(dirname \"$0\")/bomb\"; done",
    );
    let mut bomb = File::create(betrayed.cluster.folder.path().join("bomb")).unwrap();
    bomb.write_all(&bomb_of_zeros()).unwrap();
    betrayed.survives();
}

#[test]
fn agent_that_says_it_is_another_is_refused() {
    let betrayed = Betrayed::new("exec \"$trace\" \"$@\" --node-name worker1");
    let output = betrayed.cluster.console("trace").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("same node") && said.contains("worker3"),
        "{said}"
    );
}

#[test]
fn agent_that_never_sends_a_session_is_named() {
    for (script, words) in [
        (
            "echo ready >&2; printf x; exec sleep 100",
            "sent no session",
        ),
        ("echo ready >&2; exec cat /dev/zero", ""),
        ("echo ready >&2; exec cat /dev/urandom", ""),
        (
            "printf 'podtrace: a\\033[2Jb\\n' >&2; exit 2",
            "a\u{fffd}[2Jb",
        ),
    ] {
        let betrayed = Betrayed::new(script);
        let output = betrayed.cluster.console("trace").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("worker3") && said.contains(words), "{said}");
        assert!(!said.contains('\x1b'), "{said}");
    }
}

/// A frame of zstd that becomes a gigabyte of zeros: blocks that repeat one byte.
fn bomb_of_zeros() -> Vec<u8> {
    const BLOCK: u32 = 128 << 10;
    const BLOCKS: u32 = 8192;
    // Magic number, a descriptor without content size and checksum, a window of 128 KiB.
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    for number in 1..=BLOCKS {
        let is_last = u32::from(number == BLOCKS);
        let header = is_last | 1 << 1 | BLOCK << 3;
        bytes.extend(&header.to_le_bytes()[..3]);
        bytes.push(0);
    }
    bytes
}
