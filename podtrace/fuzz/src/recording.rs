//! Makes a recording of lines of text: see the target `session`.
use podtrace::session::{
    block::{Block, PacketBlock},
    format::{
        BYTE_ORDER, ENTRY_BLOCK, ENTRY_MAGIC, INTERFACE_DESCRIPTION, INTERFACE_STATISTICS,
        MAGIC_JSON, PacketInfo, SECTION_HEADER,
    },
};

/// The recording that the lines describe; lines of another form are left out.
pub(crate) fn of(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, rest) in lines(text) {
        // Of a line that ends early, the part before is written.
        let _ = write(&mut out, kind, rest);
    }
    out
}

/// Lines: their kind, and what follows it.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| match line {
            [kind, b' ', rest @ ..] => Some((*kind, rest)),
            _ => None,
        })
}

fn write(out: &mut Vec<u8>, kind: u8, mut rest: &[u8]) -> Option<()> {
    match kind {
        b'S' => {
            let mut block = Block::begin(out, SECTION_HEADER);
            block.u32(BYTE_ORDER).u16(1).u16(0).bytes(&[0xff; 8]);
            block.seal(MAGIC_JSON, rest);
        }
        b'I' => {
            let link = number(&mut rest)?;
            let mut block = Block::begin(out, INTERFACE_DESCRIPTION);
            block.u16(link as u16).u16(0).u32(0).option(9, &[9]);
            block.seal(MAGIC_JSON, rest);
        }
        b'C' => {
            let interface = number(&mut rest)?;
            let mut block = Block::begin(out, INTERFACE_STATISTICS);
            block.u32(interface as u32).time(0);
            block.seal(MAGIC_JSON, rest);
        }
        b'E' => entry(out, rest),
        b'P' => packet(out, rest)?,
        _ => {}
    }
    Some(())
}

fn packet(out: &mut Vec<u8>, mut rest: &[u8]) -> Option<()> {
    let (interface, flags) = (number(&mut rest)?, number(&mut rest)?);
    let (utc_ns, wire_len) = (number(&mut rest)?, number(&mut rest)?);
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    let digits: Vec<_> = rest.iter().map_while(digit).collect();
    let (pairs, _) = digits.as_chunks();
    let captured: Vec<_> = pairs.iter().map(|[h, l]| (h << 4 | l) as u8).collect();
    let block = PacketBlock {
        interface: interface as u32,
        utc_ns,
        wire_len: wire_len as u32,
        header: &[],
        captured: &captured,
        flags: flags as u32,
        packet: 0,
        dropped: None,
        comment: &[],
        info: PacketInfo {
            // Beside the direction: a small number and two flags.
            cgroup: flags >> 8 & 0xff,
            gso_segments: (flags >> 2 & 1) as u16,
            vlan_tci: (flags & 8 != 0).then_some(7),
        },
    };
    block.write(out);
    Some(())
}

fn entry(out: &mut Vec<u8>, json: &[u8]) {
    let start = out.len();
    let mut block = Block::begin(out, ENTRY_BLOCK);
    block.bytes(&ENTRY_MAGIC).u32(json.len() as u32);
    // Checksum and length behind it.
    block.bytes(json).pad().u32(0).end();
    let checksum_at = out.len() - 8;
    let checksum = crc32fast::hash(&out[start..checksum_at]);
    out[checksum_at..checksum_at + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// Takes a number and the blank behind it.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let end = rest.iter().position(|byte| *byte == b' ')?;
    let number = str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    *rest = &rest[end + 1..];
    Some(number)
}
