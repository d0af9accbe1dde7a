//! Stands in for the screen in a podtrace that is built without it.
#![cfg_attr(
    feature = "tui",
    expect(dead_code, reason = "a podtrace with a screen only tests it")
)]

use std::{convert::Infallible, io};

use super::{Options, ScreenError};
use crate::{pipeline::consumer::Consumer, signals::Stop};

/// Stands in for the missing screen.
pub(crate) struct Screen {
    never: Infallible,
}

impl Screen {
    /// Makes none.
    pub(crate) fn new(_: Options) -> Result<Self, ScreenError> {
        Err(ScreenError::NoScreen)
    }

    /// Opens nothing: the screen is missing.
    pub(crate) fn open(
        &mut self,
        _: Stop,
        _: Box<dyn Fn() + Send>,
    ) -> io::Result<Box<dyn Consumer>> {
        match self.never {}
    }

    /// Feeds nothing: the screen is missing.
    pub(crate) fn feeder(&self) -> Box<dyn Consumer> {
        match self.never {}
    }

    /// Waits for nobody: the screen is missing.
    pub(crate) fn next_part(&self) -> Option<u64> {
        match self.never {}
    }

    /// Shows nothing: the screen is missing.
    pub(crate) fn progress(&self) -> Box<dyn Fn(String) + Send> {
        match self.never {}
    }

    /// Waits for nobody: the screen is missing.
    pub(crate) fn wait(self) -> io::Result<String> {
        match self.never {}
    }
}

/// Gives back what was not taken.
pub(crate) fn leave() {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::{Limits, Words};

    #[test]
    fn screen_is_refused_with_how_to_have_it() {
        let options = Options {
            of: "trace",
            words: Words::default(),
            limits: Limits::LIVE,
            vxlan_ports: Vec::new(),
            rereads: false,
            moment: |_| Err(String::new()),
        };
        let error = Screen::new(options).err().unwrap();
        let says = "this podtrace is built without a screen\n\
                    hint: build it with the feature tui, as a plain cargo build --release does";
        assert_eq!(error.to_string(), says);
    }
}
