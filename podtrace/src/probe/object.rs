//! The embedded object; a copy of it is adapted to the running kernel.
mod patch;

use std::io::Read as _;

use flate2::read::GzDecoder;
use podtrace_ebpf::{
    config::{
        CAST_MARKS, FILTER_MARK, FILTER_SLOTS, PROGRAM_EGRESS, PROGRAM_INGRESS, PROGRAM_SOCKET,
    },
    ring::RING_MARK,
};

pub(super) use patch::PatchError;
use patch::{Patch, Within, exactly};

/// The compiled kernel side, by gzip; empty with `AYA_BUILD_SKIP`.
static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/podtrace-ebpf.gz"));

/// The compiled kernel side; none with `AYA_BUILD_SKIP`.
pub(super) fn unpacked() -> Option<Vec<u8>> {
    let mut object = Vec::new();
    GzDecoder::new(PACKED).read_to_end(&mut object).ok()?;
    Some(object)
}

/// The taps: a change applies to all of them.
pub(super) const TAPS: [&str; 3] = [PROGRAM_INGRESS, PROGRAM_EGRESS, PROGRAM_SOCKET];

/// The byte of an instruction with its registers, the source in the upper half.
const REGISTERS: usize = 1;
/// `BPF_CALL | BPF_JMP`, linux/bpf.h.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL` as the source register, in the register byte.
const KFUNC: u8 = 2 << 4;

/// `BPF_STX | BPF_ATOMIC | BPF_DW`, linux/bpf.h.
const ATOMIC: u8 = 0xdb;
/// `BPF_XCHG` and `BPF_ADD | BPF_FETCH`, in the first byte of the immediate value.
const EXCHANGE: u8 = 0xe1;
const FETCH_ADD: u8 = 0x01;
/// `BPF_LDX | BPF_MEM | BPF_DW`.
const LOAD: u8 = 0x79;

/// The section in which aya finds definitions of maps.
const MAPS: &str = "maps";
/// The begin of a map's definition, `struct bpf_map_def` of libbpf: type, length of a key,
/// length of a value.
type Definition = [u32; 3];
/// `BPF_MAP_TYPE_ARRAY`, linux/bpf.h.
const ARRAY: u32 = 2;
/// An array's keys are indices of 32 bits.
const INDEX: u32 = 4;

/// Sets the length of a value in the array whose values have [`RING_MARK`]: aya can set the
/// number of elements, but not their length.
///
/// # Errors
/// When there is not exactly one such array.
pub(super) fn set_values(object: &mut [u8], bytes: u32) -> Result<(), PatchError> {
    let encoded = |definition: Definition| definition.map(u32::to_ne_bytes).concat();
    let patch = Patch {
        purpose: "set the size of the rings",
        within: Within::Section(MAPS),
        mark: &exactly(&encoded([ARRAY, INDEX, RING_MARK])),
    };
    patch.apply(object, |_| encoded([ARRAY, INDEX, bytes]))
}

/// Turns the taps' calls of [`CAST_MARKS`] into calls of the kernel function with this type
/// id. aya does not support calls of kernel functions. The kernel expects: opcode, source
/// register, no offset, type id.
///
/// # Errors
/// When a tap does not have exactly one call of each.
pub(super) fn set_cast(object: &mut [u8], function: u32) -> Result<(), PatchError> {
    let call = |registers, [a, b, c, d]: [u8; 4]| [CALL, registers, 0, 0, a, b, c, d];
    for mark in CAST_MARKS {
        let marked = exactly(&call(0, mark.to_le_bytes()));
        for tap in TAPS {
            let patch = Patch {
                purpose: "call the kernel's cast",
                within: Within::Program(tap),
                mark: &marked,
            };
            patch.apply(object, |_| call(KFUNC, function.to_le_bytes()).to_vec())?;
        }
    }
    Ok(())
}

/// Replaces the taps' atomic operations that return a value by plain instructions: an exchange
/// becomes a load, and an addition returns nothing. `tc::atomic` of the kernel side describes
/// the consequences.
///
/// # Errors
/// When a tap does not have exactly one of each.
pub(super) fn set_plain_atomics(object: &mut [u8]) -> Result<(), PatchError> {
    let any_registers = |operation: [u8; 8]| {
        let mut mark = operation.map(Some);
        mark[REGISTERS] = None;
        mark
    };
    let exchange = any_registers([ATOMIC, 0, 0, 0, EXCHANGE, 0, 0, 0]);
    let fetch_add = any_registers([ATOMIC, 0, 0, 0, FETCH_ADD, 0, 0, 0]);
    for tap in TAPS {
        let within = Within::Program(tap);
        let load = Patch {
            purpose: "load instead of an exchange",
            within,
            mark: &exchange,
        };
        load.apply(object, |place| {
            // The address is in the destination register, the loaded value goes to the source
            // register.
            vec![LOAD, place[REGISTERS].rotate_left(4), 0, 0, 0, 0, 0, 0]
        })?;
        let add = Patch {
            purpose: "add without an answer",
            within,
            mark: &fetch_add,
        };
        add.apply(object, |place| {
            vec![ATOMIC, place[REGISTERS], 0, 0, 0, 0, 0, 0]
        })?;
    }
    Ok(())
}

/// `BPF_ALU64 | BPF_MOV | BPF_K`.
const SET: u8 = 0xb7;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const IF_EQUAL: u8 = 0x15;
/// r5, which a filter leaves to what comes behind it.
const SPARE: u8 = 5;

/// Puts a filter in its place in all taps: a block that control leaves at its end. What is left
/// of the room is behind a branch that is always taken: the verifier refuses instructions
/// that no jump leads to, and passes over those that a known number excludes.
///
/// # Errors
/// When a tap does not have exactly one place, or the filter does not fit.
pub(super) fn set_filter(object: &mut [u8], block: &[[u8; 8]]) -> Result<(), PatchError> {
    let [a, b, c, d] = FILTER_MARK.to_le_bytes();
    let mark = exactly(&[SET, 0, 0, 0, a, b, c, d].repeat(FILTER_SLOTS));
    let mut code = block.to_vec();
    if let Some(rest) = FILTER_SLOTS.checked_sub(block.len() + 2) {
        let [low, high] = (rest as u16).to_le_bytes();
        code.push([SET, SPARE, 0, 0, 0, 0, 0, 0]);
        code.push([IF_EQUAL, SPARE, low, high, 0, 0, 0, 0]);
    }
    for tap in TAPS {
        let patch = Patch {
            purpose: "filter",
            within: Within::Program(tap),
            mark: &mark,
        };
        patch.apply(object, |_| code.concat())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The object as it was built; empty with `AYA_BUILD_SKIP`.
    fn built() -> Vec<u8> {
        unpacked().unwrap_or_default()
    }

    /// The changed instructions, before and after.
    fn changes(object: &[u8]) -> Vec<([u8; 8], [u8; 8])> {
        let built = built();
        let pairs = built.as_chunks().0.iter().zip(object.as_chunks().0);
        let pairs = pairs.map(|(before, after)| (*before, *after));
        pairs.filter(|(before, after)| before != after).collect()
    }

    #[test]
    fn taps_call_the_function() {
        let mut object = built();
        if object.is_empty() {
            return; // AYA_BUILD_SKIP
        }
        set_cast(&mut object, 12345).unwrap();
        let marked = CAST_MARKS.map(|mark| {
            let [a, b, c, d] = mark.to_le_bytes();
            [CALL, 0, 0, 0, a, b, c, d]
        });
        let changes = changes(&object);
        assert_eq!(changes.len(), marked.len() * TAPS.len());
        for (before, after) in changes {
            assert!(marked.contains(&before));
            assert_eq!(after, [CALL, 0x20, 0, 0, 0x39, 0x30, 0, 0]);
        }
        assert!(set_cast(&mut object, 12345).is_err());
    }

    #[test]
    fn atomics_become_plain() {
        let mut object = built();
        if object.is_empty() {
            return; // AYA_BUILD_SKIP
        }
        set_plain_atomics(&mut object).unwrap();
        let changes = changes(&object);
        assert_eq!(changes.len(), 2 * TAPS.len());
        for (before, after) in changes {
            let registers = before[1];
            let plain = match before[4] {
                EXCHANGE => [LOAD, registers.rotate_left(4), 0, 0, 0, 0, 0, 0],
                _ => [ATOMIC, registers, 0, 0, 0, 0, 0, 0],
            };
            assert_eq!(after, plain);
        }
        assert!(set_plain_atomics(&mut object).is_err());
    }

    #[test]
    fn filter_takes_the_place_of_its_mark() {
        let mut object = built();
        if object.is_empty() {
            return; // AYA_BUILD_SKIP
        }
        let block = [[SET, 0, 0, 0, 1, 0, 0, 0]; 3];
        set_filter(&mut object, &block).unwrap();
        assert_eq!(changes(&object).len(), FILTER_SLOTS * TAPS.len());
        assert!(set_filter(&mut object, &block).is_err());
        // All of the room, and one more.
        for (len, fits) in [(FILTER_SLOTS, true), (FILTER_SLOTS + 1, false)] {
            let block = vec![[SET, 0, 0, 0, 1, 0, 0, 0]; len];
            let set = set_filter(&mut built(), &block);
            assert_eq!(set.is_ok(), fits);
        }
    }

    #[test]
    fn only_the_marked_array_gets_other_values() {
        let mut object = built();
        if object.is_empty() {
            return; // AYA_BUILD_SKIP
        }
        set_values(&mut object, 77).unwrap();
        let marks = |object: &[u8]| {
            let words = object.as_chunks().0.iter();
            words
                .filter(|word| **word == RING_MARK.to_ne_bytes())
                .count()
        };
        assert_eq!(changes(&object).len(), 1);
        assert_eq!(marks(&object) + 1, marks(&built()));
        assert!(set_values(&mut object, 77).is_err());
    }
}
