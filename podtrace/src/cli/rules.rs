//! Options that find the rules by which firewalls drop packets.
use clap::Args;

/// Which rules drop packets.
#[derive(Clone, Copy, Debug, Args)]
pub struct RulesArgs {
    /// Name the firewall rule that drops a packet. While podtrace runs, this adds a table of nftables
    /// to the node and each of its pods, which marks packets for the kernel to trace: those of the
    /// filter expression, 1000 a second at most in each. The kernel removes it with podtrace, also
    /// after SIGKILL (Linux 5.12)
    #[arg(long, help_heading = "Kernel")]
    pub trace_rules: bool,
}
