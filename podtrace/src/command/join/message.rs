//! What comes for a bucket.
use std::sync::Arc;

use bytes::Bytes;

use crate::wire::message::Context;

/// A message, read from the queue.
pub(super) enum Message {
    Context(Arc<Context>),
    /// Hops, and the number of the message in the stream.
    Hops(u64, Bytes),
}
