//! How much of what is read is shown.
use clap::{ArgAction, Args};

/// How much of a packet is shown.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct DetailArgs {
    /// Also print each copy of a packet that a bridge sends to many ports
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}
