//! The state of a node: namespaces, interfaces, addresses, processes.
#[doc(hidden)]
pub mod answers;
pub(crate) mod conntrack;
pub mod discover;
pub mod links;
pub mod pod_table;
pub mod processes;
pub(crate) mod ruleset;
mod settings;
pub mod tables;
pub mod target;
pub mod topology;
pub mod uplinks;
pub mod watch;
