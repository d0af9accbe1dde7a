//! Whether the traffic that networks send for themselves is shown.
use clap::Args;

/// Whether control traffic is shown.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ControlArgs {
    /// Leave out what the network sends for itself: ARP, neighbour discovery and router
    /// solicitations, MLD, IGMP, STP, LLDP. It counts as filtered, and is not recorded either
    #[arg(long, help_heading = "Filter")]
    pub no_control: bool,
}
