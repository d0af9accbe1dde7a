//! The wire contract's types as map values.
use podtrace_ebpf::config::{Control, TapState};

/// [`TapState`] as a map value.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct State(pub(super) TapState);

/// [`Control`] as a map value.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct Controlled(pub(super) Control);

// SAFETY: `repr(C)` integers without padding (sizes asserted in podtrace-ebpf);
// any bit pattern is valid.
unsafe impl aya::Pod for State {}
// SAFETY: as above.
unsafe impl aya::Pod for Controlled {}
