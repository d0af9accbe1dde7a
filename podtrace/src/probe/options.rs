//! Options for loading the programs.
use super::feature::Without;
use crate::{filter::Block, packet::VxlanPorts};

/// Options for loading.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    /// Upper bound of the bytes captured of each packet.
    pub snaplen: u32,
    /// Approximate bytes of all rings together: the size of each is rounded down to a power of
    /// two.
    pub ring_bytes: u32,
    /// Upper bound of the interfaces with taps at the same time.
    pub max_interfaces: u32,
    /// Whether only headers are captured, with [`podtrace_ebpf::config::KEY_PAYLOAD`] bytes
    /// behind them.
    pub headers_only: bool,
    /// What a packet must match by its innermost network header, as a block of instructions.
    pub filter: Option<Block>,
    /// Whether the packets that the kernel drops are told.
    pub drops: bool,
    /// UDP ports of VXLAN in addition to those of interfaces.
    pub vxlan_ports: VxlanPorts,
    /// Whether the kernel side's log is enabled.
    pub diagnostics: bool,
    /// Features not to be used even if the kernel has them.
    pub without: Without,
    /// Bytes of the ring buffer of [`podtrace_ebpf::config::PROGRAM_BARE`], if it is loaded.
    pub bare_bytes: Option<u32>,
}
