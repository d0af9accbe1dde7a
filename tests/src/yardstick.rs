//! The programs that taps are measured against.
use anyhow::{Context as _, Result};
use aya::{
    maps::{MapData, RingBuf},
    programs::SchedClassifier,
};
use podtrace::probe::Probe;
use podtrace_ebpf::config::{MAP_BARE, PROGRAM_BARE, PROGRAM_NOOP};

/// Bytes of the bare tap's ring buffer: more than a turn's records, and as many as
/// the ring of a CPU should have beside it, as both are written through.
pub const BARE_BYTES: u32 = 16 << 20;

/// The yardsticks, loaded.
pub struct Yardsticks {
    records: RingBuf<MapData>,
}

impl Yardsticks {
    /// Loads them, once for a probe that was loaded with [`BARE_BYTES`].
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
        let records = RingBuf::try_from(map)?;
        Ok(Self { records })
    }

    /// Makes room for the next turn of the bare tap.
    pub fn drain(&mut self) {
        while self.records.next().is_some() {}
    }
}
