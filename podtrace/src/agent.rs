//! Agents of nodes: what a console asks them, over which connection, and what they answer.
//!
//! An agent is a process of its own for each console's trace: `podtrace record` to a pipe, whose
//! session it hands on. So what a console sees is what a recording would hold, in its format, and
//! nothing of a trace outlives its process.
mod address;
mod budget;
mod client;
mod consoles;
mod error;
mod journal;
mod listen;
mod message;
mod peer;
mod probe;
mod request;
mod reread;
mod server;
#[cfg(test)]
mod tests;
mod tls;
mod trace;

pub use address::Address;
pub use budget::Budget;
pub use client::{Agent, Allow, Control, Sender};
pub use error::AgentError;
pub use listen::{Listener, serve};
pub use message::{Asked, Taken};
pub use request::Request;
pub use server::ServeOptions;

/// The protocol, of `podtrace/proto/agent.proto`.
#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    unused_qualifications,
    reason = "it is generated"
)]
mod proto {
    tonic::include_proto!("podtrace.agent.v1");
}
