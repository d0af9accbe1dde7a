//! The wire contract's types as map keys and values.
use podtrace_ebpf::config::{TapKey, TapState};

/// [`TapKey`] as a map key.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct Key(pub(super) TapKey);

/// [`TapState`] as a map value.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct State(pub(super) TapState);

// SAFETY: `repr(C)` integers without padding (sizes asserted in podtrace-ebpf);
// any bit pattern is valid.
unsafe impl aya::Pod for Key {}
// SAFETY: as above.
unsafe impl aya::Pod for State {}
