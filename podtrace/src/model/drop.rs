//! Drops of packets that the kernel reports.
use crate::packet::PacketKey;

/// The kernel's record of a packet that it has dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropRecord {
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub ts_ns: u64,
    /// Number of the node.
    pub node: usize,
    /// Id of the network namespace, if it is known.
    pub netns: Option<u64>,
    /// Index of the interface there. It often is the next one already.
    pub ifindex: Option<u32>,
    /// The reason by its name in the kernel, such as `NETFILTER_DROP`; safe for a terminal.
    pub reason: String,
    /// The function that dropped it, if it is known; safe for a terminal.
    pub function: Option<String>,
    /// The packet, of one in a tunnel the inner one.
    pub key: PacketKey,
}
