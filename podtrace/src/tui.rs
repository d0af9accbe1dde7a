//! A screen: the packets as they come, the road of the chosen one, and the flows.
//!
//! The pipeline hands paths in words to a bounded queue and goes on; a thread of its own keeps
//! the newest, draws them, and listens to keys.
#[cfg(any(test, not(feature = "tui")))]
mod absent;
#[cfg(feature = "tui")]
mod consumer;
#[cfg(feature = "tui")]
mod entry;
#[cfg(feature = "tui")]
mod events;
#[cfg(feature = "tui")]
mod filter;
#[cfg(feature = "tui")]
mod headers;
#[cfg(feature = "tui")]
mod input;
#[cfg(feature = "tui")]
mod keys;
mod options;
#[cfg(feature = "tui")]
mod paint;
#[cfg(feature = "tui")]
mod run;
#[cfg(feature = "tui")]
mod screen;
#[cfg(feature = "tui")]
mod share;
#[cfg(feature = "tui")]
mod shared;
#[cfg(feature = "tui")]
mod state;
#[cfg(feature = "tui")]
mod store;
#[cfg(feature = "tui")]
mod terminal;
#[cfg(feature = "tui")]
mod view;

#[cfg(not(feature = "tui"))]
pub(crate) use absent::{Screen, leave};
pub(crate) use options::{Limits, Options, ScreenError, Words};
#[cfg(feature = "tui")]
pub(crate) use screen::Screen;
#[cfg(feature = "tui")]
pub(crate) use terminal::leave;
#[cfg(all(test, feature = "tui"))]
pub(crate) use view::tests::picture;
