//! Names for captures of other tools, which name no node.
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

use super::Input;
use crate::text::escape::shown;

/// Names captures whose files have one name by as much of their paths as tells them apart.
pub(super) fn distinguish(inputs: &mut [Input]) {
    let mut alike: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (number, input) in inputs.iter().enumerate() {
        if input.info.is_none() && !input.is_stream() {
            alike.entry(input.file_name()).or_default().push(number);
        }
    }
    for numbers in alike.into_values().filter(|numbers| numbers.len() > 1) {
        let paths = numbers
            .iter()
            .map(|number| inputs[*number].files[0].clone());
        let names = shortest(&paths.collect::<Vec<_>>());
        for (number, name) in numbers.into_iter().zip(names) {
            inputs[number].name = Some(shown(&name).into());
        }
    }
}

/// The shortest ends of paths that are all different; the paths themselves where none are.
fn shortest(paths: &[PathBuf]) -> Vec<PathBuf> {
    let longest = paths.iter().map(|path| path.components().count()).max();
    for count in 1..=longest.unwrap_or_default() {
        let ends: Vec<_> = paths.iter().map(|path| end(path, count)).collect();
        if ends.iter().collect::<BTreeSet<_>>().len() == ends.len() {
            return ends;
        }
    }
    paths.to_vec()
}

/// The last components of a path, without a leading `.`.
fn end(path: &Path, count: usize) -> PathBuf {
    let all: Vec<_> = path
        .components()
        .filter(|part| *part != Component::CurDir)
        .collect();
    all[all.len().saturating_sub(count)..].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_long_as_they_have_to_be() {
        for (paths, names) in [
            (&["a/x", "b/y"][..], &["x", "y"][..]),
            (&["a/x", "b/x"], &["a/x", "b/x"]),
            (&["./x", "b/x"], &["x", "b/x"]),
            (
                &["/1/a/x", "/2/a/x", "/2/b/x"],
                &["1/a/x", "2/a/x", "2/b/x"],
            ),
            (&["/x", "x"], &["/x", "x"]),
        ] {
            let paths: Vec<_> = paths.iter().map(PathBuf::from).collect();
            let names: Vec<_> = names.iter().map(PathBuf::from).collect();
            assert_eq!(shortest(&paths), names);
        }
    }
}
