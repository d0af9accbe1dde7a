//! Connections over a network: TLS, with a certificate on either side.
#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod certificate;
#[cfg(feature = "tls")]
mod client;
#[cfg(feature = "tls")]
mod folder;
#[cfg(feature = "tls")]
mod pending;
#[cfg(feature = "tls")]
mod server;
#[cfg(feature = "tls")]
mod words;

#[cfg(not(feature = "tls"))]
pub(super) use absent::{Port, connect};
#[cfg(feature = "tls")]
pub(super) use {client::connect, server::Port};
