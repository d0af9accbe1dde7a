//! Sessions through a queue of NATS JetStream: what publishes them, and what reads them.
//!
//! Of a **run**, each bucket's batches of hops have a subject, `podtrace.hops.RUN.BUCKET`, and the
//! rest of each node's session another, `podtrace.context.RUN.NODE`. `docs/scale.md` describes both.
mod follow;
mod outbox;
pub(crate) mod publish;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_nats::{
    Client, ConnectError, ConnectOptions,
    jetstream::{
        self,
        stream::{Config, StorageType},
    },
};

pub(crate) use follow::{Received, follow};

/// How long a server may take to start, and the pause between two attempts.
const CONNECTED: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);
/// Name of the stream.
const STREAM: &str = "podtrace";
/// How long the stream keeps messages, where podtrace makes it.
const KEPT: Duration = Duration::from_secs(3600);
/// How long the server may take to acknowledge a message before it is sent again.
const ACKNOWLEDGED: Duration = Duration::from_secs(5);

/// A connection to the stream.
#[derive(Clone)]
pub(crate) struct Queue {
    client: Client,
    jetstream: jetstream::Context,
    run: String,
}

impl Queue {
    /// Connects; makes the stream, kept in files, unless there is one.
    ///
    /// # Errors
    /// When the server cannot be reached, or has no JetStream.
    pub(crate) async fn connect(url: &str, run: &str) -> anyhow::Result<Self> {
        let client = connect(url).await;
        let client = client.with_context(|| format!("no connection to NATS at {url}"))?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(ACKNOWLEDGED);
        let config = Config {
            name: STREAM.to_owned(),
            subjects: vec![
                "podtrace.hops.>".to_owned(),
                "podtrace.context.>".to_owned(),
            ],
            storage: StorageType::File,
            max_age: KEPT,
            ..Config::default()
        };
        let made = jetstream.get_or_create_stream(config).await;
        made.with_context(|| {
            format!(
                "no stream {STREAM} at {url}\nhint: JetStream has to be enabled: nats-server -js"
            )
        })?;
        Ok(Self {
            client,
            jetstream,
            run: run.to_owned(),
        })
    }

    /// Bytes of a message at most.
    fn message_max(&self) -> usize {
        self.client.server_info().max_payload
    }

    /// The subject of a bucket's hops.
    pub(crate) fn hops_of(&self, bucket: u16) -> String {
        format!("podtrace.hops.{}.{bucket}", self.run)
    }

    /// The subject of what a node has beside hops.
    fn context_of(&self, node: &str) -> String {
        format!("podtrace.context.{}.{}", self.run, token(node))
    }

    /// The subjects of what all nodes have beside hops.
    pub(crate) fn contexts(&self) -> String {
        format!("podtrace.context.{}.*", self.run)
    }
}

/// Connects to a server, which may be about to start.
async fn connect(url: &str) -> Result<Client, ConnectError> {
    let begun = Instant::now();
    loop {
        let options = ConnectOptions::new().name("podtrace");
        match options.connect(url).await {
            Err(_) if begun.elapsed() < CONNECTED => tokio::time::sleep(PAUSE).await,
            connected => return connected,
        }
    }
}

/// A word of a subject.
fn token(name: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    let chars = name.chars();
    let plain: String = chars
        .map(|char| if is_plain(char) { char } else { '_' })
        .collect();
    if plain.is_empty() {
        "_".to_owned()
    } else {
        plain
    }
}
