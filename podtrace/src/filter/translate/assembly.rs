//! Instructions of eBPF, and jumps to what is not emitted yet.
use super::INSTRUCTION;

/// Registers, by their numbers.
pub(super) const VERDICT: u8 = 0;
pub(super) const BYTES: u8 = 1;
pub(super) const LOADED: u8 = 2;
pub(super) const LENGTH: u8 = 3;
pub(super) const TYPE: u8 = 4;
pub(super) const SCRATCH: u8 = 5;
pub(super) const A: u8 = 6;
pub(super) const X: u8 = 7;
pub(super) const FRAME: u8 = 10;

// Codes of instructions, linux/bpf.h and linux/bpf_common.h.
pub(super) const ALU32: u8 = 0x04;
pub(super) const ALU64: u8 = 0x07;
pub(super) const JMP: u8 = 0x05;
pub(super) const JMP32: u8 = 0x06;
pub(super) const LDX: u8 = 0x61;
pub(super) const STX: u8 = 0x63;
pub(super) const ST: u8 = 0x62;
pub(super) const FROM_REGISTER: u8 = 0x08;
pub(super) const ADD: u8 = 0x00;
pub(super) const AND: u8 = 0x50;
pub(super) const LEFT: u8 = 0x60;
pub(super) const NEGATE: u8 = 0x80;
pub(super) const MOVE: u8 = 0xb0;
/// `BPF_ALU | BPF_END | BPF_TO_BE`.
pub(super) const TO_BIG_ENDIAN: u8 = 0xdc;
pub(super) const ALWAYS: u8 = 0x00;
pub(super) const EQUAL: u8 = 0x10;
pub(super) const GREATER: u8 = 0x20;
pub(super) const GREATER_OR_EQUAL: u8 = 0x30;
pub(super) const ANY_BIT: u8 = 0x40;
pub(super) const NOT_EQUAL: u8 = 0x50;
pub(super) const LESS: u8 = 0xa0;
pub(super) const LESS_OR_EQUAL: u8 = 0xb0;

/// Where a jump goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// The translation of that operation.
    Operation(usize),
    Match,
    NoMatch,
    /// A read went past the loaded bytes.
    Beyond,
    End,
    /// So many instructions ahead.
    Ahead(i16),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Emitted {
    pub(super) code: u8,
    pub(super) destination: u8,
    pub(super) source: u8,
    pub(super) offset: i16,
    pub(super) immediate: u32,
    /// Of a jump.
    pub(super) to: Option<Label>,
}

#[derive(Default)]
pub(super) struct Translation {
    pub(super) code: Vec<Emitted>,
}

impl Translation {
    pub(super) fn emit(
        &mut self,
        code: u8,
        destination: u8,
        source: u8,
        offset: i16,
        immediate: u32,
    ) {
        self.code.push(Emitted {
            code,
            destination,
            source,
            offset,
            immediate,
            to: None,
        });
    }

    /// A computation with a constant, in 32 bits.
    pub(super) fn alu(&mut self, operator: u8, destination: u8, constant: u32) {
        self.emit(ALU32 | operator, destination, 0, 0, constant);
    }

    /// A computation with a register, in 32 bits.
    pub(super) fn alu_register(&mut self, operator: u8, destination: u8, source: u8) {
        self.emit(ALU32 | operator | FROM_REGISTER, destination, source, 0, 0);
    }

    /// A jump on a comparison of a register with a constant.
    pub(super) fn jump_if(&mut self, class: u8, test: u8, register: u8, constant: u32, to: Label) {
        self.emit(class | test, register, 0, 0, constant);
        self.target(to);
    }

    pub(super) fn jump_if_register(&mut self, class: u8, test: u8, left: u8, right: u8, to: Label) {
        self.emit(class | test | FROM_REGISTER, left, right, 0, 0);
        self.target(to);
    }

    pub(super) fn jump(&mut self, to: Label) {
        self.emit(JMP | ALWAYS, 0, 0, 0, 0);
        self.target(to);
    }

    pub(super) fn target(&mut self, to: Label) {
        if let Some(last) = self.code.last_mut() {
            last.to = Some(to);
        }
    }

    pub(super) fn has(&self, label: Label) -> bool {
        self.code.iter().any(|emitted| emitted.to == Some(label))
    }
}

impl Emitted {
    /// `struct bpf_insn`, linux/bpf.h, on a little-endian machine.
    pub(super) fn encode(&self, offset: i16) -> [u8; INSTRUCTION] {
        let [low, high] = offset.to_le_bytes();
        let [a, b, c, d] = self.immediate.to_le_bytes();
        let registers = self.source << 4 | self.destination;
        [self.code, registers, low, high, a, b, c, d]
    }
}
