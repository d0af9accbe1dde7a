//! What ends at a signal.
use anyhow::Context as _;

use crate::{
    command::{FINE, INTERRUPTED},
    signals::{Signals, Stop},
};

/// Runs some work until a signal comes; returns the exit code. `stop`: whether one came before.
pub(super) fn until_signal(
    stop: &Stop,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let code = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        // It may have come before somebody listened here.
        if stop.is_set() {
            return Ok(INTERRUPTED);
        }
        tokio::select! {
            () = signals.next() => Ok(INTERRUPTED),
            done = work => done.map(|()| FINE),
        }
    });
    // What still computes is of no use to anybody.
    runtime.shutdown_background();
    code
}
