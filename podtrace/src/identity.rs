//! Identities of pods, containers and nodes, by namespace, address and socket.
pub mod addresses;
pub mod cri;
pub(crate) mod events;
pub mod identities;
pub mod kubernetes;
pub mod local_pods;
pub mod runtime;
pub mod sockets;
