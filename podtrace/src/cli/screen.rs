//! Options of the screen.
use clap::Args;

/// Whether there is a screen.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ScreenArgs {
    /// Show a screen instead: a list of packets that follows, scrolls and is filtered as one types,
    /// the road of the chosen packet with the time of each leg, and the flows. ? lists the keys
    #[arg(long, conflicts_with_all = ["output", "quiet_hops", "hex", "ascii", "hex_and_ascii",
          "link_level", "absolute_seq", "relative_seq", "quiet"])]
    pub tui: bool,
}
