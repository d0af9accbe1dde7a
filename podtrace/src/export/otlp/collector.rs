//! Sends batches to a collector, by gRPC.
use std::str::FromStr;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};
use tonic::{
    Status,
    transport::{Channel, Endpoint as Address},
};

use super::{
    error::{CollectorError, PATIENCE},
    receiver::Receiver,
};
use crate::export::ExportError;

/// The port of OTLP over HTTP, which is something else.
const HTTP_PORT: u16 = 4318;

/// The address of a collector.
#[derive(Clone, Debug)]
pub struct Endpoint {
    address: Address,
    text: String,
    hint: &'static str,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err(
                "must be http: podtrace sends without TLS, to a collector that is near \
                 and goes on with it, as http://127.0.0.1:4317"
                    .to_owned(),
            );
        }
        let wrong = || "must be a collector's address, as http://127.0.0.1:4317".to_owned();
        let address = Address::from_shared(text.to_owned());
        let address = address.ok().ok_or_else(wrong)?;
        let uri = address.uri();
        let port = uri.port_u16().filter(|port| *port > 0);
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        let is_bare = uri.path() == "/" && uri.query().is_none();
        if uri.scheme_str() != Some("http") || port.is_none() || !has_host || !is_bare {
            return Err(wrong());
        }
        let hint = match port {
            Some(HTTP_PORT) => "\nhint: 4318 is the port of OTLP by HTTP; by gRPC it is 4317",
            _ => "",
        };
        Ok(Self {
            address: address.connect_timeout(PATIENCE),
            text: text.to_owned(),
            hint,
        })
    }
}

/// A collector that is connected.
pub struct Collector {
    runtime: Runtime,
    client: TraceServiceClient<Channel>,
    endpoint: Endpoint,
}

impl Collector {
    /// Connects.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn connect(endpoint: Endpoint) -> Result<Self, ExportError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let channel = runtime.block_on(endpoint.address.connect());
        let channel = channel.map_err(|source| CollectorError::NotReached {
            endpoint: endpoint.text.clone(),
            source,
        })?;
        Ok(Self {
            runtime,
            client: TraceServiceClient::new(channel),
            endpoint,
        })
    }

    fn refused(&self, status: &Status) -> CollectorError {
        CollectorError::Refused {
            endpoint: self.endpoint.text.clone(),
            status: format!("{} ({})", status.message(), status.code()),
            hint: self.endpoint.hint,
        }
    }
}

impl Receiver for Collector {
    fn take(&mut self, batch: ExportTraceServiceRequest) -> Result<u64, ExportError> {
        let Self {
            runtime, client, ..
        } = self;
        let answer = runtime.block_on(async { timeout(PATIENCE, client.export(batch)).await });
        let Ok(answer) = answer else {
            let endpoint = self.endpoint.text.clone();
            return Err(CollectorError::Silent { endpoint }.into());
        };
        let answer = answer.map_err(|status| self.refused(&status))?;
        let partial = answer.into_inner().partial_success;
        let rejected = partial.map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(rejected).unwrap_or(0))
    }

    fn finish(&mut self) -> Result<(), ExportError> {
        Ok(())
    }
}
