//! How a screen is set up.
use thiserror::Error;

use crate::{output::text::TimeFormat, replay::options::Moment};

/// Why there is no screen.
#[derive(Debug, Error)]
pub(crate) enum ScreenError {
    /// There is nowhere to draw, or nobody to press a key.
    #[cfg_attr(not(feature = "tui"), expect(dead_code, reason = "there is no screen"))]
    #[error(
        "--tui takes a terminal on standard input and standard output\n\
         hint: -o compact prints a line for each packet, -o json is for other programs"
    )]
    NoTerminal,
    /// The screen was left out of this podtrace.
    #[cfg_attr(
        all(feature = "tui", not(test)),
        expect(dead_code, reason = "there is a screen")
    )]
    #[error(
        "this podtrace is built without a screen\n\
         hint: build it with the feature tui, as a plain cargo build --release does"
    )]
    NoScreen,
}

/// How paths are put in words.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(not(feature = "tui"), expect(dead_code, reason = "there is no screen"))]
pub(crate) struct Words {
    /// Whether there are colours.
    pub(crate) color: bool,
    /// Addresses only, no names of pods.
    pub(crate) numeric: bool,
    /// How times are shown.
    pub(crate) time: TimeFormat,
    /// UTC nanoseconds at zero of the events' clock.
    pub(crate) epoch_ns: i128,
}

/// The memory that a screen takes at most, in bytes.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "tui"), expect(dead_code, reason = "there is no screen"))]
pub(crate) struct Limits {
    /// Of the paths that can be looked at.
    pub(crate) list_bytes: usize,
    /// Of their headers, for a filter.
    pub(crate) header_bytes: usize,
    /// Of the paths that the screen has not taken yet.
    pub(crate) queue_bytes: usize,
    /// Whether the pipeline waits for room there.
    pub(crate) waits: bool,
}

impl Limits {
    /// Of a live trace, which waits for nobody.
    pub(crate) const LIVE: Self = Self {
        list_bytes: 16 << 20,
        header_bytes: 8 << 20,
        queue_bytes: 8 << 20,
        waits: false,
    };
    /// Of a replay.
    pub(crate) const REPLAY: Self = Self {
        list_bytes: 64 << 20,
        header_bytes: 32 << 20,
        queue_bytes: 8 << 20,
        waits: true,
    };
}

/// Options of a screen.
#[derive(Debug)]
#[cfg_attr(not(feature = "tui"), expect(dead_code, reason = "there is no screen"))]
pub(crate) struct Options {
    /// What is shown, until the pipeline says more: `trace`.
    pub(crate) of: &'static str,
    pub(crate) words: Words,
    pub(crate) limits: Limits,
    /// UDP ports of VXLAN that the user named.
    pub(crate) vxlan_ports: Vec<u16>,
    /// Whether a recording is shown that can be read again from any time on.
    pub(crate) rereads: bool,
    /// Reads a time that the user types.
    pub(crate) moment: fn(&str) -> Result<Moment, String>,
}
