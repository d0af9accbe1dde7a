//! Finds the files of earlier runs of the same recorder: they count towards its limits.
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Instant, SystemTime},
};

use nix::unistd::Uid;

use super::{identity::Identity, name::Names, replacement::is_in_use, retention::OwnFile};
use crate::session::{
    format::SectionInfo,
    reader::{Item, Reader, ReaderOptions},
};

/// The identity of a recorder, which its next run shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderId {
    /// Its target, as in [`SectionInfo::recorder`].
    pub target: String,
    /// Its nodes.
    pub nodes: Vec<String>,
}

impl RecorderId {
    /// Whether it wrote the section. A name alone would not do: anybody can choose it.
    fn has_written(&self, info: &SectionInfo) -> bool {
        info.recorder.as_ref() == Some(&self.target) && info.nodes == self.nodes
    }
}

/// The files of the directory that earlier runs have finished, except for the `known` ones.
pub(super) fn find(
    recorder: &RecorderId,
    names: &Names,
    known: impl Fn(&Path) -> bool,
) -> Vec<OwnFile> {
    let Some(entries) = names
        .directory()
        .and_then(|directory| fs::read_dir(directory).ok())
    else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| names.is_one(&entry.file_name()))
        .map(|entry| names.beside(&entry.file_name()))
        .filter(|path| !known(path))
        .filter_map(|path| finished(recorder, &path))
        .collect()
}

/// The file, if the recorder has written it and no running podtrace writes to it.
fn finished(recorder: &RecorderId, path: &Path) -> Option<OwnFile> {
    let metadata = fs::symlink_metadata(path).ok()?;
    if !metadata.is_file() || metadata.uid() != Uid::effective().as_raw() || is_in_use(path) {
        return None;
    }
    let mut reader = Reader::open(path, ReaderOptions::default()).ok()?;
    let Ok(Some(Item::Section(info))) = reader.next_item() else {
        return None;
    };
    if !recorder.has_written(&info) {
        return None;
    }
    let age = metadata
        .modified()
        .ok()
        .and_then(|time| SystemTime::now().duration_since(time).ok());
    let now = Instant::now();
    Some(OwnFile {
        path: path.to_owned(),
        identity: Identity::from(&metadata),
        bytes: metadata.len(),
        ended_at: age.and_then(|age| now.checked_sub(age)).unwrap_or(now),
        is_stuck: false,
        is_earlier: true,
    })
}
