//! The kept inputs, and changed ones: each is read by its target.
#![expect(clippy::disallowed_methods, reason = "a test names its own files")]

mod mutate;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use podtrace_fuzz::TARGETS;

use self::mutate::Mutator;

/// Changed inputs for each target: all together take some seconds.
const CHANGED: usize = 800;

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

/// The same ones at every run: `cargo xtask fuzz` looks for more.
#[test]
fn changed_inputs_are_read() {
    for target in TARGETS {
        let files = list(&corpus().join(target.name)).unwrap();
        let kept: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        let last = Path::new(env!("CARGO_TARGET_TMPDIR")).join(target.name);
        // A failing test leaves the input there.
        println!("{}", last.display());
        let mut mutator = Mutator::new(&kept);
        for _ in 0..CHANGED {
            let changed = mutator.next();
            fs::write(&last, &changed).unwrap();
            (target.run)(&changed);
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
