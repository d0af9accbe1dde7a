//! Ends commands that read files, on a signal.
use std::{process, thread};

use anyhow::Context as _;

use super::INTERRUPTED;
use crate::signals::{Signals, Stop};

/// A signal ends the command with the data read so far, a second one at once.
pub(super) fn stop_on_signal() -> anyhow::Result<Stop> {
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
            runtime.block_on(async {
                loop {
                    signals.next().await;
                    if asked.set() {
                        process::exit(INTERRUPTED.into());
                    }
                }
            });
        })
        .context("failed to start a thread")?;
    Ok(stop)
}
