//! The kept inputs: each is read by its target.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use podtrace_fuzz::TARGETS;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// What is in a folder, in order.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = folder.read_dir()?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[test]
fn every_target_has_its_corpus() {
    let folders = list(&corpus()).unwrap();
    let targets = TARGETS.iter().map(|target| corpus().join(target.name));
    assert_eq!(folders, targets.collect::<Vec<_>>());
}

#[test]
fn every_kept_input_is_read() {
    for target in TARGETS {
        for file in list(&corpus().join(target.name)).unwrap() {
            // A failing test shows it.
            println!("{}", file.display());
            (target.run)(&fs::read(file).unwrap());
        }
    }
}

/// What everybody clones stays small.
#[test]
fn corpus_is_small() {
    let size = |file: PathBuf| file.metadata().unwrap().len();
    let folders = list(&corpus()).unwrap().into_iter();
    let files = folders.flat_map(|folder| list(&folder).unwrap());
    assert!(files.map(size).sum::<u64>() < 1 << 20);
}
