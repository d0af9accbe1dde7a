//! Enhanced packet blocks, one for each event: built by hand, from as few parts as possible.
use super::{crc32, halves, len16};
use crate::session::format::{
    ENHANCED_PACKET, ENTERPRISE, EPB_DROPCOUNT, EPB_FLAGS, EPB_PACKETID, MAGIC_PACKET, OPT_CUSTOM,
    PacketInfo,
};

/// Type, length, interface, time, lengths of the packet.
const HEAD: usize = 28;
/// `epb_flags` and `epb_packetid`.
const FLAGS_AND_ID: usize = 20;
/// `epb_dropcount`.
const DROPCOUNT: usize = 12;
/// The custom option up to its checksum.
const OURS: usize = 12 + PacketInfo::LEN;
/// Checksum, end of options, and the length again.
const TAIL: usize = 12;

/// An enhanced packet block.
pub struct PacketBlock<'a> {
    /// Number of the interface in the section.
    pub interface: u32,
    /// Nanoseconds since 1970.
    pub utc_ns: u64,
    /// Length of the packet, its added header included.
    pub wire_len: u32,
    /// A header added before the captured bytes, or nothing.
    pub header: &'a [u8],
    /// The captured bytes.
    pub captured: &'a [u8],
    /// `epb_flags`.
    pub flags: u32,
    /// `epb_packetid`.
    pub packet: u64,
    /// `epb_dropcount`, if anything was lost.
    pub dropped: Option<u64>,
    /// An option made by [`encoded_option`], or nothing.
    pub comment: &'a [u8],
    /// The data specific to podtrace.
    pub info: PacketInfo,
}

impl PacketBlock<'_> {
    /// Appends the block.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let captured = self.header.len() + self.captured.len();
        let padding = captured.wrapping_neg() % 4;
        let dropcount = self.dropped.map_or(0, |_| DROPCOUNT);
        let fixed = HEAD + FLAGS_AND_ID + dropcount + OURS + TAIL;
        let len = fixed + captured + padding + self.comment.len();
        out.reserve(len);
        out.extend_from_slice(&self.head(len, captured));
        if !self.header.is_empty() {
            out.extend_from_slice(self.header);
        }
        out.extend_from_slice(self.captured);
        out.extend_from_slice(&[0; 3][..padding]);
        let mut options = [0; FLAGS_AND_ID];
        options[..4].copy_from_slice(&option_head(EPB_FLAGS, 4));
        options[4..8].copy_from_slice(&self.flags.to_le_bytes());
        options[8..12].copy_from_slice(&option_head(EPB_PACKETID, 8));
        options[12..].copy_from_slice(&self.packet.to_le_bytes());
        out.extend_from_slice(&options);
        if let Some(dropped) = self.dropped {
            out.extend_from_slice(&option_head(EPB_DROPCOUNT, 8));
            out.extend_from_slice(&dropped.to_le_bytes());
        }
        out.extend_from_slice(self.comment);
        let mut ours = [0; OURS];
        // Its value ends with the checksum.
        ours[..4].copy_from_slice(&option_head(OPT_CUSTOM, OURS));
        ours[4..8].copy_from_slice(&ENTERPRISE.to_le_bytes());
        ours[8..12].copy_from_slice(&MAGIC_PACKET);
        ours[12..].copy_from_slice(&self.info.to_bytes());
        out.extend_from_slice(&ours);
        let mut tail = [0; TAIL];
        tail[..4].copy_from_slice(&crc32(&out[start..]).to_le_bytes());
        tail[8..].copy_from_slice(&word(len));
        out.extend_from_slice(&tail);
    }

    fn head(&self, len: usize, captured: usize) -> [u8; HEAD] {
        let (high, low) = halves(self.utc_ns);
        let fields = [
            ENHANCED_PACKET.to_le_bytes(),
            word(len),
            self.interface.to_le_bytes(),
            high.to_le_bytes(),
            low.to_le_bytes(),
            word(captured),
            self.wire_len.to_le_bytes(),
        ];
        let mut head = [0; HEAD];
        head.copy_from_slice(fields.as_flattened());
        head
    }
}

fn word(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes()
}

/// Code and length of an option.
fn option_head(code: u16, len: usize) -> [u8; 4] {
    let ([c0, c1], [l0, l1]) = (code.to_le_bytes(), len16(len).to_le_bytes());
    [c0, c1, l0, l1]
}

/// Encodes an option for a block; a value that is too long is cut.
#[must_use]
pub fn encoded_option(code: u16, value: &[u8]) -> Vec<u8> {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    let mut bytes = option_head(code, value.len()).to_vec();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
