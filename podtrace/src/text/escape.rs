//! Names that may be any bytes, as text.
use std::{borrow::Cow, ffi::OsStr, fmt::Write as _, os::unix::ffi::OsStrExt as _};

use super::sanitize::sanitize;

/// The name with each byte that is not UTF-8 as `\xff`. Other characters stay as they are.
#[must_use]
pub fn escape(name: &[u8]) -> Cow<'_, str> {
    if let Ok(name) = std::str::from_utf8(name) {
        return name.into();
    }
    let mut escaped = String::with_capacity(4 * name.len());
    for chunk in name.utf8_chunks() {
        escaped.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\x{byte:02x}");
        }
    }
    escaped.into()
}

/// A name or path of the system, safe for a terminal.
#[must_use]
pub fn shown(name: impl AsRef<OsStr>) -> String {
    sanitize(&escape(name.as_ref().as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_escaped_and_stay_apart() {
        assert_eq!(escape(b"veth1"), "veth1");
        assert_eq!(escape("vethü".as_bytes()), "vethü");
        assert_eq!(escape(b"\xffveth\xc3"), "\\xffveth\\xc3");
        assert_ne!(escape(b"a\xfe"), escape(b"a\xff"));
        assert_eq!(shown(OsStr::from_bytes(b"a\x1b\xff")), "a\u{fffd}\\xff");
    }

    proptest! {
        #[test]
        fn any_name_is_shown(name in prop::collection::vec(any::<u8>(), 0..32)) {
            let shown = shown(OsStr::from_bytes(&name));
            prop_assert_eq!(&sanitize(&shown), &shown);
        }
    }
}
