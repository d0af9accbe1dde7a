//! The nodes whose interfaces are traced, and the interfaces to tap.
use std::sync::Arc;

use crate::{model::tap_point::TapPoint, netns::NetNs};

/// A node whose interfaces are traced.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name in the output.
    pub name: Arc<str>,
    /// Its network namespace.
    pub netns: NetNs,
}

/// A tap point, with the data needed to attach to it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The tap point.
    pub point: TapPoint,
    /// Its namespace, to be closed soon; none if an earlier scan has given it.
    pub netns: Option<NetNs>,
    /// The interface's name as the kernel has it.
    pub device: String,
    /// Number of packets that it had sent and received.
    pub packets: u64,
}
