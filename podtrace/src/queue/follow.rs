//! Reads a subject from a place on, over broken connections.
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::{Queue, STREAM};

/// Pause before a subject is read again after an error.
const PAUSE: Duration = Duration::from_millis(200);
/// Messages asked for at once.
const BATCH: usize = 500;

/// A message, and its number in the stream.
pub(crate) struct Received {
    pub(crate) sequence: u64,
    pub(crate) payload: Bytes,
}

/// Reads all messages of a subject from this number in the stream on, until `take` wants no more.
///
/// Nothing is acknowledged: who reads knows by itself how far it has come, and that is stored with
/// what it has made of the messages. After an error it goes on behind the last message.
pub(crate) async fn follow(
    queue: Queue,
    subject: String,
    from: u64,
    mut take: impl FnMut(Received) -> bool,
) {
    let mut next = from.max(1);
    loop {
        if read(&queue, &subject, &mut next, &mut take).await.is_none() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads until an error; none once nobody wants more.
async fn read(
    queue: &Queue,
    subject: &str,
    next: &mut u64,
    take: &mut impl FnMut(Received) -> bool,
) -> Option<()> {
    let config = pull::Config {
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: *next,
        },
        ack_policy: AckPolicy::None,
        filter_subject: subject.to_owned(),
        inactive_threshold: Duration::from_secs(60),
        ..pull::Config::default()
    };
    let created = queue.jetstream.create_consumer_on_stream(config, STREAM);
    let Ok(consumer) = created.await else {
        return Some(());
    };
    let stream = consumer.stream().max_messages_per_batch(BATCH);
    let stream = stream.heartbeat(Duration::from_secs(2));
    let Ok(mut messages) = stream.expires(Duration::from_secs(10)).messages().await else {
        return Some(());
    };
    while let Some(Ok(message)) = messages.next().await {
        let Ok(sequence) = message.info().map(|info| info.stream_sequence) else {
            return Some(());
        };
        *next = sequence + 1;
        let payload = message.payload.clone();
        if !take(Received { sequence, payload }) {
            return None;
        }
    }
    Some(())
}
