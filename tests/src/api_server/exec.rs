//! Commands in pods, with their streams in a WebSocket.

use std::ffi::OsString;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::process::Command;
use tokio::sync::{Mutex, Notify};

use super::answer;

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The pods of a DaemonSet.
#[derive(Default)]
pub struct Agents {
    /// The pods.
    pub pods: Vec<Agent>,
    /// Whether commands in them are refused.
    pub forbidden: bool,
}

/// A pod with an agent.
pub struct Agent {
    /// Its name, in the namespace podtrace.
    pub name: String,
    /// Its node.
    pub node: String,
    /// Its phase.
    pub phase: &'static str,
    /// What stands for its image's podtrace.
    pub program: OsString,
    /// More options for it.
    pub options: Vec<OsString>,
    /// Told when it goes away.
    pub gone: Arc<Notify>,
}

impl Agents {
    pub(super) fn listed(&self) -> Vec<Value> {
        let pods = self.pods.iter();
        pods.map(|pod| {
            json!({
                "metadata": {
                    "name": pod.name,
                    "namespace": "podtrace",
                    "labels": {"app.kubernetes.io/name": "podtrace-agent"},
                },
                "spec": {
                    "nodeName": pod.node,
                    "containers": [{"name": "agent", "command": ["podtrace"]}],
                },
                "status": {"phase": pod.phase},
            })
        })
        .collect()
    }

    pub(super) async fn run(
        &self,
        request: &str,
        mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<()> {
        if self.forbidden {
            let body = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden",
                "message": "User \"dev\" cannot create resource \"pods/exec\"", "code": 403,
            });
            return answer(&mut stream, "403 Forbidden", &body).await;
        }
        let (target, _) = request.split_once(" HTTP/").context("no request")?;
        let (path, query) = target.split_once('?').context("no query")?;
        let name = path.rsplit('/').nth(1).context("no pod")?;
        let pod = self.pods.iter().find(|pod| pod.name == name);
        let pod = pod.context("no such pod")?;
        let parameters = query.split('&').filter_map(|part| part.split_once('='));
        let words: Vec<_> = parameters
            .clone()
            .filter(|(name, _)| *name == "command")
            .map(|(_, word)| plain(word))
            .collect();
        let is_in = |name, value| parameters.clone().any(|one| one == (name, value));
        let has_streams = ["stdin", "stdout", "stderr"].map(|name| is_in(name, "true"));
        if words.first().map(String::as_str) != Some("podtrace")
            || has_streams != [true; 3]
            || !is_in("container", "agent")
        {
            bail!("not as asked: {query}");
        }
        let key = header(request, "sec-websocket-key").context("no key")?;
        let protocols = header(request, "sec-websocket-protocol").context("no protocol")?;
        if !protocols.split(", ").any(|one| one == "v5.channel.k8s.io") {
            bail!("no protocol: {protocols}");
        }
        let accepted = digest(
            &SHA1_FOR_LEGACY_USE_ONLY,
            (key.to_owned() + GUID).as_bytes(),
        );
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-accept: {}\r\nsec-websocket-protocol: v5.channel.k8s.io\r\n\r\n",
            base64(accepted.as_ref())
        );
        stream.write_all(head.as_bytes()).await?;
        tokio::select! {
            carried = carry(pod, &words, stream) => carried,
            () = pod.gone.notified() => Ok(()),
        }
    }
}

/// Carries the streams of a command until it ends.
async fn carry(
    pod: &Agent,
    words: &[String],
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<()> {
    let mut child = Command::new(&pod.program)
        .args(&words[1..])
        .args(&pod.options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = child.stdin.take();
    let output = child.stdout.take().context("no output")?;
    let error = child.stderr.take().context("no error")?;
    let (mut receiver, sender) = split(stream);
    let sender = Mutex::new(sender);
    // As a kubelet begins.
    for number in [1, 2, 3] {
        frame(&sender, number, &[]).await?;
    }
    let receive = async {
        loop {
            let (kind, payload) = unmasked(&mut receiver).await?;
            match (kind, payload.split_first()) {
                (0x88, _) => return anyhow::Ok(()),
                (_, Some((0, bytes))) => {
                    let input = input.as_mut().context("input behind its end")?;
                    // The command may have ended; what it has said follows.
                    let _ = input.write_all(bytes).await;
                }
                (_, Some((255, [0]))) => input = None,
                (_, other) => bail!("unknown stream: {other:?}"),
            }
        }
    };
    let send = async {
        tokio::try_join!(forward(&sender, 1, output), forward(&sender, 2, error))?;
        let status = child.wait().await?;
        let outcome = match status.success() {
            true => json!({"status": "Success"}),
            false => json!({"status": "Failure", "message": format!("command ended: {status}")}),
        };
        frame(&sender, 3, outcome.to_string().as_bytes()).await?;
        let mut sender = sender.lock().await;
        sender.write_all(&[0x88, 0]).await?;
        sender.shutdown().await?;
        anyhow::Ok(())
    };
    tokio::select! {
        received = receive => received,
        sent = send => sent,
    }
}

async fn forward(
    sender: &Mutex<impl AsyncWrite + Unpin>,
    number: u8,
    mut from: impl AsyncRead + Unpin,
) -> Result<()> {
    let mut bytes = vec![0; 32 << 10];
    loop {
        match from.read(&mut bytes).await? {
            0 => return Ok(()),
            len => frame(sender, number, &bytes[..len]).await?,
        }
    }
}

async fn frame(sender: &Mutex<impl AsyncWrite + Unpin>, number: u8, payload: &[u8]) -> Result<()> {
    let mut frame = vec![0x82];
    match payload.len() + 1 {
        len @ ..126 => frame.push(u8::try_from(len)?),
        len => {
            frame.push(126);
            frame.extend(u16::try_from(len)?.to_be_bytes());
        }
    }
    frame.push(number);
    frame.extend(payload);
    let mut sender = sender.lock().await;
    sender.write_all(&frame).await?;
    Ok(sender.flush().await?)
}

async fn unmasked(receiver: &mut (impl AsyncRead + Unpin)) -> Result<(u8, Vec<u8>)> {
    let kind = receiver.read_u8().await?;
    let len = receiver.read_u8().await?;
    if len & 0x80 == 0 {
        bail!("a frame that is not masked");
    }
    let len = match len & 0x7f {
        126 => receiver.read_u16().await?.into(),
        127 => usize::try_from(receiver.read_u64().await?)?,
        len => usize::from(len),
    };
    let mut mask = [0; 4];
    receiver.read_exact(&mut mask).await?;
    let mut payload = vec![0; len];
    receiver.read_exact(&mut payload).await?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok((kind, payload))
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = request.lines().filter_map(|line| line.split_once(": "));
    let (_, value) = lines.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(value)
}

/// A value of a query without its percent signs.
fn plain(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, behind @ ..]) => {
                let digits = String::from_utf8_lossy(&[*high, *low]).into_owned();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
                rest = behind;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut three = [0; 4];
        three[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(three);
        for at in 0..4 {
            let digit = (bits >> (18 - 6 * at) & 63) as usize;
            text.push(match at <= chunk.len() {
                true => char::from(DIGITS[digit]),
                false => '=',
            });
        }
    }
    text
}
