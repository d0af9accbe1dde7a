//! The names of session files.
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

/// Upper bound of the node's name in a file name (which may have 255 bytes).
const NODE_MAX: usize = 200;

/// The naming scheme of a session's files.
#[derive(Debug)]
pub(super) enum Names {
    /// A single file.
    Exactly(PathBuf),
    /// `stem_00001_20261124T120000Z.pcapng`: by number, then start of the file.
    Numbered {
        directory: PathBuf,
        stem: OsString,
        suffix: OsString,
    },
    /// `node_20261124T120000Z_00001.pcapng`: by node and start of the session,
    /// which all of its files share.
    InDirectory {
        directory: PathBuf,
        prefix: String,
        suffix: &'static str,
    },
}

impl Names {
    /// The scheme of a file of exactly that name; `.zst` is added if compressed.
    pub(super) fn exactly(path: &Path, zstd: bool) -> Self {
        let mut name = path.as_os_str().to_owned();
        if zstd && path.extension() != Some(OsStr::new("zst")) {
            name.push(".zst");
        }
        Self::Exactly(name.into())
    }

    /// The scheme of files numbered before their extension.
    pub(super) fn numbered(path: &Path, zstd: bool) -> Self {
        let is_zst = path.extension() == Some(OsStr::new("zst"));
        let inner = if is_zst {
            path.with_extension("")
        } else {
            path.to_owned()
        };
        let mut suffix = OsString::new();
        if let Some(extension) = inner.extension() {
            suffix.push(".");
            suffix.push(extension);
        }
        if zstd || is_zst {
            suffix.push(".zst");
        }
        Self::Numbered {
            directory: path.parent().unwrap_or(Path::new("")).to_owned(),
            stem: inner.file_stem().unwrap_or_default().to_owned(),
            suffix,
        }
    }

    /// The scheme of a node's files in a directory.
    pub(super) fn in_directory(path: &Path, node: &str, start: Timestamp, zstd: bool) -> Self {
        Self::InDirectory {
            directory: path.to_owned(),
            prefix: format!("{}_{}", plain(node), utc(start)),
            suffix: if zstd { ".pcapng.zst" } else { ".pcapng" },
        }
    }

    /// The name of the only file of a node in a directory, compressed.
    pub(super) fn of_node(node: &str) -> String {
        plain(node) + ".pcapng.zst"
    }

    /// The name of a file by its number (from 1) and start.
    pub(super) fn path(&self, number: u64, start: Timestamp) -> PathBuf {
        match self {
            Self::Exactly(path) => path.clone(),
            Self::Numbered {
                directory,
                stem,
                suffix,
            } => {
                let mut name = stem.clone();
                name.push(format!("_{number:05}_{}", utc(start)));
                name.push(suffix);
                directory.join(name)
            }
            Self::InDirectory {
                directory,
                prefix,
                suffix,
            } => directory.join(format!("{prefix}_{number:05}{suffix}")),
        }
    }
}

impl Names {
    /// The directory that holds the files of several runs; none for a single file.
    pub(super) fn directory(&self) -> Option<&Path> {
        match self {
            Self::Exactly(_) => None,
            Self::Numbered { directory, .. } | Self::InDirectory { directory, .. } => {
                let is_here = directory.as_os_str().is_empty();
                Some(if is_here { Path::new(".") } else { directory })
            }
        }
    }

    /// The path of a file of that name in the directory, as [`Self::path`] has it.
    pub(super) fn beside(&self, name: &OsStr) -> PathBuf {
        match self {
            Self::Exactly(path) => path.with_file_name(name),
            Self::Numbered { directory, .. } | Self::InDirectory { directory, .. } => {
                directory.join(name)
            }
        }
    }

    /// Whether a run of the same recorder may ever have chosen the name.
    pub(super) fn is_one(&self, name: &OsStr) -> bool {
        let (begin, suffix, is_numbered) = match self {
            Self::Exactly(_) => return false,
            Self::Numbered { stem, suffix, .. } => (stem.as_bytes(), suffix.as_bytes(), true),
            Self::InDirectory { prefix, suffix, .. } => {
                let node = prefix.rsplit_once('_').map_or("", |(node, _start)| node);
                (node.as_bytes(), suffix.as_bytes(), false)
            }
        };
        // Another run may have compressed its files, or not.
        let plain = |name| <[u8]>::strip_suffix(name, b".zst").unwrap_or(name);
        let rest = plain(name.as_bytes()).strip_suffix(plain(suffix));
        let rest = rest.and_then(|name| name.strip_prefix(begin)?.strip_prefix(b"_"));
        let parts = rest.and_then(|rest| std::str::from_utf8(rest).ok()?.split_once('_'));
        let is_number = |part: &str| part.len() >= 5 && part.bytes().all(|b| b.is_ascii_digit());
        parts.is_some_and(|(one, two)| match is_numbered {
            true => is_number(one) && is_time(two),
            false => is_time(one) && is_number(two),
        })
    }
}

/// Whether a text has the form that [`utc`] writes.
fn is_time(text: &str) -> bool {
    let is_it = |(at, byte): (usize, u8)| match at {
        8 => byte == b'T',
        15 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    text.len() == 16 && text.bytes().enumerate().all(is_it)
}

fn utc(time: Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// A node's name as part of a file name: without `/`, and not hidden.
fn plain(node: &str) -> String {
    let plain: String = node
        .chars()
        .map(|c| match c {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '-' => c,
            _ => '-',
        })
        .take(NODE_MAX)
        .collect();
    match plain.trim_start_matches('.') {
        "" => "node".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: &str = "2026-11-24T12:00:00Z";

    fn start() -> Timestamp {
        START.parse().unwrap()
    }

    #[test]
    fn files_are_named_by_number_and_start() {
        let named = |path: &str, zstd| {
            let names = Names::numbered(Path::new(path), zstd);
            names.path(7, start()).display().to_string()
        };
        for (given, zstd, name) in [
            ("/d/a.pcapng", false, "/d/a_00007_20261124T120000Z.pcapng"),
            ("a.pcapng", true, "a_00007_20261124T120000Z.pcapng.zst"),
            ("a.pcapng.zst", true, "a_00007_20261124T120000Z.pcapng.zst"),
            ("a.pcapng.zst", false, "a_00007_20261124T120000Z.pcapng.zst"),
            ("a", false, "a_00007_20261124T120000Z"),
            (".a", true, ".a_00007_20261124T120000Z.zst"),
            ("a.b.pcap", false, "a.b_00007_20261124T120000Z.pcap"),
        ] {
            assert_eq!(named(given, zstd), name, "{given} {zstd}");
        }
    }

    #[test]
    fn a_lone_file_has_exactly_its_name() {
        let named = |path: &str, zstd| {
            let names = Names::exactly(Path::new(path), zstd);
            names.path(1, start()).display().to_string()
        };
        assert_eq!(named("a.pcapng", false), "a.pcapng");
        assert_eq!(named("a.pcapng", true), "a.pcapng.zst");
        assert_eq!(named("a.pcapng.zst", true), "a.pcapng.zst");
    }

    #[test]
    fn files_in_a_directory_share_the_session_s_prefix() {
        let names = Names::in_directory(Path::new("/d"), "../k8s/worker 1", start(), true);
        let later = start() + jiff::SignedDuration::from_hours(1);
        assert_eq!(
            names.path(100_000, later),
            Path::new("/d/-k8s-worker-1_20261124T120000Z_100000.pcapng.zst")
        );
    }

    /// Files are recognised by their paths.
    #[test]
    fn what_is_beside_a_file_has_a_path_like_its_own() {
        let start = start();
        for names in [
            Names::numbered(Path::new("a.pcapng"), false),
            Names::numbered(Path::new("./a.pcapng"), false),
            Names::numbered(Path::new("d/a.pcapng"), true),
            Names::in_directory(Path::new("d"), "n_1", start, false),
        ] {
            let path = names.path(7, start);
            assert_eq!(names.beside(path.file_name().unwrap()), path);
        }
    }

    #[test]
    fn names_of_other_runs_are_recognised() {
        let numbered = Names::numbered(Path::new("d/a.pcapng"), true);
        let in_directory = Names::in_directory(Path::new("d"), "n_1", start(), false);
        for (names, name, is_one) in [
            (&numbered, "a_00007_20261124T120000Z.pcapng.zst", true),
            (&numbered, "a_100007_20250101T000000Z.pcapng", true),
            (&numbered, "a_00007_20261124T120000Z.pcapng.gz", false),
            (&numbered, "a_7_20261124T120000Z.pcapng", false),
            (&numbered, "a_00007_20261124T120000.pcapng", false),
            (&numbered, "a_00007_20261124T120000Z", false),
            (&numbered, "b_00007_20261124T120000Z.pcapng", false),
            (&numbered, "a.pcapng", false),
            (&in_directory, "n_1_20250101T000000Z_00001.pcapng", true),
            (&in_directory, "n_1_20250101T000000Z_00001.pcapng.zst", true),
            (&in_directory, "n_2_20250101T000000Z_00001.pcapng", false),
            (&in_directory, "n_1_20250101T000000Z_0000x.pcapng", false),
            (&in_directory, "my n_1_20250101T000000Z_00001.pcapng", false),
        ] {
            assert_eq!(names.is_one(OsStr::new(name)), is_one, "{name}");
        }
        for names in [&numbered, &in_directory] {
            let own = names.path(3, start());
            assert!(names.is_one(own.file_name().unwrap()));
        }
        let lone = Names::exactly(Path::new("a.pcapng"), false);
        assert!(!lone.is_one(OsStr::new("a.pcapng")));
    }

    proptest! {
        #[test]
        fn any_node_makes_a_file_s_name(node in ".{0,300}") {
            let name = plain(&node);
            prop_assert!(!name.is_empty() && name.len() <= NODE_MAX);
            prop_assert!(!name.starts_with('.'));
            prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
        }
    }
}
