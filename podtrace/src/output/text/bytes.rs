//! The captured bytes of a packet, below its line.
use std::fmt::Write as _;

use super::Text;
use crate::{
    model::frame::Frame,
    output::paint::DIM,
    path::Path,
    text::{count::counted, write},
};

/// Bytes in a line, as tcpdump and hexdump have them.
const IN_LINE: usize = 16;
/// Where the text of a line starts.
const INDENT: usize = 8;

/// What is shown of a packet's bytes and of its link layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// In hexadecimal.
    pub hex: bool,
    /// As characters.
    pub ascii: bool,
    /// From the link header on, not from the network header.
    pub from_link: bool,
    /// MAC addresses and VLAN, in the packet's line.
    pub link_level: bool,
}

impl Bytes {
    /// Whether anything is shown.
    #[must_use]
    pub fn any(self) -> bool {
        self.hex || self.ascii || self.link_level
    }
}

impl Text {
    /// `0e:f1:00:00:00:01 > 0e:f1:00:00:00:02 vlan 5, p 1  `
    pub(super) fn link_level(&self, out: &mut String, frame: &Frame) {
        if !self.options.bytes.link_level {
            return;
        }
        let begin = out.len();
        if let Some((source, destination)) = frame.macs() {
            let _ = write!(out, "{source} > {destination} ");
        }
        for tci in frame.vlans() {
            let _ = write!(out, "vlan {}, p {} ", tci & 0xfff, tci >> 13);
        }
        if out.len() > begin {
            out.push(' ');
        }
    }

    /// The bytes of a path's first hop.
    pub(super) fn frame(&self, out: &mut String, path: &Path) {
        if let Some(frame) = &path.frame {
            self.bytes(out, frame);
        }
    }

    /// The bytes in lines of their own.
    pub(super) fn bytes(&self, out: &mut String, frame: &Frame) {
        let options = self.options.bytes;
        if !options.hex && !options.ascii {
            return;
        }
        let bytes = match options.from_link {
            true => &frame.captured[..],
            false => frame.network(),
        };
        if options.hex {
            hex(out, bytes, options.ascii);
        } else {
            characters(out, bytes);
        }
        let missing = frame.missing();
        if missing > 0 {
            let words = format!("… {} not captured", counted(missing.into(), "more byte"));
            write::spaces(out, INDENT);
            self.painter().paint(out, DIM, &words);
            out.push('\n');
        }
    }
}

/// `0x0010:  0a00 0001 0a00 0002 …  ................`
fn hex(out: &mut String, bytes: &[u8], with_characters: bool) {
    // Two digits a byte, and a space behind each second one.
    const WIDTH: usize = IN_LINE * 2 + IN_LINE / 2;
    for (number, line) in bytes.chunks(IN_LINE).enumerate() {
        write::spaces(out, INDENT);
        let _ = write!(out, "{:#06x}:  ", number * IN_LINE);
        let begin = out.len();
        for pair in line.chunks(2) {
            for byte in pair {
                let _ = write!(out, "{byte:02x}");
            }
            out.push(' ');
        }
        if with_characters {
            write::spaces(out, WIDTH + 1 - (out.len() - begin));
            out.extend(line.iter().copied().map(printable));
        } else {
            out.pop();
        }
        out.push('\n');
    }
}

/// The printable characters, with the line ends that are in the bytes.
fn characters(out: &mut String, bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        write::spaces(out, INDENT);
        out.extend(line.iter().copied().map(printable));
        out.push('\n');
    }
}

fn printable(byte: u8) -> char {
    match byte {
        b' '..=b'~' => byte.into(),
        _ => '.',
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{output::text::TextOptions, packet::link};

    fn shown(bytes: Bytes, frame: &Frame) -> String {
        let options = TextOptions {
            bytes,
            ..TextOptions::default()
        };
        let mut out = String::new();
        Text::new(options, jiff::tz::TimeZone::UTC).bytes(&mut out, frame);
        out
    }

    fn frame(bytes: &[u8], wire_len: u32) -> Frame {
        Frame {
            captured: bytes::Bytes::copy_from_slice(bytes),
            wire_len,
            link: link::RAW,
            vlan_tci: None,
        }
    }

    #[test]
    fn bytes_are_shown_as_they_were_captured() {
        let request = frame(b"E\0\0\x1b[31m\xffGET / HTTP/1.1\r\nHost: web\r\n", 100);
        let form = |hex, ascii| {
            shown(
                Bytes {
                    hex,
                    ascii,
                    ..Bytes::default()
                },
                &request,
            )
        };
        assert_eq!(
            form(true, true),
            "        0x0000:  4500 001b 5b33 316d ff47 4554 202f 2048  E...[31m.GET./.H\n"
                .replace("GET./.H", "GET / H")
                + "        0x0010:  5454 502f 312e 310d 0a48 6f73 743a 2077  TTP/1.1..Host: w\n"
                + "        0x0020:  6562 0d0a                                eb..\n"
                + "        … 64 more bytes not captured\n"
        );
        assert_eq!(
            form(true, false).lines().nth(2),
            Some("        0x0020:  6562 0d0a")
        );
        assert_eq!(
            form(false, true),
            "        E...[31m.GET / HTTP/1.1\n        Host: web\n        \n        … 64 more bytes not captured\n"
        );
        assert_eq!(form(false, false), "");
    }

    proptest! {
        #[test]
        fn no_byte_reaches_the_terminal_as_it_is(data: Vec<u8>, hex: bool, from_link: bool) {
            let bytes = Bytes { hex, ascii: true, from_link, link_level: true };
            let text = shown(bytes, &frame(&data, 0));
            let is_plain = |c: char| c == '\n' || c == ' ' || c.is_ascii_graphic();
            prop_assert!(text.chars().all(is_plain));
        }
    }
}
