//! The package of RPM: a lead, a header of checksums, a header of fields, and a cpio archive.
//! (rpm: docs/manual/format_v4.md)

mod header;

use std::path::Path;

use anyhow::Result;

use self::header::{Header, Value};
use super::{
    archive::{gzip, sha256},
    content::{ABOUT, Content, File, Kind, OWN_FOLDERS, Release},
};
use crate::cpio;

const PRE_UNINSTALL: &str = include_str!("rpm/preun");
/// After installing and removing.
const RELOAD: &str = include_str!("rpm/reload");
const SHELL: &str = "/bin/sh";

const FOLDER: u16 = 0o040_755;
const REGULAR: u16 = 0o100_000;

/// Flags of a dependency.
const LESS_OR_EQUAL: u32 = 0x0a;
const EQUAL: u32 = 0x08;
const OF_RPM_ITSELF: u32 = 0x0100_0000;
/// What RPM has to know to install the package.
const NEEDED_OF_RPM: [(&str, &str); 3] = [
    ("rpmlib(CompressedFileNames)", "3.0.4-1"),
    ("rpmlib(FileDigests)", "4.6.0-1"),
    ("rpmlib(PayloadFilesHavePrefix)", "4.0-1"),
];
/// SHA-256, as OpenPGP numbers algorithms.
const SHA256: u32 = 8;

/// The bytes of the package.
pub(super) fn package(release: &Release, content: &Content) -> Result<Vec<u8>> {
    let entries = entries(content);
    let archive = archive(&entries)?;
    let payload = gzip(&archive)?;
    let mut header = Header::new(63);
    describe(&mut header, release);
    scripts(&mut header);
    list(&mut header, release, &entries)?;
    header.add(5092, Value::Array(vec![sha256(&payload)]));
    header.add(5093, Value::U32(vec![SHA256]));
    let header = header.bytes()?;

    let mut checksums = Header::new(62);
    checksums.add(273, Value::Text(sha256(&header)));
    let len = u32::try_from(header.len() + payload.len())?;
    checksums.add(1000, Value::U32(vec![len]));
    checksums.add(1007, Value::U32(vec![u32::try_from(archive.len())?]));
    let mut checksums = checksums.bytes()?;
    checksums.resize(checksums.len().next_multiple_of(8), 0);

    Ok([lead(release), checksums, header, payload].concat())
}

/// What older programs read first; RPM itself looks at no more than the first bytes.
fn lead(release: &Release) -> Vec<u8> {
    let mut lead = vec![0xed, 0xab, 0xee, 0xdb, 3, 0, 0, 0];
    lead.extend(release.machine.rpm.to_be_bytes());
    lead.extend(format!("podtrace-{}-1", release.version).bytes());
    lead.resize(10 + 66, 0);
    let (linux, of_headers) = (1_u16, 5_u16);
    lead.extend([linux.to_be_bytes(), of_headers.to_be_bytes()].concat());
    lead.resize(96, 0);
    lead
}

fn describe(header: &mut Header, release: &Release) {
    let text = |text: &str| Value::Text(text.to_owned());
    header.add(100, Value::Array(vec!["C".to_owned()]));
    for (tag, value) in [
        (1000, "podtrace"),
        (1001, release.version),
        (1002, "1"),
        (1007, "localhost"),
        (1014, super::notices::LICENCE),
        (1021, "linux"),
        (1022, release.machine.rust),
        (1044, "podtrace-src.rpm"),
        (1064, "4.14.0"),
        (1124, "cpio"),
        (1125, "gzip"),
        (1126, "6"),
    ] {
        header.add(tag, text(value));
    }
    for (tag, value) in [
        (
            1004,
            "Packet capture and tracing for Kubernetes worker nodes".to_owned(),
        ),
        (1005, ABOUT.join("\n")),
        (1016, "Applications/System".to_owned()),
    ] {
        header.add(tag, Value::Translated(value));
    }
    header.add(1006, Value::U32(vec![release.time]));

    header.add(1047, Value::Array(vec!["podtrace".to_owned()]));
    header.add(1112, Value::U32(vec![EQUAL]));
    header.add(1113, Value::Array(vec![format!("{}-1", release.version)]));
    // The program is static: only the scripts need something.
    let mut needed = vec![(SHELL, "", 0)];
    needed.extend(
        NEEDED_OF_RPM.map(|(name, version)| (name, version, OF_RPM_ITSELF | LESS_OR_EQUAL)),
    );
    let names = needed.iter().map(|(name, ..)| (*name).to_owned());
    header.add(1049, Value::Array(names.collect()));
    let flags = needed.iter().map(|(.., flags)| *flags);
    header.add(1048, Value::U32(flags.collect()));
    let versions = needed.iter().map(|(_, version, _)| (*version).to_owned());
    header.add(1050, Value::Array(versions.collect()));
}

fn scripts(header: &mut Header) {
    for (script, program, text) in [
        (1024, 1086, RELOAD),
        (1025, 1087, PRE_UNINSTALL),
        (1026, 1088, RELOAD),
    ] {
        header.add(script, Value::Text(text.to_owned()));
        header.add(program, Value::Text(SHELL.to_owned()));
    }
}

/// A folder, or a file.
struct Entry<'a> {
    /// Of the folder that it is in, with a slash at its end.
    folder: String,
    name: &'a str,
    file: Option<&'a File>,
}

impl Entry<'_> {
    fn mode(&self) -> u16 {
        let mode = |file: &File| REGULAR | u16::try_from(file.mode).unwrap_or(0o644);
        self.file.map_or(FOLDER, mode)
    }

    fn bytes(&self) -> &[u8] {
        self.file.map_or(&[], |file| &file.bytes)
    }

    /// Configuration that is kept as it was changed, or documentation.
    fn flags(&self) -> u32 {
        match self.file.map(|file| file.kind) {
            Some(Kind::Configuration) => 0x11,
            Some(Kind::Documentation) => 0x02,
            _ => 0,
        }
    }
}

/// The folders that belong to podtrace alone, and all files, by path.
fn entries(content: &Content) -> Vec<Entry<'_>> {
    let folders = OWN_FOLDERS.iter().map(|path| (*path, None));
    let files = content
        .0
        .iter()
        .map(|file| (file.path.as_str(), Some(file)));
    let mut all: Vec<_> = folders.chain(files).collect();
    all.sort_by_key(|(path, _)| *path);
    all.into_iter()
        .map(|(path, file)| {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            Entry {
                folder: format!("/{folder}/"),
                name,
                file,
            }
        })
        .collect()
}

fn archive(entries: &[Entry<'_>]) -> Result<Vec<u8>> {
    let mut archive = Vec::new();
    for (inode, entry) in (1..).zip(entries) {
        let path = format!(".{}{}", entry.folder, entry.name);
        let mode = entry.mode().into();
        cpio::write_entry(&mut archive, inode, Path::new(&path), mode, entry.bytes())?;
    }
    cpio::write_end(&mut archive)?;
    Ok(archive)
}

fn list(header: &mut Header, release: &Release, entries: &[Entry<'_>]) -> Result<()> {
    let mut folders: Vec<&str> = entries.iter().map(|entry| entry.folder.as_str()).collect();
    folders.sort_unstable();
    folders.dedup();
    let place = |entry: &Entry<'_>| folders.binary_search(&entry.folder.as_str()).unwrap_or(0);
    let numbers = |of: &dyn Fn(&Entry<'_>) -> usize| -> Result<Value> {
        let each = entries.iter().map(|entry| Ok(u32::try_from(of(entry))?));
        Ok(Value::U32(each.collect::<Result<_>>()?))
    };
    let words = |of: &dyn Fn(&Entry<'_>) -> String| Value::Array(entries.iter().map(of).collect());
    let all = |value: u32| Value::U32(vec![value; entries.len()]);
    let digest = |entry: &Entry<'_>| entry.file.map_or(String::new(), |file| sha256(&file.bytes));
    let total: usize = entries.iter().map(|entry| entry.bytes().len()).sum();
    let inodes = (1..).take(entries.len()).collect();

    header.add(1009, Value::U32(vec![u32::try_from(total)?]));
    header.add(1028, numbers(&|entry| entry.bytes().len())?);
    header.add(1030, Value::U16(entries.iter().map(Entry::mode).collect()));
    header.add(1033, Value::U16(vec![0; entries.len()]));
    header.add(1034, all(release.time));
    header.add(1035, words(&digest));
    header.add(1036, words(&|_| String::new()));
    header.add(1037, Value::U32(entries.iter().map(Entry::flags).collect()));
    header.add(1039, words(&|_| "root".to_owned()));
    header.add(1040, words(&|_| "root".to_owned()));
    header.add(1045, all(u32::MAX));
    header.add(1095, all(1));
    header.add(1096, Value::U32(inodes));
    header.add(1097, words(&|_| String::new()));
    header.add(1116, numbers(&place)?);
    header.add(1117, words(&|entry| entry.name.to_owned()));
    header.add(
        1118,
        Value::Array(folders.iter().map(|folder| (*folder).to_owned()).collect()),
    );
    header.add(5011, Value::U32(vec![SHA256]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::content::tests::sample;
    use super::*;

    #[test]
    fn package_is_the_same_twice_and_its_parts_are_aligned() {
        let (release, content) = sample();
        let rpm = package(&release, &content).unwrap();
        assert_eq!(rpm, package(&release, &content).unwrap());
        assert_eq!(lead(&release).len(), 96);
        // Both headers begin with the same bytes, at multiples of 8.
        let magic = [0x8e, 0xad, 0xe8, 1];
        let begins: Vec<_> = rpm
            .windows(4)
            .enumerate()
            .filter(|(_, bytes)| *bytes == magic)
            .collect();
        assert_eq!(begins.len(), 2);
        assert!(begins.iter().all(|(at, _)| at % 8 == 0), "{begins:?}");
    }

    #[test]
    fn own_folders_are_listed_with_the_files() {
        let (_, content) = sample();
        let entries = entries(&content);
        let paths: Vec<_> = entries
            .iter()
            .map(|entry| format!("{}{}", entry.folder, entry.name))
            .collect();
        assert_eq!(
            paths,
            [
                "/etc/podtrace",
                "/etc/podtrace/recorder.toml",
                "/usr/bin/podtrace",
                "/usr/share/doc/podtrace",
                "/usr/share/doc/podtrace/copyright"
            ]
        );
        let marks: Vec<_> = entries
            .iter()
            .map(|entry| (entry.mode(), entry.flags()))
            .collect();
        assert_eq!(
            marks[..3],
            [(0o040_755, 0), (0o100_644, 0x11), (0o100_755, 0)]
        );
    }
}
