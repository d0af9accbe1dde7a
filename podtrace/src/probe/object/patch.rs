//! A change of the kernel object's code or data before it is loaded.
//!
//! aya sets globals and numbers of elements. Anything else that depends on the kernel or on
//! options has a unique mark in the object, which a [`Patch`] replaces.
use std::{fmt, ops::Range};

use ::object::{File, Object as _, ObjectSection as _, ObjectSymbol as _};
use thiserror::Error;

/// Bytes of an instruction.
const INSTRUCTION: usize = 8;
/// `BPF_JMP | BPF_JA` to the next instruction, linux/bpf.h.
const NO_OPERATION: [u8; INSTRUCTION] = [0x05, 0, 0, 0, 0, 0, 0, 0];
/// Data consists of 32-bit numbers.
const NUMBER: usize = size_of::<u32>();

/// Why an object was not changed, with the purpose of the change.
#[derive(Debug, Error)]
pub enum PatchError {
    /// The mark is not in exactly one place.
    #[error("the kernel object has {found} places in {within} to {purpose}, not one")]
    Places {
        /// The purpose of the change.
        purpose: &'static str,
        /// The searched part.
        within: String,
        /// The number of places found.
        found: usize,
    },
    /// The replacement does not fit.
    #[error("{len} bytes to {purpose} do not fit into the {room} of their place in {within}")]
    Length {
        /// The purpose of the change.
        purpose: &'static str,
        /// The part with the place.
        within: String,
        /// Bytes of the replacement.
        len: usize,
        /// Bytes of the place.
        room: usize,
    },
    /// The object lacks the program or section, or is no object.
    #[error("the kernel object has no {within}, which is changed to {purpose}")]
    Missing {
        /// The purpose of the change.
        purpose: &'static str,
        /// The missing part.
        within: String,
    },
}

/// The searched part of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::probe) enum Within {
    /// Code, by the program's name.
    Program(&'static str),
    /// Data, by the section's name.
    Section(&'static str),
}

/// A change in a single place, which a mark identifies.
#[derive(Clone, Copy, Debug)]
pub(in crate::probe) struct Patch<'a> {
    /// Its purpose, for errors: "to do something".
    pub(in crate::probe) purpose: &'static str,
    pub(in crate::probe) within: Within,
    /// The bytes to be replaced; none for any byte.
    pub(in crate::probe) mark: &'a [Option<u8>],
}

/// A mark of exactly these bytes.
pub(in crate::probe) fn exactly(bytes: &[u8]) -> Vec<Option<u8>> {
    bytes.iter().copied().map(Some).collect()
}

impl Patch<'_> {
    /// Replaces the marked bytes by `replacement` of them: data of the same length, or whole
    /// instructions. If these are fewer, the rest becomes no-operations.
    ///
    /// # Errors
    /// When there is not exactly one place, or the replacement does not fit.
    /// When there is not exactly one place, or the replacement does not fit.
    pub(in crate::probe) fn apply(
        &self,
        object: &mut [u8],
        replacement: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Result<(), PatchError> {
        let part = self
            .within
            .find(object)
            .and_then(|range| object.get_mut(range));
        let part = part.ok_or_else(|| PatchError::Missing {
            purpose: self.purpose,
            within: self.within.to_string(),
        })?;
        self.apply_to(part, replacement)
    }

    fn apply_to(
        &self,
        part: &mut [u8],
        replacement: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Result<(), PatchError> {
        let range = self.place(part)?;
        let place = &mut part[range];
        let new = replacement(place);
        if !self.within.takes(new.len(), place.len()) {
            return Err(PatchError::Length {
                purpose: self.purpose,
                within: self.within.to_string(),
                len: new.len(),
                room: place.len(),
            });
        }
        let (used, rest) = place.split_at_mut(new.len());
        used.copy_from_slice(&new);
        rest.as_chunks_mut().0.fill(NO_OPERATION);
        Ok(())
    }

    /// The only place with the mark.
    fn place(&self, part: &[u8]) -> Result<Range<usize>, PatchError> {
        let is_here = |at: &usize| {
            let there = part[*at..].get(..self.mark.len());
            there.is_some_and(|there| {
                let mut pairs = self.mark.iter().zip(there);
                pairs.all(|(mark, byte)| mark.is_none_or(|mark| mark == *byte))
            })
        };
        let places = (0..part.len()).step_by(self.within.unit()).filter(is_here);
        match places.collect::<Vec<_>>()[..] {
            [at] => Ok(at..at + self.mark.len()),
            ref places => Err(PatchError::Places {
                purpose: self.purpose,
                within: self.within.to_string(),
                found: places.len(),
            }),
        }
    }
}

impl Within {
    /// Its range in the object's bytes.
    fn find(self, object: &[u8]) -> Option<Range<usize>> {
        let file = File::parse(object).ok()?;
        let (begin, len) = match self {
            Self::Section(name) => file.section_by_name(name)?.file_range()?,
            Self::Program(name) => {
                let program = file.symbol_by_name(name)?;
                let section = file.section_by_index(program.section_index()?).ok()?;
                // In an object that is not linked, a symbol's address is relative to its
                // section.
                let begin = section.file_range()?.0.checked_add(program.address())?;
                (begin, program.size())
            }
        };
        let begin = usize::try_from(begin).ok()?;
        Some(begin..begin.checked_add(usize::try_from(len).ok()?)?)
    }

    /// The alignment of places, in bytes.
    fn unit(self) -> usize {
        match self {
            Self::Program(_) => INSTRUCTION,
            Self::Section(_) => NUMBER,
        }
    }

    /// Whether a replacement of `len` bytes fits into `room` bytes.
    fn takes(self, len: usize, room: usize) -> bool {
        match self {
            Self::Program(_) => len <= room && len.is_multiple_of(INSTRUCTION),
            Self::Section(_) => len == room,
        }
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(name) => write!(f, "program {name}"),
            Self::Section(name) => write!(f, "section {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: [u8; 8] = [0x85, 0, 0, 0, 1, 2, 3, 4];
    const OTHER: [u8; 8] = [0x85, 0, 0, 0, 1, 2, 3, 5];
    const NEW: [u8; 8] = [0xb7, 0, 0, 0, 7, 0, 0, 0];

    /// The code after the marks are replaced by these bytes.
    fn patched(code: &[[u8; 8]], marks: usize, new: &[u8]) -> Result<Vec<u8>, String> {
        let mark = exactly(&MARK.repeat(marks));
        let patch = Patch {
            purpose: "filter",
            within: Within::Program("tap"),
            mark: &mark,
        };
        let mut code = code.concat();
        match patch.apply_to(&mut code, |_| new.to_vec()) {
            Ok(()) => Ok(code),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn one_place_is_replaced() {
        let code = patched(&[OTHER, MARK, OTHER], 1, &NEW);
        assert_eq!(code, Ok([OTHER, NEW, OTHER].concat()));
    }

    #[test]
    fn none_and_two_places_are_refused() {
        let none = patched(&[OTHER, OTHER], 1, &NEW);
        let expected = "the kernel object has 0 places in program tap to filter, not one";
        assert_eq!(none, Err(expected.into()));
        let two = patched(&[MARK, OTHER, MARK], 1, &NEW);
        let expected = "the kernel object has 2 places in program tap to filter, not one";
        assert_eq!(two, Err(expected.into()));
        // Three marks in a row contain two marks in two places.
        assert!(patched(&[MARK; 3], 2, &NEW).is_err());
        assert!(patched(&[], 1, &NEW).is_err());
    }

    #[test]
    fn place_begins_where_an_instruction_does() {
        let code = [OTHER, MARK, OTHER].concat();
        let shifted: Vec<_> = code[4..20].as_chunks().0.to_vec();
        assert!(patched(&shifted, 1, &NEW).is_err());
    }

    #[test]
    fn shorter_code_is_filled_up_and_longer_is_refused() {
        let code = [OTHER, MARK, MARK, MARK, OTHER];
        let rest = [NO_OPERATION; 2].concat();
        let filled = [&OTHER[..], &NEW, &rest, &OTHER].concat();
        assert_eq!(patched(&code, 3, &NEW), Ok(filled));
        assert!(patched(&code, 3, &[]).is_ok());
        let expected = "32 bytes to filter do not fit into the 24 of their place in program tap";
        assert_eq!(patched(&code, 3, &NEW.repeat(4)), Err(expected.into()));
        // Not a whole number of instructions.
        assert!(patched(&code, 3, &NEW[..7]).is_err());
    }

    #[test]
    fn data_is_replaced_by_as_much() {
        let mark = exactly(&[1, 2, 3, 4]);
        let patch = Patch {
            purpose: "set a size",
            within: Within::Section("maps"),
            mark: &mark,
        };
        let with = |new: &[u8]| {
            let mut data = [0, 0, 0, 0, 1, 2, 3, 4];
            patch.apply_to(&mut data, |_| new.to_vec()).map(|()| data)
        };
        assert_eq!(with(&[9; 4]).unwrap(), [0, 0, 0, 0, 9, 9, 9, 9]);
        assert!(with(&[9; 3]).is_err());
        assert!(with(&[9; 8]).is_err());
    }

    #[test]
    fn wildcard_bytes_are_passed_to_the_replacement() {
        let patch = Patch {
            purpose: "turn around",
            within: Within::Program("tap"),
            mark: &[Some(1), None, Some(0), Some(0), None, None, None, None],
        };
        let mut code = [1, 0x21, 0, 0, 5, 6, 7, 8];
        let turned = |place: &[u8]| vec![2, place[1].rotate_left(4), 0, 0, 0, 0, 0, 0];
        patch.apply_to(&mut code, turned).unwrap();
        assert_eq!(code, [2, 0x12, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn bytes_that_are_no_object_are_refused() {
        let patch = Patch {
            purpose: "filter",
            within: Within::Program("tap"),
            mark: &[Some(1)],
        };
        let error = patch.apply(&mut [0; 100], |_| Vec::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kernel object has no program tap, which is changed to filter"
        );
    }
}
