//! Translates a program to eBPF.
//!
//! The translation reads from bytes that the program around it has loaded. It is one block that
//! control enters at the begin and leaves at the end, so it has no `exit`.
//!
//! | register | on entry | inside |
//! |---|---|---|
//! | r0 | | scratch; on leaving 1 for a match, else 0 |
//! | r1 | the address of the bytes: [`WINDOW`] can be read | the same |
//! | r2 | how many of them are the packet's | the same |
//! | r3 | the packet's length on the wire | the same |
//! | r4 | its type: `PACKET_OUTGOING` or 0 | the same |
//! | r5 | | scratch |
//! | r6, r7 | | A and X: the upper halves are always zero |
//! | r10 | the frame | words of the scratch memory below it |
mod assembly;

use podtrace_ebpf::config::FILTER_WINDOW;
use thiserror::Error;

use assembly::{
    A, ADD, ALU64, AND, ANY_BIT, BYTES, EQUAL, FRAME, FROM_REGISTER, GREATER, GREATER_OR_EQUAL,
    JMP, JMP32, LDX, LEFT, LENGTH, LESS, LESS_OR_EQUAL, LOADED, Label, MOVE, NEGATE, NOT_EQUAL,
    SCRATCH, ST, STX, TO_BIG_ENDIAN, TYPE, Translation, VERDICT, X,
};

use super::classic::{Operand, Operation, Operator, Program, Register, Size, Test, Value, WORDS};

/// How many bytes of a packet a translation can read.
pub const WINDOW: u32 = FILTER_WINDOW as u32;

/// Bytes of an instruction.
pub const INSTRUCTION: usize = 8;

/// What a read past the loaded bytes means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// No match: the loaded bytes are all that there is.
    NoMatch,
    /// A match if the packet is longer than what was loaded: others decide who have more of it.
    Unknown,
}

/// A program as a block of eBPF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its instructions.
    pub code: Vec<[u8; INSTRUCTION]>,
    /// Whether it reads at offsets that the packet tells.
    pub is_indexed: bool,
}

/// Why there is no translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TranslateError {
    /// A jump goes back.
    #[error("protochain follows headers in a loop, which the kernel's verifier refuses")]
    Loop,
    /// A jump is longer than an instruction can say.
    #[error("it is too long: {0} instructions")]
    TooLong(usize),
}

/// Translates a program.
///
/// # Errors
/// When it has a loop, or is too long.
pub(super) fn translate(program: &Program, beyond: Beyond) -> Result<Block, TranslateError> {
    let operations = program.operations();
    let reached = reached(operations)?;
    let mut translation = Translation::default();
    translation.zero(operations);
    let mut begins = vec![0; operations.len()];
    for (at, operation) in operations.iter().enumerate() {
        if reached.get(at) == Some(&true) {
            begins[at] = translation.code.len();
            translation.operation(*operation, at + 1);
        }
    }
    let is_indexed =
        |operation: &Operation| matches!(operation, Operation::Load { indexed: true, .. });
    Ok(Block {
        code: translation.finish(&begins, beyond)?,
        is_indexed: operations.iter().any(is_indexed),
    })
}

/// Whether an operation can be reached: verifiers refuse what cannot.
fn reached(operations: &[Operation]) -> Result<Vec<bool>, TranslateError> {
    let mut reached = vec![false; operations.len()];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for (at, operation) in operations.iter().enumerate() {
        if reached.get(at) != Some(&true) {
            continue;
        }
        let targets = match *operation {
            Operation::Return(_) | Operation::ReturnA => [None, None],
            Operation::Jump(target) => [Some(target), None],
            Operation::Branch { yes, no, .. } => [Some(yes), Some(no)],
            _ if never_goes_on(*operation) => [None, None],
            _ => [Some(at + 1), None],
        };
        for target in targets.into_iter().flatten() {
            if target <= at {
                return Err(TranslateError::Loop);
            }
            if let Some(target) = reached.get_mut(target) {
                *target = true;
            }
        }
    }
    Ok(reached)
}

/// Whether an operation always ends the program: it reads behind the window, or divides by
/// zero.
fn never_goes_on(operation: Operation) -> bool {
    match operation {
        Operation::Load { offset, size, .. } => end_in_window(offset, size).is_none(),
        Operation::HeaderLength(offset) => end_in_window(offset, Size::Byte).is_none(),
        Operation::Compute(operator, Operand::Constant(0)) => {
            matches!(operator, Operator::Divide | Operator::Modulo)
        }
        _ => false,
    }
}

impl Translation {
    /// Zeroes both registers and the words that are read.
    fn zero(&mut self, operations: &[Operation]) {
        self.alu(MOVE, A, 0);
        self.alu(MOVE, X, 0);
        let is_read = |word: usize| {
            let sets = operations.iter();
            sets.filter_map(|operation| match operation {
                Operation::Set(_, Value::Memory(read)) => Some(*read),
                _ => None,
            })
            .any(|read| read == word)
        };
        for word in (0..WORDS).filter(|word| is_read(*word)) {
            self.emit(ST, FRAME, 0, below_frame(word), 0);
        }
    }

    /// `next`: the index of the operation behind it.
    fn operation(&mut self, operation: Operation, next: usize) {
        match operation {
            Operation::Load {
                offset,
                size,
                indexed: false,
            } => self.load(offset, size, A),
            Operation::Load { offset, size, .. } => self.load_indexed(offset, size),
            Operation::HeaderLength(offset) => {
                self.load(offset, Size::Byte, X);
                if never_goes_on(operation) {
                    return;
                }
                self.alu(AND, X, 0x0f);
                self.alu(LEFT, X, 2);
            }
            Operation::Set(Register::A, value) => self.set(A, value, X),
            Operation::Set(Register::X, value) => self.set(X, value, A),
            Operation::Store(Register::A, word) => self.emit(STX, FRAME, A, below_frame(word), 0),
            Operation::Store(Register::X, word) => self.emit(STX, FRAME, X, below_frame(word), 0),
            Operation::Compute(operator, operand) => self.compute(operator, operand),
            Operation::Negate => self.alu(NEGATE, A, 0),
            Operation::Jump(target) => self.jump(Label::Operation(target)),
            Operation::Branch {
                test,
                operand,
                yes,
                no,
            } => self.branch(test, operand, [yes, no], next),
            Operation::Return(true) => self.jump(Label::Match),
            Operation::Return(false) => self.jump(Label::NoMatch),
            Operation::ReturnA => {
                self.jump_if(JMP32, NOT_EQUAL, A, 0, Label::Match);
                self.jump(Label::NoMatch);
            }
        }
    }

    fn load(&mut self, offset: u32, size: Size, to: u8) {
        let Some(end) = end_in_window(offset, size) else {
            return self.jump(Label::Beyond);
        };
        self.jump_if(JMP, LESS, LOADED, end, Label::Beyond);
        self.read(BYTES, offset, size, to);
    }

    /// X may be anything. The verifier learns a bound of the register that is tested; the other
    /// test is the one with the end of the packet.
    fn load_indexed(&mut self, offset: u32, size: Size) {
        let Some(end) = end_in_window(offset, size) else {
            return self.jump(Label::Beyond);
        };
        self.emit(ALU64 | MOVE | FROM_REGISTER, SCRATCH, X, 0, 0);
        self.jump_if(JMP, GREATER, SCRATCH, WINDOW - end, Label::Beyond);
        self.emit(ALU64 | MOVE | FROM_REGISTER, VERDICT, SCRATCH, 0, 0);
        self.emit(ALU64 | ADD, VERDICT, 0, 0, end);
        self.jump_if_register(JMP, GREATER, VERDICT, LOADED, Label::Beyond);
        self.emit(ALU64 | ADD | FROM_REGISTER, SCRATCH, BYTES, 0, 0);
        self.read(SCRATCH, offset, size, A);
    }

    /// Reads bytes in network order.
    fn read(&mut self, from: u8, offset: u32, size: Size, to: u8) {
        // It is less than the window.
        let offset = i16::try_from(offset).unwrap_or(i16::MAX);
        let bits = match size {
            Size::Byte => return self.emit(LDX | 0x10, to, from, offset, 0),
            Size::Half => {
                self.emit(LDX | 0x08, to, from, offset, 0);
                16
            }
            Size::Word => {
                self.emit(LDX, to, from, offset, 0);
                32
            }
        };
        self.emit(TO_BIG_ENDIAN, to, 0, 0, bits);
    }

    fn set(&mut self, register: u8, value: Value, other: u8) {
        match value {
            Value::Constant(constant) => self.alu(MOVE, register, constant),
            Value::Length => self.alu_register(MOVE, register, LENGTH),
            Value::Memory(word) => self.emit(LDX, register, FRAME, below_frame(word), 0),
            Value::Other => self.alu_register(MOVE, register, other),
            Value::PacketType => self.alu_register(MOVE, register, TYPE),
        }
    }

    fn compute(&mut self, operator: Operator, operand: Operand) {
        let code = match operator {
            Operator::Add => 0x00,
            Operator::Subtract => 0x10,
            Operator::Multiply => 0x20,
            Operator::Divide => 0x30,
            Operator::Or => 0x40,
            Operator::And => 0x50,
            Operator::Left => 0x60,
            Operator::Right => 0x70,
            Operator::Modulo => 0x90,
            Operator::Xor => 0xa0,
        };
        match (operator, operand) {
            (Operator::Divide | Operator::Modulo, Operand::Constant(0)) => {
                self.jump(Label::NoMatch);
            }
            (Operator::Left | Operator::Right, Operand::Constant(32..)) => self.alu(MOVE, A, 0),
            (_, Operand::Constant(constant)) => self.alu(code, A, constant),
            // A division by zero gives zero in eBPF.
            (Operator::Divide | Operator::Modulo, Operand::X) => {
                self.jump_if(JMP32, EQUAL, X, 0, Label::NoMatch);
                self.alu_register(code, A, X);
            }
            // A shift takes five bits of the number in eBPF.
            (Operator::Left | Operator::Right, Operand::X) => {
                self.jump_if(JMP32, GREATER, X, 31, Label::Ahead(2));
                self.alu_register(code, A, X);
                self.jump(Label::Ahead(1));
                self.alu(MOVE, A, 0);
            }
            (_, Operand::X) => self.alu_register(code, A, X),
        }
    }

    fn branch(&mut self, test: Test, operand: Operand, [yes, no]: [usize; 2], next: usize) {
        if yes == no {
            return self.jump(Label::Operation(yes));
        }
        let (code, inverse) = match test {
            Test::Equal => (EQUAL, Some(NOT_EQUAL)),
            Test::Greater => (GREATER, Some(LESS_OR_EQUAL)),
            Test::GreaterOrEqual => (GREATER_OR_EQUAL, Some(LESS)),
            Test::AnyBit => (ANY_BIT, None),
        };
        let (code, to, otherwise) = match inverse {
            Some(inverse) if yes == next => (inverse, no, yes),
            _ => (code, yes, no),
        };
        match operand {
            Operand::Constant(constant) => {
                self.jump_if(JMP32, code, A, constant, Label::Operation(to));
            }
            Operand::X => self.jump_if_register(JMP32, code, A, X, Label::Operation(to)),
        }
        if otherwise != next {
            self.jump(Label::Operation(otherwise));
        }
    }

    /// Adds the ends that are jumped to, and encodes. `begins`: where operations begin.
    fn finish(
        mut self,
        begins: &[usize],
        beyond: Beyond,
    ) -> Result<Vec<[u8; INSTRUCTION]>, TranslateError> {
        let (mut at_match, mut at_no_match, mut at_beyond) = (0, 0, 0);
        if self.has(Label::Match) {
            at_match = self.code.len();
            self.alu(MOVE, VERDICT, 1);
            self.jump(Label::End);
        }
        if self.has(Label::Beyond) {
            at_beyond = self.code.len();
            if beyond == Beyond::Unknown {
                self.alu(MOVE, VERDICT, 1);
                self.jump_if_register(JMP, GREATER, LENGTH, LOADED, Label::End);
            }
            self.alu(MOVE, VERDICT, 0);
            self.jump(Label::End);
        }
        if self.has(Label::NoMatch) {
            at_no_match = self.code.len();
            self.alu(MOVE, VERDICT, 0);
        }
        let end = self.code.len();
        let place = |label| match label {
            Label::Operation(index) => begins.get(index).copied().unwrap_or(end),
            Label::Match => at_match,
            Label::NoMatch => at_no_match,
            Label::Beyond => at_beyond,
            Label::End | Label::Ahead(_) => end,
        };
        let encoded = self.code.iter().enumerate().map(|(at, emitted)| {
            let offset = match emitted.to {
                None => emitted.offset,
                Some(Label::Ahead(distance)) => distance,
                Some(label) => i16::try_from(place(label) - (at + 1))
                    .ok()
                    .ok_or(TranslateError::TooLong(end))?,
            };
            Ok(emitted.encode(offset))
        });
        encoded.collect()
    }
}

/// Where a load ends, unless that is behind the window.
fn end_in_window(offset: u32, size: Size) -> Option<u32> {
    let end = offset.checked_add(size as u32)?;
    (end <= WINDOW).then_some(end)
}

/// The offset of a word of the scratch memory from the frame.
fn below_frame(word: usize) -> i16 {
    // There are 16 words.
    -4 * (i16::try_from(word).unwrap_or(0) + 1)
}
