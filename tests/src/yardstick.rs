//! The reference programs for measuring taps.
use std::{
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use aya::{maps::RingBuf, programs::SchedClassifier};
use podtrace::probe::Probe;
use podtrace_ebpf::config::{MAP_BARE, PROGRAM_BARE, PROGRAM_NOOP};

/// Bytes of the bare tap's ring buffer: more than a turn's records, and as many as the
/// compared ring of a CPU should have, as both are written through.
pub const BARE_BYTES: u32 = 16 << 20;
/// How often the ring buffer is drained: as often as the reader drains ours.
const INTERVAL: Duration = Duration::from_millis(5);

/// The loaded yardsticks, with a reader like a tap's.
pub struct Yardsticks {
    stop: Option<Sender<()>>,
    reader: Option<JoinHandle<()>>,
}

impl Yardsticks {
    /// Loads them, once per probe that was loaded with [`BARE_BYTES`].
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn load(probe: &mut Probe) -> Result<Self> {
        for name in [PROGRAM_NOOP, PROGRAM_BARE] {
            let program = probe.object().program_mut(name);
            let program: &mut SchedClassifier = program.context("no such program")?.try_into()?;
            program.load()?;
        }
        let map = probe.object().take_map(MAP_BARE).context("no such map")?;
        let mut records = RingBuf::try_from(map)?;
        let (stop, stopped) = channel();
        let reader = thread::spawn(move || {
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                while records.next().is_some() {}
            }
        });
        Ok(Self {
            stop: Some(stop),
            reader: Some(reader),
        })
    }
}

impl Drop for Yardsticks {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(reader) = self.reader.take() {
            // It cannot panic.
            let _ = reader.join();
        }
    }
}
