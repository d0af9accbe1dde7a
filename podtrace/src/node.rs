//! What the node looks like: namespaces, interfaces, addresses.
pub mod discover;
pub mod links;
pub mod netns;
pub mod watch;
