//! How wide the output may be.
use std::io;

use terminal_size::{Width as Columns, terminal_size_of};

/// Terminals that claim to have fewer columns are taken to have this many.
const COLUMNS_MIN: usize = 20;

/// How wide lines may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Width {
    /// As wide as they are: the output is no terminal.
    #[default]
    Any,
    /// This many columns.
    Columns(usize),
    /// As many columns as the terminal at standard output has, which may change.
    Terminal,
}

impl Width {
    /// The number of columns now, if there is a bound.
    #[must_use]
    pub fn columns(self) -> Option<usize> {
        match self {
            Self::Any => None,
            Self::Columns(columns) => Some(columns),
            Self::Terminal => {
                let size = terminal_size_of(io::stdout());
                size.map(|(Columns(columns), _)| usize::from(columns).max(COLUMNS_MIN))
            }
        }
    }
}
