//! Three machines give one verdict: libpcap's interpreter, ours, and eBPF.
mod frames;
mod mistakes;

use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use rbpf::EbpfVmRaw;

use super::{
    Begin, Beyond, ETHERNET, Expression, Frame, INSTRUCTION, RAW, TranslateError, WINDOW,
    classic::{Instruction, Program},
    libpcap,
    translate::translate,
};

const CORPUS: &str = include_str!("tests/corpus.txt");
/// Bytes before the frame in the memory of the virtual machine: what r2 to r4 hold.
const HEAD: usize = 12;

/// One expression for one link layer.
struct Compiled {
    text: &'static str,
    classic: Vec<Instruction>,
    program: Program,
    no_match: Vec<u8>,
    unknown: Vec<u8>,
}

impl Compiled {
    /// None if libpcap has something against it, as it has against Ethernet without Ethernet.
    fn new(text: &'static str, link: u16) -> Option<Self> {
        let classic = libpcap::compile(text, link).ok()?;
        let program = Program::new(&classic).unwrap();
        let block = |beyond| {
            let block = translate(&program, beyond).unwrap();
            assert_reachable(&block.code, text);
            runnable(&block.code)
        };
        Some(Self {
            text,
            no_match: block(Beyond::NoMatch),
            unknown: block(Beyond::Unknown),
            classic,
            program,
        })
    }
}

/// The translation as a program of its own: the virtual machine has the memory in r1.
fn runnable(block: &[[u8; INSTRUCTION]]) -> Vec<u8> {
    let head: [[u8; INSTRUCTION]; 4] = [
        // Loads of words at 0, 4 and 8; then r1 += 12.
        [0x61, 0x12, 0, 0, 0, 0, 0, 0],
        [0x61, 0x13, 4, 0, 0, 0, 0, 0],
        [0x61, 0x14, 8, 0, 0, 0, 0, 0],
        [0x07, 0x01, 0, 0, 12, 0, 0, 0],
    ];
    let exit = [0x95, 0, 0, 0, 0, 0, 0, 0];
    [&head[..], block, &[exit]].concat().concat()
}

/// Asserts that a path leads to each instruction, as the verifier does, and none back or out.
fn assert_reachable(block: &[[u8; INSTRUCTION]], text: &str) {
    let mut reached = vec![false; block.len() + 1];
    reached[0] = true;
    for (at, [code, _, low, high, ..]) in block.iter().enumerate() {
        assert!(reached[at], "{text}: {at} of {block:02x?}");
        let is_jump = matches!(code & 7, 5 | 6);
        if is_jump {
            let offset = i16::from_le_bytes([*low, *high]);
            reached[at + 1 + usize::try_from(offset).unwrap()] = true;
        }
        if *code != 0x05 {
            reached[at + 1] = true;
        }
    }
}

/// Runs a translation.
fn run(code: &[u8], loaded: &[u8], length: u32, is_outgoing: bool) -> bool {
    let mut memory = Vec::with_capacity(HEAD + loaded.len());
    let packet_type = if is_outgoing { 4 } else { 0 };
    for number in [loaded.len() as u32, length, packet_type] {
        memory.extend(number.to_le_bytes());
    }
    memory.extend(loaded);
    let machine = EbpfVmRaw::new(Some(code)).unwrap();
    match machine.execute_program(&mut memory).unwrap() {
        0 => false,
        1 => true,
        other => panic!("the verdict is {other}"),
    }
}

/// Compares the machines on a frame of which all captured bytes are given.
fn compare(compiled: &Compiled, bytes: &[u8], length: u32) {
    let frame = Frame {
        bytes,
        length,
        is_outgoing: false,
    };
    let expected = libpcap::interpret(&compiled.classic, bytes, length) != 0;
    let shown = || format!("{} on {bytes:02x?} of {length}", compiled.text);
    assert_eq!(compiled.program.matches(frame), expected, "{}", shown());
    let loaded = &bytes[..bytes.len().min(WINDOW as usize)];
    let in_window = libpcap::interpret(&compiled.classic, loaded, length) != 0;
    let translated = run(&compiled.no_match, loaded, length, false);
    assert_eq!(translated, in_window, "{}", shown());
    // What is not known is never refused.
    let real = bytes.len() as u32;
    if !run(&compiled.unknown, loaded, length, false) && length >= real {
        assert!(!expected, "{}", shown());
    }
    if length as usize == loaded.len() {
        let whole = run(&compiled.unknown, loaded, length, false);
        assert_eq!(whole, expected, "{}", shown());
    }
}

fn corpus(link: u16) -> Vec<Compiled> {
    CORPUS
        .lines()
        .filter_map(|text| Compiled::new(text, link))
        .collect()
}

#[test]
fn corpus_is_large_and_compiles() {
    let lines: Vec<_> = CORPUS.lines().collect();
    assert!(lines.len() >= 300, "{}", lines.len());
    for text in lines {
        let expression = Expression::compile(text).unwrap();
        assert_eq!(expression.text(), text);
        for begin in [Begin::Ethernet, Begin::Ip] {
            expression.translate(begin, Beyond::Unknown).unwrap();
        }
    }
}

#[test]
fn machines_agree_on_frames_of_all_kinds() {
    for (link, cut) in [(ETHERNET, 0), (RAW, 14)] {
        let corpus = corpus(link);
        let mut matched = vec![0; corpus.len()];
        let mut runner = TestRunner::deterministic();
        for _ in 0..400 {
            let frame = frames::any_frame().new_tree(&mut runner).unwrap().current();
            let bytes = frame.get(cut..).unwrap_or_default();
            let length = u32::try_from(bytes.len()).unwrap();
            for (compiled, matched) in corpus.iter().zip(&mut matched) {
                compare(compiled, bytes, length);
                *matched += libpcap::interpret(&compiled.classic, bytes, length).min(1);
            }
        }
        // The frames are such that most expressions say yes and no.
        let decided = matched.iter().filter(|count| (1..400).contains(*count));
        assert!(decided.count() * 3 > corpus.len() * 2, "{matched:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn machines_agree_on_any_frame(
        frame in frames::any_frame(),
        text in prop::sample::select(CORPUS.lines().collect::<Vec<_>>()),
        more in prop_oneof![Just(0), 0_u32..3000],
    ) {
        let compiled = Compiled::new(text, ETHERNET).unwrap();
        compare(&compiled, &frame, u32::try_from(frame.len()).unwrap() + more);
    }

    #[test]
    fn machines_agree_on_any_program(
        instructions in prop::collection::vec(any_instruction(), 1..40),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut classic: Vec<_> = instructions;
        // Every jump is ahead, and there is an end.
        let count = classic.len();
        for (at, instruction) in classic.iter_mut().enumerate() {
            let room = u8::try_from(count - at - 1).unwrap();
            instruction.yes = instruction.yes.min(room);
            instruction.no = instruction.no.min(room);
            if instruction.code == 0x05 {
                instruction.constant = instruction.constant.min(u32::from(room));
            }
        }
        classic.push(Instruction { code: 0x16, yes: 0, no: 0, constant: 0 });
        let program = Program::new(&classic).unwrap();
        let block = translate(&program, Beyond::NoMatch).unwrap();
        assert_reachable(&block.code, "any program");
        let no_match = runnable(&block.code);
        let length = u32::try_from(bytes.len()).unwrap();
        let loaded = &bytes[..bytes.len().min(WINDOW as usize)];
        let expected = program.matches(Frame { bytes: loaded, length, is_outgoing: false });
        prop_assert_eq!(run(&no_match, loaded, length, false), expected);
        // libpcap's scratch memory is not zeroed: it is asked only where nothing reads it.
        if !classic.iter().any(|one| matches!(one.code, 0x60 | 0x61)) {
            prop_assert_eq!(libpcap::interpret(&classic, loaded, length) != 0, expected);
        }
    }

    #[test]
    fn any_text_is_compiled_or_refused_at_a_place_in_it(
        text in "[ -~]{0,30}|((ip|tcp|port|host|80|and|or|not|foo|10\\.0\\.0\\.1|\\(|\\)|\\[|\\]|=|&) ?){0,8}",
    ) {
        // No look-up of a name: that takes long.
        prop_assume!(!text.contains("host f") && !text.contains("net f"));
        if let Err(mistake) = Expression::compile(&text) {
            if let Some(place) = mistake.place() {
                prop_assert!(text.get(place).is_some());
            }
            prop_assert!(!mistake.to_string().is_empty());
        }
    }
}

/// Any instruction of those that have a meaning; jumps are any.
fn any_instruction() -> impl Strategy<Value = Instruction> {
    const CODES: [u16; 47] = [
        0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0c, 0x14, 0x15, 0x16, 0x1c, 0x1d, 0x20,
        0x24, 0x25, 0x28, 0x2c, 0x2d, 0x30, 0x34, 0x35, 0x3c, 0x3d, 0x40, 0x44, 0x45, 0x48, 0x4c,
        0x4d, 0x50, 0x54, 0x5c, 0x60, 0x61, 0x64, 0x6c, 0x74, 0x7c, 0x80, 0x81, 0x84, 0x87, 0x94,
        0x9c, 0xb1,
    ];
    let constant = prop_oneof![0_u32..16, 0_u32..300, any::<u32>()];
    let code = prop_oneof![prop::sample::select(&CODES[..]), Just(0xa4), Just(0xac)];
    (code, any::<u8>(), any::<u8>(), constant).prop_map(|(code, yes, no, constant)| {
        let constant = match code {
            0x02 | 0x03 | 0x60 | 0x61 => constant % 16,
            // libpcap compiles no others: its interpreter would die of them, or shift by less.
            0x34 | 0x94 => constant.max(1),
            0x64 | 0x74 => constant % 32,
            // Loads of what only the kernel knows are another test.
            0x20 | 0x28 | 0x30 => constant.min(0xffff_efff),
            _ => constant,
        };
        Instruction {
            code,
            yes: yes % 8,
            no: no % 8,
            constant,
        }
    })
}

#[test]
fn direction_is_that_of_the_tap() {
    let outbound = Compiled::new("outbound", ETHERNET).unwrap();
    let inbound = Compiled::new("inbound", ETHERNET).unwrap();
    for is_outgoing in [true, false] {
        let frame = Frame {
            bytes: &[0; 60],
            length: 60,
            is_outgoing,
        };
        assert_eq!(outbound.program.matches(frame), is_outgoing);
        assert_eq!(inbound.program.matches(frame), !is_outgoing);
        assert_eq!(
            run(&outbound.no_match, frame.bytes, 60, is_outgoing),
            is_outgoing
        );
        assert_eq!(
            run(&inbound.no_match, frame.bytes, 60, is_outgoing),
            !is_outgoing
        );
    }
}

#[test]
fn protochain_runs_here_and_not_in_the_kernel() {
    let expression = Expression::compile("ip6 protochain 58").unwrap();
    let refused = expression.translate(Begin::Ethernet, Beyond::Unknown);
    assert_eq!(refused, Err(TranslateError::Loop));
    let classic = libpcap::compile("ip6 protochain 58", ETHERNET).unwrap();
    let mut runner = TestRunner::deterministic();
    for _ in 0..300 {
        let bytes = frames::any_frame().new_tree(&mut runner).unwrap().current();
        let length = u32::try_from(bytes.len()).unwrap();
        let frame = Frame {
            bytes: &bytes,
            length,
            is_outgoing: false,
        };
        let expected = libpcap::interpret(&classic, &bytes, length) != 0;
        assert_eq!(expression.matches(Begin::Ethernet, frame), expected);
    }
}
