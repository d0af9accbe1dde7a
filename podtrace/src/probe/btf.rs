//! Offsets of struct members in the running kernel, from its BTF
//! (`/sys/kernel/btf/vmlinux`; format: kernel `Documentation/bpf/btf.rst`).
//!
//! Rust programs carry no CO-RE relocations, so the few offsets that the
//! kernel side needs are looked up here and passed as globals.

use thiserror::Error;

/// Where the running kernel shows its own.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_FUNC: u32 = 12;

/// Why a member's offset is not known.
#[derive(Debug, Error)]
pub enum BtfError {
    /// Not BTF, or cut off.
    #[error("kernel BTF is malformed at byte {0}")]
    Malformed(usize),
    /// No such struct or member.
    #[error("kernel BTF has no member {member} in struct {container}")]
    NotFound {
        /// The struct asked for.
        container: String,
        /// The member asked for.
        member: String,
    },
}

/// The types in a BTF blob. A kernel has more than a hundred thousand, and a handful is
/// asked for: what is kept is only where each begins.
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins in `types`, by its id less one.
    begins: Vec<u32>,
}

/// A struct or union.
struct Composite {
    /// Where its first member begins.
    members: usize,
    count: usize,
    has_bitfields: bool,
}

/// Bytes of the common part of a type.
const TYPE_LEN: usize = 12;
/// Bytes of a member.
const MEMBER_LEN: usize = 12;

fn word(data: &[u8], at: usize) -> Result<u32, BtfError> {
    data.get(at..)
        .and_then(|rest| rest.first_chunk())
        .map(|bytes| u32::from_le_bytes(*bytes))
        .ok_or(BtfError::Malformed(at))
}

impl<'a> Btf<'a> {
    /// Indexes a little-endian BTF blob.
    ///
    /// # Errors
    /// When it is not BTF or is cut off.
    pub fn parse(data: &'a [u8]) -> Result<Self, BtfError> {
        let magic = word(data, 0)? & 0xffff;
        if magic != u32::from(MAGIC) {
            return Err(BtfError::Malformed(0));
        }
        let header_len = word(data, 4)? as usize;
        let section = |offset: u32, len: u32| {
            let start = header_len + offset as usize;
            data.get(start..start + len as usize)
                .ok_or(BtfError::Malformed(start))
        };
        let types = section(word(data, 8)?, word(data, 12)?)?;
        let strings = section(word(data, 16)?, word(data, 20)?)?;
        Ok(Self {
            types,
            strings,
            begins: begins(types)?,
        })
    }

    fn word(&self, at: usize) -> Option<u32> {
        word(self.types, at).ok()
    }

    /// Whether the string at this offset is that.
    fn is(&self, offset: u32, wanted: &str) -> bool {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        rest.strip_prefix(wanted.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Id of the first type of this kind and name.
    fn find(&self, wanted: u32, name: &str) -> Option<u32> {
        let is_it = |begin: &u32| {
            let at = *begin as usize;
            self.word(at + 4).is_some_and(|info| kind(info) == wanted)
                && self.word(at).is_some_and(|offset| self.is(offset, name))
        };
        let position = self.begins.iter().position(is_it)?;
        u32::try_from(position + 1).ok()
    }

    /// Type id of a function; none when the kernel has no such one.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<u32> {
        self.find(KIND_FUNC, name)
    }

    /// Offset in bytes of `member` in `struct container`, looked for in
    /// anonymous structs and unions too.
    ///
    /// # Errors
    /// When there is no such struct or member.
    pub fn offset_of(&self, container: &str, member: &str) -> Result<u32, BtfError> {
        self.find(KIND_STRUCT, container)
            .and_then(|id| self.bit_offset(id, member, 0))
            .map(|bits| bits / 8)
            .ok_or_else(|| BtfError::NotFound {
                container: container.into(),
                member: member.into(),
            })
    }

    fn composite(&self, id: u32) -> Option<Composite> {
        let begin = *self.begins.get((id as usize).checked_sub(1)?)? as usize;
        let info = self.word(begin + 4)?;
        matches!(kind(info), KIND_STRUCT | KIND_UNION).then(|| Composite {
            members: begin + TYPE_LEN,
            count: count(info),
            has_bitfields: info >> 31 == 1,
        })
    }

    fn bit_offset(&self, id: u32, wanted: &str, depth: u32) -> Option<u32> {
        // Deeper nesting than the kernel has: a loop in damaged BTF.
        if depth > 16 {
            return None;
        }
        let Composite {
            members,
            count,
            has_bitfields,
        } = self.composite(id)?;
        (0..count).find_map(|number| {
            let member = members + MEMBER_LEN * number;
            let (name, offset) = (self.word(member)?, self.word(member + 8)?);
            let offset = if has_bitfields {
                offset & 0x00ff_ffff
            } else {
                offset
            };
            if name == 0 {
                let inner = self.bit_offset(self.word(member + 4)?, wanted, depth + 1)?;
                offset.checked_add(inner)
            } else {
                self.is(name, wanted).then_some(offset)
            }
        })
    }
}

/// Where each type begins.
fn begins(types: &[u8]) -> Result<Vec<u32>, BtfError> {
    let mut begins = Vec::with_capacity(types.len() / 20);
    let mut at = 0;
    while at < types.len() {
        begins.push(u32::try_from(at).map_err(|_too_long| BtfError::Malformed(at))?);
        let info = word(types, at + 4)?;
        let body = body_len(kind(info), count(info)).ok_or(BtfError::Malformed(at))?;
        at += TYPE_LEN + body;
    }
    // The last one has to be whole.
    if at == types.len() {
        Ok(begins)
    } else {
        Err(BtfError::Malformed(types.len()))
    }
}

fn kind(info: u32) -> u32 {
    info >> 24 & 0x1f
}

fn count(info: u32) -> usize {
    (info & 0xffff) as usize
}

/// Bytes behind the common part of a type, by kind.
fn body_len(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        2 | 7..=12 | 16 | 18 => 0,
        // INT, VAR, DECL_TAG
        1 | 14 | 17 => 4,
        // ARRAY
        3 => 12,
        // STRUCT, UNION, DATASEC, ENUM64
        KIND_STRUCT | KIND_UNION | 15 | 19 => MEMBER_LEN * count,
        // ENUM, FUNC_PROTO
        6 | 13 => 8 * count,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct a { int; union { x; y at +4 bytes } at 8 bytes; }`
    fn blob() -> Vec<u8> {
        let strings = b"\0a\0first\0x\0y\0";
        let types: Vec<u32> = vec![
            1,
            4 << 24 | 2,
            16,
            3,
            9,
            0,
            0,
            2,
            64, // id 1: struct a
            0,
            5 << 24 | 2,
            8,
            9,
            9,
            0,
            11,
            9,
            32, // id 2: anonymous union
        ];
        let mut data = Vec::new();
        data.extend(MAGIC.to_le_bytes());
        data.extend([1, 0]);
        let len = u32::try_from(types.len() * 4).unwrap();
        for number in [24, 0, len, len, u32::try_from(strings.len()).unwrap()] {
            data.extend(u32::to_le_bytes(number));
        }
        data.extend(types.iter().flat_map(|word| word.to_le_bytes()));
        data.extend(strings);
        data
    }

    #[test]
    fn offset_of_nested_member_is_found() {
        let data = blob();
        let btf = Btf::parse(&data).unwrap();
        assert_eq!(btf.offset_of("a", "first").unwrap(), 0);
        assert_eq!(btf.offset_of("a", "x").unwrap(), 8);
        assert_eq!(btf.offset_of("a", "y").unwrap(), 12);
        assert!(btf.offset_of("a", "z").is_err());
        assert!(btf.offset_of("b", "x").is_err());
    }

    #[test]
    fn blob_cut_anywhere_is_an_error_or_misses_the_member() {
        let data = blob();
        for len in 0..data.len() {
            if let Ok(btf) = Btf::parse(&data[..len]) {
                assert!(btf.offset_of("a", "z").is_err());
            }
        }
    }
}
