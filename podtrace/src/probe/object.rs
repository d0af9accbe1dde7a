//! The embedded object, fitted to the running kernel: a copy of it is changed.
use podtrace_ebpf::{config::CAST_MARK, ring::RING_MARK};

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

/// How a map's definition begins, `struct bpf_map_def` of libbpf: type, length of a
/// key, length of a value.
type Definition = [u32; 3];
/// `BPF_MAP_TYPE_ARRAY`, linux/bpf.h.
const ARRAY: u32 = 2;
/// An array's keys are indices of 32 bits.
const INDEX: u32 = 4;

/// Makes values of so many bytes those of the array whose values have [`RING_MARK`]:
/// aya takes other numbers of elements, but no other length.
pub(super) fn set_values(object: &mut [u8], bytes: u32) {
    let encoded = |definition: Definition| definition.map(u32::to_ne_bytes).concat();
    let marked = encoded([ARRAY, INDEX, RING_MARK]);
    let wanted = encoded([ARRAY, INDEX, bytes]);
    // Definitions are aligned as their numbers are.
    for at in (0..object.len()).step_by(size_of::<u32>()) {
        if object[at..].starts_with(&marked) {
            object[at..at + wanted.len()].copy_from_slice(&wanted);
        }
    }
}

/// Makes calls of [`CAST_MARK`] calls of the kernel function of this type id, if there
/// is one. aya knows no calls of kernel functions, which the kernel takes as: opcode,
/// source register, no offset, type id.
pub(super) fn set_cast(object: &mut [u8], function: Option<u32>) {
    let Some(id) = function else {
        return;
    };
    let mut marked = [CALL, 0, 0, 0, 0, 0, 0, 0];
    marked[4..].copy_from_slice(&CAST_MARK.to_le_bytes());
    let mut call = [CALL, KFUNC, 0, 0, 0, 0, 0, 0];
    call[4..].copy_from_slice(&id.to_le_bytes());
    // Instructions are 8 bytes long and stand at multiples of 8.
    for instruction in object.as_chunks_mut().0 {
        if *instruction == marked {
            *instruction = call;
        }
    }
}

/// Makes plain instructions of the atomic operations that return a value: an exchange
/// becomes a load, and an addition returns nothing. See `tc::atomic` of the kernel side
/// for what that means.
pub(super) fn set_plain_atomics(object: &mut [u8]) {
    for instruction in object.as_chunks_mut().0 {
        match *instruction {
            [ATOMIC, registers, 0, 0, EXCHANGE, 0, 0, 0] => {
                // The address comes from the destination, what is loaded goes to the source.
                *instruction = [LOAD, registers.rotate_left(4), 0, 0, 0, 0, 0, 0];
            }
            [ATOMIC, registers, 0, 0, FETCH_ADD, 0, 0, 0] => {
                *instruction = [ATOMIC, registers, 0, 0, 0, 0, 0, 0];
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_calls_are_replaced() {
        let mark = CAST_MARK.to_le_bytes();
        let helper = [CALL, 0, 0, 0, 5, 0, 0, 0];
        let load = [0x18, 1, 0, 0, mark[0], mark[1], mark[2], mark[3]];
        let marked = [CALL, 0, 0, 0, mark[0], mark[1], mark[2], mark[3]];
        let mut object = [helper, marked, load].concat();
        set_cast(&mut object, None);
        assert_eq!(object, [helper, marked, load].concat());
        set_cast(&mut object, Some(12345));
        let call = [CALL, 0x20, 0, 0, 0x39, 0x30, 0, 0];
        assert_eq!(object, [helper, call, load].concat());
    }

    #[test]
    fn atomics_become_plain() {
        let add = [ATOMIC, 0x21, 0, 0, 0, 0, 0, 0];
        let elsewhere = [ATOMIC, 0x21, 8, 0, EXCHANGE, 0, 0, 0];
        let exchange = [ATOMIC, 0x21, 0, 0, EXCHANGE, 0, 0, 0];
        let fetch = [ATOMIC, 0x34, 0, 0, FETCH_ADD, 0, 0, 0];
        let mut object = [add, exchange, fetch, elsewhere].concat();
        set_plain_atomics(&mut object);
        let load = [LOAD, 0x12, 0, 0, 0, 0, 0, 0];
        let plain = [ATOMIC, 0x34, 0, 0, 0, 0, 0, 0];
        assert_eq!(object, [add, load, plain, elsewhere].concat());
    }

    #[test]
    fn only_the_marked_array_gets_other_values() {
        let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut object: Vec<u8> = bytes(&[9, 2, 4, RING_MARK, 1, 2, 4, 8, 1, 4, RING_MARK]);
        set_values(&mut object, 77);
        let expected: Vec<u8> = bytes(&[9, 2, 4, 77, 1, 2, 4, 8, 1, 4, RING_MARK]);
        assert_eq!(object, expected);
    }
}
