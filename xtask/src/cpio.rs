//! Archives of cpio in the newc format: what a kernel unpacks when it starts, and the files of an
//! RPM. (kernel: Documentation/driver-api/early-userspace/buffer-format.rst)

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
};

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
/// The alignment of headers and contents.
const ALIGNMENT: usize = 4;

/// The content of an archive, by path without the leading slash.
#[derive(Clone, Default)]
pub(crate) struct Archive {
    entries: BTreeMap<PathBuf, Entry>,
}

#[derive(Clone)]
struct Entry {
    mode: u32,
    content: Vec<u8>,
}

impl Archive {
    /// Whether the archive has an entry at this path.
    pub(crate) fn contains(&self, path: impl AsRef<Path>) -> bool {
        self.entries.contains_key(relative(path.as_ref()))
    }

    /// Adds a folder and its parents.
    pub(crate) fn folder(&mut self, path: impl AsRef<Path>) {
        let folders = relative(path.as_ref()).ancestors();
        for folder in folders.filter(|path| !path.as_os_str().is_empty()) {
            let entry = || Entry {
                mode: FOLDER | 0o755,
                content: Vec::new(),
            };
            self.entries
                .entry(folder.to_path_buf())
                .or_insert_with(entry);
        }
    }

    /// Adds a file that everybody may read and run.
    pub(crate) fn file(&mut self, path: impl AsRef<Path>, content: impl Into<Vec<u8>>) {
        self.add(path.as_ref(), FILE | 0o755, content.into());
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, path: impl AsRef<Path>, target: &str) {
        self.add(path.as_ref(), LINK | 0o777, target.into());
    }

    fn add(&mut self, path: &Path, mode: u32, content: Vec<u8>) {
        let path = relative(path);
        if let Some(parent) = path.parent() {
            self.folder(parent);
        }
        self.entries
            .insert(path.to_path_buf(), Entry { mode, content });
    }

    /// Writes the archive, folders before their content.
    pub(crate) fn write(&self, mut to: impl Write) -> io::Result<()> {
        for (inode, (path, entry)) in (1..).zip(&self.entries) {
            write_entry(&mut to, inode, path, entry.mode, &entry.content)?;
        }
        write_end(&mut to)
    }
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// Writes what ends an archive.
pub(crate) fn write_end(to: &mut impl Write) -> io::Result<()> {
    write_entry(to, 0, Path::new("TRAILER!!!"), 0, &[])
}

/// Writes a file or a folder, by the type in its mode.
pub(crate) fn write_entry(
    to: &mut impl Write,
    inode: u32,
    path: &Path,
    mode: u32,
    content: &[u8],
) -> io::Result<()> {
    let name = path.as_os_str().as_encoded_bytes();
    let size = u32::try_from(content.len()).map_err(io::Error::other)?;
    let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
    let (owner, group, links, time) = (0, 0, 1, 0);
    let (major, minor, of_major, of_minor, checksum) = (0, 0, 0, 0, 0);
    let fields = [
        inode, mode, owner, group, links, time, size, major, minor, of_major, of_minor, name_size,
        checksum,
    ];
    let mut head = String::from("070701").into_bytes();
    for field in fields {
        write!(head, "{field:08x}")?;
    }
    head.extend_from_slice(name);
    head.push(0);
    write_padded(to, &head)?;
    write_padded(to, content)
}

fn write_padded(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    let padding = bytes.len().next_multiple_of(ALIGNMENT) - bytes.len();
    to.write_all(&[0; ALIGNMENT][..padding])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(archive: &Archive) -> Vec<u8> {
        let mut bytes = Vec::new();
        archive.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn file_comes_after_its_folders_and_all_is_aligned() {
        let mut archive = Archive::default();
        archive.file("/a/b/c", "hello");
        let mut expected = Vec::new();
        for (head, name, content) in [
            (["00000001", "000041ed", "00000000", "00000002"], "a\0", ""),
            (
                ["00000002", "000041ed", "00000000", "00000004"],
                "a/b\0",
                "",
            ),
            (
                ["00000003", "000081ed", "00000005", "00000006"],
                "a/b/c\0",
                "hello",
            ),
            (
                ["00000000", "00000000", "00000000", "0000000b"],
                "TRAILER!!!\0",
                "",
            ),
        ] {
            let [inode, mode, size, name_size] = head;
            let zero = "00000000";
            let head = format!(
                "070701{inode}{mode}{zero}{zero}00000001{zero}{size}{zero}{zero}{zero}{zero}{name_size}{zero}{name}"
            );
            expected.extend(head.bytes());
            expected.resize(expected.len().next_multiple_of(4), 0);
            expected.extend(content.bytes());
            expected.resize(expected.len().next_multiple_of(4), 0);
        }
        assert_eq!(
            String::from_utf8(written(&archive)),
            String::from_utf8(expected)
        );
    }

    #[test]
    fn path_with_and_without_slash_is_the_same() {
        let mut archive = Archive::default();
        archive.link("/bin", "usr/bin");
        assert!(archive.contains("bin") && archive.contains("/bin"));
        assert!(!archive.contains("/usr/bin"));
    }
}
