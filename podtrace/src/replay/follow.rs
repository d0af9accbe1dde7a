//! Growing sessions: waits for their begin, and finds the next file.
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    session::{
        chain::Chain,
        reader::{Item, Reader, ReaderOptions},
    },
    signals::Stop,
    text::escape::shown,
};

/// Pause between two checks of a growing file.
pub(super) const FOLLOW_PAUSE: Duration = Duration::from_millis(50);

/// Waits until files created just now have content: an empty file does not show its format.
pub(super) fn wait_until_started(paths: &[PathBuf], stop: &Stop) -> io::Result<()> {
    while paths.iter().any(|path| is_about_to_begin(path)) && !stop.is_set() {
        stop.sleep(FOLLOW_PAUSE)?;
    }
    Ok(())
}

/// Whether a file is still empty, or is such a file in the directory with a capture's name.
fn is_about_to_begin(path: &Path) -> bool {
    // The reader reports files that cannot be read.
    let is_empty = |file: &Path| {
        fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
    };
    let is_named_so = |file: &Path| {
        let name = file.file_name().map(shown);
        name.is_some_and(|name| name.contains(".pcap"))
    };
    let Ok(entries) = fs::read_dir(path) else {
        return is_empty(path);
    };
    let mut files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    files.any(|file| is_named_so(&file) && is_empty(&file))
}

/// The files that continue a session, if they exist by now.
pub(super) fn newer_files(chain: &Chain) -> Vec<PathBuf> {
    let (Some(info), Some(directory)) = (chain.continues(), chain.path().parent()) else {
        return Vec::new();
    };
    let directory = if directory.as_os_str().is_empty() {
        ".".into()
    } else {
        directory.to_owned()
    };
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut newer: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            path.is_file().then_some(())?;
            let mut reader = Reader::open(&path, ReaderOptions::default()).ok()?;
            match reader.next_item() {
                Ok(Some(Item::Section(other)))
                    if other.session == info.session && other.section > info.section =>
                {
                    Some((other.section, path))
                }
                _ => None,
            }
        })
        .collect();
    newer.sort();
    newer.into_iter().map(|(_, path)| path).collect()
}
