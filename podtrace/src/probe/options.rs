//! How the programs are loaded.
use super::feature::Without;

/// How to load.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    /// Bytes captured of each packet, at most.
    pub snaplen: u32,
    /// Bytes of the rings of all CPUs together, about: each has the next smaller
    /// power of two.
    pub ring_bytes: u32,
    /// How many interfaces may have taps at the same time.
    pub max_interfaces: u32,
    /// Whether only headers are captured, with [`podtrace_ebpf::config::KEY_PAYLOAD`] bytes
    /// behind them.
    pub headers_only: bool,
    /// Whether the kernel side's diagnostics are wanted.
    pub diagnostics: bool,
    /// What is not to be used even where the kernel has it.
    pub without: Without,
    /// Bytes of the ring buffer of [`podtrace_ebpf::config::PROGRAM_BARE`], if it is to run.
    pub bare_bytes: Option<u32>,
}
