//! What the node looks like: namespaces, interfaces, addresses.
pub mod netns;
