//! Mutated files: no panic, an end, and no more items than there were bytes.
use super::sample::*;

fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len());
        match dice.below(6) {
            0 => bytes.truncate(at),
            1 => {
                let len = dice.below(16);
                let garbage = dice.bytes(len);
                bytes.splice(at..at, garbage);
            }
            2 => {
                let end = (at + dice.below(200)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                let to = dice.below(bytes.len());
                bytes.splice(to..to, part);
            }
            3 => {
                let end = (at + dice.below(200)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
        }
    }
}

/// pcap of that link layer and byte order.
fn pcap(link: u32, is_big: bool) -> Vec<u8> {
    let word = |word: u32| {
        if is_big {
            word.to_be_bytes()
        } else {
            word.to_le_bytes()
        }
    };
    let mut bytes = Vec::new();
    for part in [0xa1b2_c3d4, 0x0002_0004, 0, 0, 65_535, link] {
        bytes.extend(word(part));
    }
    for number in 0..20 {
        let frame = frame(pod_address(1, 0), pod_address(1, 1), number, mac(3));
        let len = u32::try_from(frame.len()).unwrap();
        for part in [1_790_000_000, number.into(), len, len] {
            bytes.extend(word(part));
        }
        bytes.extend(frame);
    }
    bytes
}

#[test]
fn mutated_files_are_read_to_their_end() {
    let zstd = How {
        zstd: true,
        ..How::default()
    };
    let files = [
        small(How::default()).bytes(),
        small(zstd).bytes(),
        pcap(1, false),
        pcap(113, true),
        pcap(276, false),
        pcap(0, true),
        pcap(101, false),
    ];
    let iterations = std::env::var("PODTRACE_FUZZ_ITERATIONS");
    let iterations = iterations.map_or(5_000, |number| number.parse().unwrap());
    let mut dice = Dice(11);
    for round in 0..iterations {
        let mut bytes = files[round % files.len()].clone();
        mutate(&mut bytes, &mut dice);
        // Unpacked, a mutated frame is no larger than those of the sample.
        let most = files[0].len().max(bytes.len()) / 12;
        let Ok(given) = try_read(&bytes) else {
            continue;
        };
        assert!(given.items.len() <= 2 * most, "round {round}");
    }
}
