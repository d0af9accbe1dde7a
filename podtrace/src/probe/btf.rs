//! The running kernel's types, from its BTF (`/sys/kernel/btf/vmlinux`).
//!
//! Rust programs carry no CO-RE relocations, so the few offsets that the kernel side needs are
//! looked up here and passed as globals.
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    os::fd::AsRawFd as _,
    path::Path,
};

use btf_rs::{Backend, BtfType, Error, Type};
use nix::sys::memfd::{MFdFlags, memfd_create};
use thiserror::Error;

/// The path of the running kernel's BTF.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// Why a type of the kernel is unknown.
#[derive(Debug, Error)]
pub enum BtfError {
    /// The BTF is missing or malformed.
    #[error("failed to read {BTF_PATH}")]
    Read(#[source] Error),
    /// The kernel has no such struct or member.
    #[error("kernel BTF has no member {member} in struct {container}")]
    NoMember {
        /// The requested struct.
        container: String,
        /// The requested member.
        member: String,
    },
    /// The kernel has no such enum.
    #[error("kernel BTF has no enum {0}")]
    NoEnum(String),
}

/// The kernel's types. There are more than a hundred thousand, of which a handful is needed:
/// they are read in place, on request.
pub struct Btf(btf_rs::Btf);

/// The names of an enum's values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enumeration {
    /// In the order of their declaration.
    variants: Vec<(String, i64)>,
    /// Positions by value.
    by_value: BTreeMap<i64, usize>,
}

impl Enumeration {
    fn new(variants: Vec<(String, i64)>) -> Self {
        let mut by_value = BTreeMap::new();
        for (position, (_, value)) in variants.iter().enumerate() {
            by_value.entry(*value).or_insert(position);
        }
        Self { variants, by_value }
    }

    /// The first name of a value.
    #[must_use]
    pub fn name(&self, value: i64) -> Option<&str> {
        let position = self.by_value.get(&value)?;
        Some(&self.variants.get(*position)?.0)
    }

    /// The value of a name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<i64> {
        let variant = self.variants.iter().find(|variant| variant.0 == name)?;
        Some(variant.1)
    }
}

impl Btf {
    /// Reads the types of the running kernel.
    ///
    /// # Errors
    /// When it has none, or they cannot be read.
    pub fn of_kernel() -> Result<Self, BtfError> {
        Self::open(Path::new(BTF_PATH)).map_err(BtfError::Read)
    }

    fn open(path: &Path) -> Result<Self, Error> {
        let map = |path: &Path| btf_rs::Btf::from_file_with_backend(path, Backend::Mmap);
        let btf = match map(path) {
            // Before Linux 6.16 the kernel's BTF cannot be mapped; a copy can.
            Err(Error::IO(error)) if error.raw_os_error() == Some(libc::ENODEV) => {
                let copy = copied(path)?;
                map(format!("/proc/self/fd/{}", copy.as_raw_fd()).as_ref())?
            }
            mapped => mapped?,
        };
        Ok(Self(btf))
    }

    /// The types of this name that are of the requested kind.
    fn named<T>(
        &self,
        name: &str,
        wanted: impl Fn(u32, Type) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        for id in self.0.resolve_ids_by_name(name)? {
            if let Some(found) = wanted(id, self.0.resolve_type_by_id(id)?) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Type id of a function; none if the kernel has no such function.
    ///
    /// # Errors
    /// When the types are malformed.
    pub fn function(&self, name: &str) -> Result<Option<u32>, BtfError> {
        let is_function = |id, found| matches!(found, Type::Func(_)).then_some(id);
        self.named(name, is_function).map_err(BtfError::Read)
    }

    /// The number of arguments of the function that `typedef name` points to; none if there is
    /// no such type.
    ///
    /// # Errors
    /// When the types are malformed.
    pub fn arguments_of(&self, name: &str) -> Result<Option<usize>, BtfError> {
        let found = self.named(name, |_, found| match found {
            Type::Typedef(found) => Some(found),
            _ => None,
        });
        let Some(found) = found.map_err(BtfError::Read)? else {
            return Ok(None);
        };
        let pointer = self
            .0
            .resolve_chained_type(&found)
            .map_err(BtfError::Read)?;
        let Type::Ptr(pointer) = pointer else {
            return Ok(None);
        };
        let function = self.0.resolve_chained_type(&pointer);
        Ok(match function.map_err(BtfError::Read)? {
            Type::FuncProto(function) => Some(function.parameters.len()),
            _ => None,
        })
    }

    /// Offset in bytes of `member` in `struct container`, including members of anonymous
    /// structs and unions.
    ///
    /// # Errors
    /// When there is no such struct or member, or the types are malformed.
    pub fn offset_of(&self, container: &str, member: &str) -> Result<u32, BtfError> {
        Ok(self.bits_to(container, member)? / 8)
    }

    fn bits_to(&self, container: &str, member: &str) -> Result<u32, BtfError> {
        let found = self.named(container, |_, found| match found {
            Type::Struct(found) => Some(found),
            _ => None,
        });
        let bits = match found.map_err(BtfError::Read)? {
            Some(found) => self.bit_offset(&found, member, 0).map_err(BtfError::Read)?,
            None => None,
        };
        bits.ok_or_else(|| BtfError::NoMember {
            container: container.into(),
            member: member.into(),
        })
    }

    /// The position of a flag of `struct container`: the offset of its byte, and its bit
    /// there.
    ///
    /// # Errors
    /// When there is no such struct or member, or the types are malformed.
    pub fn flag(&self, container: &str, member: &str) -> Result<(u32, u32), BtfError> {
        let bits = self.bits_to(container, member)?;
        Ok((bits / 8, 1 << (bits % 8)))
    }

    fn bit_offset(
        &self,
        container: &btf_rs::Struct,
        wanted: &str,
        depth: u32,
    ) -> Result<Option<u32>, Error> {
        // Deeper nesting than the kernel's means a loop in damaged BTF.
        if depth > 16 {
            return Ok(None);
        }
        for member in &container.members {
            let name = self.name(member)?;
            if name == wanted {
                return Ok(Some(member.bit_offset()));
            }
            if !name.is_empty() {
                continue;
            }
            let (Type::Struct(inner) | Type::Union(inner)) = self.0.resolve_chained_type(member)?
            else {
                continue;
            };
            if let Some(offset) = self.bit_offset(&inner, wanted, depth + 1)? {
                return Ok(member.bit_offset().checked_add(offset));
            }
        }
        Ok(None)
    }

    /// The names and values of `enum name`.
    ///
    /// # Errors
    /// When there is no such enum, or the types are malformed.
    pub fn enumeration(&self, name: &str) -> Result<Enumeration, BtfError> {
        let found = self.named(name, |_, found| match found {
            Type::Enum(found) => Some(self.variants(&found)),
            Type::Enum64(found) => Some(self.variants64(&found)),
            _ => None,
        });
        let variants = found.and_then(Option::transpose).map_err(BtfError::Read)?;
        let variants = variants.ok_or_else(|| BtfError::NoEnum(name.into()))?;
        Ok(Enumeration::new(variants))
    }

    fn variants(&self, found: &btf_rs::Enum) -> Result<Vec<(String, i64)>, Error> {
        let value = |value: u32| match found.is_signed() {
            true => value.cast_signed().into(),
            false => value.into(),
        };
        let variants = found.members.iter();
        variants
            .map(|variant| Ok((self.name(variant)?, value(variant.val()))))
            .collect()
    }

    fn variants64(&self, found: &btf_rs::Enum64) -> Result<Vec<(String, i64)>, Error> {
        let variants = found.members.iter();
        variants
            .map(|variant| Ok((self.name(variant)?, variant.val().cast_signed())))
            .collect()
    }

    /// Empty for a type without a name.
    fn name(&self, of: &dyn BtfType) -> Result<String, Error> {
        match of.get_name_offset() {
            Some(0) | None => Ok(String::new()),
            Some(_) => self.0.resolve_name(of),
        }
    }
}

/// Copies a file to a file in memory.
fn copied(path: &Path) -> io::Result<File> {
    let mut copy = File::from(memfd_create("btf", MFdFlags::MFD_CLOEXEC)?);
    copy.write_all(&fs::read(path)?)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRINGS: &[u8] = b"\0a\0first\0x\0y\0reason\0NONE\0BAD\0wide\0";

    /// The offset of a name in the strings.
    fn name(wanted: &str) -> u32 {
        let wanted = format!("\0{wanted}\0");
        let mut places = STRINGS.windows(wanted.len());
        let at = places.position(|there| there == wanted.as_bytes());
        u32::try_from(at.unwrap() + 1).unwrap()
    }

    fn blob(types: &[u32]) -> Vec<u8> {
        let mut data = vec![0x9f, 0xeb, 1, 0];
        let len = u32::try_from(types.len() * 4).unwrap();
        for number in [24, 0, len, len, u32::try_from(STRINGS.len()).unwrap()] {
            data.extend(u32::to_le_bytes(number));
        }
        data.extend(types.iter().flat_map(|word| word.to_le_bytes()));
        data.extend(STRINGS);
        data
    }

    fn types() -> Vec<u32> {
        let (structure, union, enumeration, function, wide) =
            (4 << 24, 5 << 24, 6 << 24, 12 << 24, 19 << 24);
        let signed = 1 << 31;
        [
            // 1: struct a { void first; union {...} at 8 bytes; }
            &[name("a"), structure | 2, 16][..],
            &[name("first"), 0, 0, 0, 2, 64],
            // 2: union { void x; void y at 4 bytes; }
            &[0, union | 2, 8, name("x"), 0, 0, name("y"), 0, 32],
            // 3: enum reason { NONE = 2, BAD = -1, first = 2 }
            &[name("reason"), signed | enumeration | 3, 4],
            &[name("NONE"), 2, name("BAD"), u32::MAX, name("first"), 2],
            // 4: a function of the struct's name
            &[name("a"), function, 0],
            // 5: enum of 64 bits
            &[name("wide"), wide | 1, 8, name("BAD"), 5, 1],
        ]
        .concat()
    }

    fn open(data: &[u8]) -> Result<Btf, Error> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(data).unwrap();
        Btf::open(file.path())
    }

    #[test]
    fn offset_of_nested_member_is_found() {
        let btf = open(&blob(&types())).unwrap();
        assert_eq!(btf.offset_of("a", "first").unwrap(), 0);
        assert_eq!(btf.offset_of("a", "x").unwrap(), 8);
        assert_eq!(btf.offset_of("a", "y").unwrap(), 12);
        let error = btf.offset_of("a", "z").unwrap_err();
        assert_eq!(error.to_string(), "kernel BTF has no member z in struct a");
        assert!(btf.offset_of("reason", "x").is_err());
        assert!(btf.offset_of("b", "x").is_err());
    }

    #[test]
    fn function_is_distinguished_from_a_struct_of_its_name() {
        let btf = open(&blob(&types())).unwrap();
        assert_eq!(btf.function("a").unwrap(), Some(4));
        assert_eq!(btf.function("reason").unwrap(), None);
    }

    #[test]
    fn enum_values_and_names_map_both_ways() {
        let btf = open(&blob(&types())).unwrap();
        let reasons = btf.enumeration("reason").unwrap();
        assert_eq!(reasons.name(2), Some("NONE"));
        assert_eq!(reasons.name(-1), Some("BAD"));
        assert_eq!(reasons.name(0), None);
        assert_eq!(reasons.value("first"), Some(2));
        assert_eq!(reasons.value("x"), None);
        let wide = btf.enumeration("wide").unwrap();
        assert_eq!(wide.value("BAD"), Some(5 | 1 << 32));
        assert!(matches!(btf.enumeration("a"), Err(BtfError::NoEnum(_))));
    }

    #[test]
    fn file_cut_anywhere_is_refused() {
        let data = blob(&types());
        for len in 0..data.len() {
            assert!(open(&data[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn struct_that_holds_itself_has_an_end() {
        let looped = [name("a"), 4 << 24 | 1, 8, 0, 1, 0];
        let btf = open(&blob(&looped)).unwrap();
        assert!(btf.offset_of("a", "x").is_err());
    }

    #[test]
    fn file_is_copied_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&blob(&types())).unwrap();
        let copy = copied(file.path()).unwrap();
        let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
        assert_eq!(fs::read(path).unwrap(), blob(&types()));
    }
}
