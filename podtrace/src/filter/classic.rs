//! Classic BPF: the instructions that libpcap makes, and how they run.
use thiserror::Error;

/// One instruction: `struct bpf_insn`, pcap/bpf.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    /// Class, size and mode, or operator and operand.
    pub(super) code: u16,
    /// How many instructions to pass over if a test is true.
    pub(super) yes: u8,
    /// And if it is false.
    pub(super) no: u8,
    /// The constant.
    pub(super) constant: u32,
}

/// Words of the scratch memory: `BPF_MEMWORDS`.
pub(super) const WORDS: usize = 16;
/// Loads from here on read what the kernel knows of a packet: `SKF_AD_OFF`, linux/filter.h.
const ANCILLARY: u32 = 0xffff_f000;
/// `ANCILLARY + SKF_AD_MAX`.
const ANCILLARY_END: u32 = ANCILLARY + 64;
/// `SKF_AD_PKTTYPE`: whom the packet is for.
const PACKET_TYPE: u32 = ANCILLARY + 4;
/// `PACKET_OUTGOING`, linux/if_packet.h.
const OUTGOING: u32 = 4;
/// Upper bound of the instructions for one frame: only `protochain` goes back, from header to
/// header, and no header is empty.
const STEPS_MAX: usize = 1 << 16;

/// One of the two registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Register {
    A,
    X,
}

/// Number of bytes of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Byte = 1,
    Half = 2,
    Word = 4,
}

/// What a register is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Constant(u32),
    /// The length of the frame on the wire.
    Length,
    /// A word of the scratch memory.
    Memory(usize),
    /// Of the other register.
    Other,
    /// [`OUTGOING`] for a frame that leaves by its interface, zero for others.
    PacketType,
}

/// The right side of a computation or a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Constant(u32),
    X,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Or,
    And,
    Xor,
    Left,
    Right,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Equal,
    Greater,
    GreaterOrEqual,
    AnyBit,
}

/// An instruction with a meaning. Targets are indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// A is what is at the offset, plus X if it is indexed.
    Load {
        offset: u32,
        size: Size,
        indexed: bool,
    },
    /// X is the length of the IPv4 header there.
    HeaderLength(u32),
    Set(Register, Value),
    Store(Register, usize),
    Compute(Operator, Operand),
    Negate,
    Jump(usize),
    Branch {
        test: Test,
        operand: Operand,
        yes: usize,
        no: usize,
    },
    Return(bool),
    /// Whether A is not zero.
    ReturnA,
}

/// Why a program was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum ProgramError {
    /// It asks for what only a capture socket knows.
    #[error("it asks for what only a capture socket knows (code {code:#x}, {constant:#x})")]
    Unsupported {
        /// The instruction's code.
        code: u16,
        /// Its constant.
        constant: u32,
    },
    /// It does not end.
    #[error("it does not end with a verdict")]
    Endless,
    /// A frame could take more instructions than it is given.
    #[error("the expression is too long: {0} instructions, at most {STEPS_MAX}")]
    TooLong(usize),
}

/// A checked program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program(Vec<Operation>);

/// A frame to look at.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its captured bytes.
    pub bytes: &'a [u8],
    /// Its length on the wire.
    pub length: u32,
    /// Whether it leaves by its interface.
    pub is_outgoing: bool,
}

impl Program {
    /// Reads and checks instructions.
    ///
    /// # Errors
    /// When one is unknown, a jump leads out of the program, or there are too many.
    pub(super) fn new(instructions: &[Instruction]) -> Result<Self, ProgramError> {
        let count = instructions.len();
        if count > STEPS_MAX {
            return Err(ProgramError::TooLong(count));
        }
        let operations = (0..).zip(instructions).map(|(at, instruction)| {
            let operation = Operation::new(*instruction, at)?;
            let is_inside = match operation {
                Operation::Return(_) | Operation::ReturnA => true,
                Operation::Jump(target) => target < count,
                Operation::Branch { yes, no, .. } => yes < count && no < count,
                _ => at + 1 < count,
            };
            is_inside.then_some(operation).ok_or(ProgramError::Endless)
        });
        let operations: Vec<_> = operations.collect::<Result<_, _>>()?;
        match operations.is_empty() {
            true => Err(ProgramError::Endless),
            false => Ok(Self(operations)),
        }
    }

    pub(super) fn operations(&self) -> &[Operation] {
        &self.0
    }

    /// Whether the frame matches.
    pub(super) fn matches(&self, frame: Frame<'_>) -> bool {
        Machine::default().run(&self.0, frame).unwrap_or(false)
    }
}

impl Operation {
    /// `at`: the instruction's index.
    fn new(instruction: Instruction, at: usize) -> Result<Self, ProgramError> {
        let Instruction { code, constant, .. } = instruction;
        let unknown = ProgramError::Unsupported { code, constant };
        // Class, then the rest; the numbers are those of linux/bpf_common.h.
        let operation = match (code & 0x07, code & !0x07) {
            (0x00, mode) => Self::load(mode, constant),
            (0x01, 0x00) => Some(Self::Set(Register::X, Value::Constant(constant))),
            (0x01, 0x60) => memory(constant).map(|at| Self::Set(Register::X, Value::Memory(at))),
            (0x01, 0x80) => Some(Self::Set(Register::X, Value::Length)),
            (0x01, 0xb0) => Some(Self::HeaderLength(constant)),
            (0x02, 0x00) => memory(constant).map(|at| Self::Store(Register::A, at)),
            (0x03, 0x00) => memory(constant).map(|at| Self::Store(Register::X, at)),
            (0x04, 0x80) => Some(Self::Negate),
            (0x04, rest) => {
                operator(rest & 0xf0).map(|it| Self::Compute(it, operand(rest, constant)))
            }
            (0x05, 0x00) => jump(at, constant).map(Self::Jump),
            (0x05, rest) => test(rest & 0xf0).map(|test| Self::Branch {
                test,
                operand: operand(rest, constant),
                yes: at + 1 + usize::from(instruction.yes),
                no: at + 1 + usize::from(instruction.no),
            }),
            (0x06, 0x00) => Some(Self::Return(constant != 0)),
            (0x06, 0x10) => Some(Self::ReturnA),
            (0x07, 0x00) => Some(Self::Set(Register::X, Value::Other)),
            (0x07, 0x80) => Some(Self::Set(Register::A, Value::Other)),
            _ => None,
        };
        operation.ok_or(unknown)
    }

    /// A load of A.
    fn load(mode: u16, constant: u32) -> Option<Self> {
        let size = match mode & 0x18 {
            0x00 => Size::Word,
            0x08 => Size::Half,
            0x10 => Size::Byte,
            _ => return None,
        };
        match mode & 0xe0 {
            0x00 => Some(Self::Set(Register::A, Value::Constant(constant))),
            0x20 if constant == PACKET_TYPE => Some(Self::Set(Register::A, Value::PacketType)),
            0x20 if (ANCILLARY..ANCILLARY_END).contains(&constant) => None,
            indexed @ (0x20 | 0x40) => Some(Self::Load {
                offset: constant,
                size,
                indexed: indexed == 0x40,
            }),
            0x60 => memory(constant).map(|at| Self::Set(Register::A, Value::Memory(at))),
            0x80 => Some(Self::Set(Register::A, Value::Length)),
            _ => None,
        }
    }
}

fn memory(word: u32) -> Option<usize> {
    usize::try_from(word).ok().filter(|word| *word < WORDS)
}

/// The target of a jump, which goes back if the number is negative.
fn jump(at: usize, constant: u32) -> Option<usize> {
    let distance = isize::try_from(constant.cast_signed()).ok()?;
    (at + 1).checked_add_signed(distance)
}

fn operand(rest: u16, constant: u32) -> Operand {
    match rest & 0x08 {
        0 => Operand::Constant(constant),
        _ => Operand::X,
    }
}

fn operator(code: u16) -> Option<Operator> {
    Some(match code {
        0x00 => Operator::Add,
        0x10 => Operator::Subtract,
        0x20 => Operator::Multiply,
        0x30 => Operator::Divide,
        0x40 => Operator::Or,
        0x50 => Operator::And,
        0x60 => Operator::Left,
        0x70 => Operator::Right,
        0x90 => Operator::Modulo,
        0xa0 => Operator::Xor,
        _ => return None,
    })
}

fn test(code: u16) -> Option<Test> {
    Some(match code {
        0x10 => Test::Equal,
        0x20 => Test::Greater,
        0x30 => Test::GreaterOrEqual,
        0x40 => Test::AnyBit,
        _ => return None,
    })
}

/// The registers and the scratch memory, all zero at first.
#[derive(Default)]
struct Machine {
    a: u32,
    x: u32,
    memory: [u32; WORDS],
}

impl Machine {
    /// The verdict; none if a read goes past the end or a division is by zero, which ends the
    /// program without a match.
    fn run(&mut self, operations: &[Operation], frame: Frame<'_>) -> Option<bool> {
        let mut at = 0;
        for _ in 0..STEPS_MAX {
            let mut next = at + 1;
            match *operations.get(at)? {
                Operation::Load {
                    offset,
                    size,
                    indexed,
                } => {
                    let x = if indexed { self.x } else { 0 };
                    self.a = read(frame.bytes, offset.checked_add(x)?, size)?;
                }
                Operation::HeaderLength(offset) => {
                    self.x = (read(frame.bytes, offset, Size::Byte)? & 0x0f) << 2;
                }
                Operation::Set(Register::A, value) => self.a = self.value(value, self.x, frame),
                Operation::Set(Register::X, value) => self.x = self.value(value, self.a, frame),
                Operation::Store(Register::A, word) => *self.memory.get_mut(word)? = self.a,
                Operation::Store(Register::X, word) => *self.memory.get_mut(word)? = self.x,
                Operation::Compute(operator, operand) => {
                    self.a = compute(operator, self.a, self.operand(operand))?;
                }
                Operation::Negate => self.a = self.a.wrapping_neg(),
                Operation::Jump(target) => next = target,
                Operation::Branch {
                    test,
                    operand,
                    yes,
                    no,
                } => {
                    let right = self.operand(operand);
                    let is_true = match test {
                        Test::Equal => self.a == right,
                        Test::Greater => self.a > right,
                        Test::GreaterOrEqual => self.a >= right,
                        Test::AnyBit => self.a & right != 0,
                    };
                    next = if is_true { yes } else { no };
                }
                Operation::Return(matches) => return Some(matches),
                Operation::ReturnA => return Some(self.a != 0),
            }
            at = next;
        }
        None
    }

    fn value(&self, value: Value, other: u32, frame: Frame<'_>) -> u32 {
        match value {
            Value::Constant(constant) => constant,
            Value::Length => frame.length,
            Value::Memory(word) => self.memory.get(word).copied().unwrap_or(0),
            Value::Other => other,
            Value::PacketType if frame.is_outgoing => OUTGOING,
            Value::PacketType => 0,
        }
    }

    fn operand(&self, operand: Operand) -> u32 {
        match operand {
            Operand::Constant(constant) => constant,
            Operand::X => self.x,
        }
    }
}

/// What is at an offset, in network order.
#[inline]
fn read(bytes: &[u8], offset: u32, size: Size) -> Option<u32> {
    let rest = bytes.get(usize::try_from(offset).ok()?..)?;
    match size {
        Size::Byte => rest.first().map(|byte| u32::from(*byte)),
        Size::Half => rest
            .first_chunk()
            .map(|half| u32::from(u16::from_be_bytes(*half))),
        Size::Word => rest.first_chunk().map(|word| u32::from_be_bytes(*word)),
    }
}

fn compute(operator: Operator, left: u32, right: u32) -> Option<u32> {
    Some(match operator {
        Operator::Add => left.wrapping_add(right),
        Operator::Subtract => left.wrapping_sub(right),
        Operator::Multiply => left.wrapping_mul(right),
        Operator::Divide => left.checked_div(right)?,
        Operator::Modulo => left.checked_rem(right)?,
        Operator::Or => left | right,
        Operator::And => left & right,
        Operator::Xor => left ^ right,
        Operator::Left => left.checked_shl(right).unwrap_or(0),
        Operator::Right => left.checked_shr(right).unwrap_or(0),
    })
}
