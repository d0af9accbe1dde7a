//! Why a collector did not take spans.
use std::time::Duration;

use thiserror::Error;

/// How long a collector may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Why a collector did not take spans.
#[derive(Debug, Error)]
pub enum CollectorError {
    /// Nobody answers at its address.
    #[error("nobody takes OTLP by gRPC at {endpoint}")]
    NotReached {
        /// The address.
        endpoint: String,
        /// What the transport says.
        #[source]
        source: tonic::transport::Error,
    },
    /// It has refused them.
    #[error("{endpoint} takes no spans: {status}{hint}")]
    Refused {
        /// The address.
        endpoint: String,
        /// The answer.
        status: String,
        /// What to do.
        hint: &'static str,
    },
    /// It does not answer.
    #[error("{endpoint} did not answer within {} s", PATIENCE.as_secs())]
    Silent {
        /// The address.
        endpoint: String,
    },
}
