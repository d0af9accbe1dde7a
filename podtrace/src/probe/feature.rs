//! Features of the running kernel, probed and not derived from its version: distributions
//! backport features.
use aya::programs::ProgramInfo;
use podtrace_ebpf::config::{PROGRAM_EGRESS, PROGRAM_INGRESS};

use super::sys::{self, Instruction, TcxHook};

/// The taps, which let every packet pass.
const OURS: [&str; 2] = [PROGRAM_INGRESS, PROGRAM_EGRESS];

/// Features not to be used even if the kernel has them, so that their substitutes are tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// Atomic operations that return a value (Linux 5.12).
    pub atomics: bool,
    /// `bpf_cast_to_kern_ctx` (Linux 6.2).
    pub cast: bool,
    /// Values of arrays above 4 MiB (Linux 5.16).
    pub large_values: bool,
}

/// Instructions of linux/bpf.h; the second byte is the source register and, in the
/// lower half, the destination.
mod code {
    use super::Instruction;

    /// r1 = 0
    pub(super) const ZERO: Instruction = [0xb7, 0x01, 0, 0, 0, 0, 0, 0];
    /// *(u64 *)(r10 - 8) = r1
    pub(super) const STORE: Instruction = [0x7b, 0x1a, 0xf8, 0xff, 0, 0, 0, 0];
    /// r1 = xchg_64(r10 - 8, r1)
    pub(super) const EXCHANGE: Instruction = [0xdb, 0x1a, 0xf8, 0xff, 0xe1, 0, 0, 0];
    /// r0 = 0
    pub(super) const RESULT: Instruction = [0xb7, 0x00, 0, 0, 0, 0, 0, 0];
    /// exit
    pub(super) const EXIT: Instruction = [0x95, 0, 0, 0, 0, 0, 0, 0];
}

/// Whether there are atomic operations that return a value.
#[must_use]
pub fn has_atomics() -> bool {
    use code::{EXCHANGE, EXIT, RESULT, STORE, ZERO};
    sys::load(&[ZERO, STORE, EXCHANGE, RESULT, EXIT]).is_ok()
}

/// Whether a program is a tap of this podtrace or another.
pub(super) fn is_ours(program: &ProgramInfo) -> bool {
    OURS.contains(&program.name_as_str().unwrap_or_default())
}

/// The loopback interface has this index in every namespace.
const LOOPBACK: u32 = 1;

/// Whether programs can be attached by TCX.
pub(super) fn has_tcx() -> bool {
    sys::tcx_programs(LOOPBACK, TcxHook::Ingress).is_ok()
}
