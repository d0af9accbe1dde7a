//! Options of `doctor`.
use clap::{Args, ValueEnum};

use super::Color;

/// Options of `doctor`.
#[derive(Clone, Copy, Debug, Args)]
pub struct DoctorArgs {
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: DoctorFormat,
    /// When to use colours; NO_COLOR turns them off
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// Output formats of `doctor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DoctorFormat {
    /// A line for each thing, for humans
    Text,
    /// One JSON document
    Json,
}
