//! Growing sessions: waits for their beginning, and finds the next file.
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

/// Pause between two checks of a growing file.
pub(super) const FOLLOW_PAUSE: Duration = Duration::from_millis(50);

/// Waits until files created just now have content: an empty file does not show its format.
pub(super) fn wait_until_begun(paths: &[PathBuf], stop: &AtomicBool) {
    // Whoever reads a file reports that it cannot be read.
    let files = || paths.iter().filter_map(|path| expand(path).ok()).flatten();
    let is_empty = |file: PathBuf| {
        fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
    };
    while files().any(is_empty) && !stop.load(Ordering::Relaxed) {
        thread::sleep(FOLLOW_PAUSE);
    }
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
