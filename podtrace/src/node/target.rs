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

/// A tap point and what attaching to it takes, for the moment.
#[derive(Clone, Debug)]
pub struct Target {
    /// The tap point.
    pub point: TapPoint,
    /// Its namespace, to be let go soon; none where an earlier look has given it.
    pub netns: Option<NetNs>,
    /// The interface's name as the kernel has it.
    pub device: String,
    /// How many packets it had sent and received by then.
    pub packets: u64,
}
