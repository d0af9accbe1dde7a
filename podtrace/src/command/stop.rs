//! Ends commands that read files, on a signal.
use std::{process, thread};

use anyhow::Context as _;

use super::INTERRUPTED;
use crate::{
    privilege,
    signals::{Signals, Stop},
    tui::leave,
};

/// A signal ends the command with the data read so far, a second one at once.
pub(super) fn stop_on_signal() -> anyhow::Result<Stop> {
    on_signals(|| {
        leave();
        process::exit(INTERRUPTED.into());
    })
}

/// What a signal asks to end. `again`: what further ones do; the first signal is none, even where
/// it was asked to end before, as by a screen that sees its terminal close.
pub(super) fn on_signals(again: impl Fn() + Send + 'static) -> anyhow::Result<Stop> {
    let stop = Stop::new().context("failed to prepare for signals")?;
    let asked = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::listen()?
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            // It needs none; the main thread reports those that cannot be given up.
            let _ = privilege::keep(privilege::NONE);
            runtime.block_on(async {
                signals.next().await;
                asked.set();
                loop {
                    signals.next().await;
                    again();
                }
            });
        })
        .context("failed to start a thread")?;
    Ok(stop)
}
