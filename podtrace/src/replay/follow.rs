//! Growing sessions: their begin, and the file that follows another.
use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::session::{
    chain::Chain,
    input::expand,
    reader::{Item, Reader, ReaderOptions},
};

/// Pause between two looks at a growing file.
pub(super) const FOLLOW_PAUSE: Duration = Duration::from_millis(50);

/// Waits until files that were only just created hold something: an empty one
/// does not tell what it will be.
pub(super) fn wait_until_begun(paths: &[PathBuf], stop: &AtomicBool) {
    // What cannot be read is said by who reads it.
    let files = || paths.iter().filter_map(|path| expand(path).ok()).flatten();
    let is_empty = |file: PathBuf| {
        fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
    };
    while files().any(is_empty) && !stop.load(Ordering::Relaxed) {
        thread::sleep(FOLLOW_PAUSE);
    }
}

/// The files in which a session goes on, if they are there by now.
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
