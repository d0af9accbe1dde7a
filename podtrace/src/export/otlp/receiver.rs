//! Who takes spans.
use std::io::{self, Write};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::export::ExportError;

/// Takes batches of spans.
pub trait Receiver {
    /// Takes a batch; returns how many of its spans were refused.
    ///
    /// # Errors
    /// When it cannot be delivered.
    fn take(&mut self, batch: ExportTraceServiceRequest) -> Result<u64, ExportError>;

    /// Hands on what it has kept.
    ///
    /// # Errors
    /// When that fails.
    fn finish(&mut self) -> Result<(), ExportError>;
}

/// A file as the OpenTelemetry protocol's file exporter writes it: a batch a line, as JSON.
pub struct Lines<W>(pub W);

impl<W: Write> Receiver for Lines<W> {
    fn take(&mut self, batch: ExportTraceServiceRequest) -> Result<u64, ExportError> {
        let line = serde_json::to_string(&batch).map_err(io::Error::from)?;
        writeln!(self.0, "{line}")?;
        Ok(0)
    }

    fn finish(&mut self) -> Result<(), ExportError> {
        Ok(self.0.flush()?)
    }
}
