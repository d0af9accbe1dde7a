//! Offsets of struct members in the running kernel, from its BTF
//! (`/sys/kernel/btf/vmlinux`; format: kernel `Documentation/bpf/btf.rst`).
//!
//! Rust programs carry no CO-RE relocations, so the few offsets that the
//! kernel side needs are looked up here and passed as globals.

use std::collections::HashMap;

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

/// An index of the structs and unions in a BTF blob.
pub struct Btf<'a> {
    strings: &'a [u8],
    /// By type id: kind, name offset and members of composite types.
    composites: HashMap<u32, Composite>,
    by_name: HashMap<&'a [u8], u32>,
    /// Type ids of functions.
    functions: HashMap<&'a [u8], u32>,
}

struct Composite {
    members: Vec<Member>,
    bitfields: bool,
}

struct Member {
    name: u32,
    type_id: u32,
    offset: u32,
}

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
        let mut btf = Self {
            strings,
            composites: HashMap::new(),
            by_name: HashMap::new(),
            functions: HashMap::new(),
        };
        btf.index(types)?;
        Ok(btf)
    }

    fn index(&mut self, types: &'a [u8]) -> Result<(), BtfError> {
        let (mut at, mut id) = (0, 1);
        while at < types.len() {
            let name = word(types, at)?;
            let info = word(types, at + 4)?;
            let (count, kind) = (info & 0xffff, info >> 24 & 0x1f);
            let body = at + 12;
            if matches!(kind, KIND_STRUCT | KIND_UNION) {
                let members = (0..count as usize)
                    .map(|n| {
                        let member = body + 12 * n;
                        Ok(Member {
                            name: word(types, member)?,
                            type_id: word(types, member + 4)?,
                            offset: word(types, member + 8)?,
                        })
                    })
                    .collect::<Result<_, BtfError>>()?;
                let bitfields = info >> 31 == 1;
                self.composites.insert(id, Composite { members, bitfields });
                if kind == KIND_STRUCT {
                    self.by_name.entry(self.string(name)).or_insert(id);
                }
            }
            if kind == KIND_FUNC {
                self.functions.insert(self.string(name), id);
            }
            at = body + body_len(kind, count as usize).ok_or(BtfError::Malformed(at))?;
            id += 1;
        }
        Ok(())
    }

    fn string(&self, offset: u32) -> &'a [u8] {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// Type id of a function; none when the kernel has no such one.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<u32> {
        self.functions.get(name.as_bytes()).copied()
    }

    /// Offset in bytes of `member` in `struct container`, looked for in
    /// anonymous structs and unions too.
    ///
    /// # Errors
    /// When there is no such struct or member.
    pub fn offset_of(&self, container: &str, member: &str) -> Result<u32, BtfError> {
        self.by_name
            .get(container.as_bytes())
            .and_then(|id| self.bit_offset(*id, member.as_bytes(), 0))
            .map(|bits| bits / 8)
            .ok_or_else(|| BtfError::NotFound {
                container: container.into(),
                member: member.into(),
            })
    }

    fn bit_offset(&self, id: u32, wanted: &[u8], depth: u32) -> Option<u32> {
        // Deeper nesting than the kernel has: a loop in damaged BTF.
        if depth > 16 {
            return None;
        }
        let composite = self.composites.get(&id)?;
        composite.members.iter().find_map(|member| {
            let offset = if composite.bitfields {
                member.offset & 0x00ff_ffff
            } else {
                member.offset
            };
            if member.name == 0 {
                Some(offset + self.bit_offset(member.type_id, wanted, depth + 1)?)
            } else {
                (self.string(member.name) == wanted).then_some(offset)
            }
        })
    }
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
        KIND_STRUCT | KIND_UNION | 15 | 19 => 12 * count,
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
