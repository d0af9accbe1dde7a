//! The captures that a path names: a file, or the captures in a directory.
use std::path::{Path, PathBuf};

use super::{
    files::is_aside,
    input::InputError,
    reader::{Reader, ReaderOptions},
};
use crate::text::{escape::shown, names::list};

/// The captures that a path names.
#[derive(Debug, Default)]
pub struct Found {
    /// The captures, in order of their names.
    pub captures: Vec<PathBuf>,
    /// The other files of the directory: their names, and why they are no captures.
    pub others: Vec<String>,
}

/// Finds the captures that a path names; in a directory it recognises them by content.
///
/// # Errors
/// When a directory cannot be read or holds none.
pub fn find(path: &Path) -> Result<Found, InputError> {
    let mut found = Found::default();
    if !path.is_dir() {
        found.captures.push(path.to_owned());
        return Ok(found);
    }
    for file in files(path)? {
        match inspect(&file) {
            None => found.captures.push(file),
            Some(why) => {
                let name = file.file_name().unwrap_or_default();
                found.others.push(format!("{} ({why})", shown(name)));
            }
        }
    }
    if found.captures.is_empty() {
        return Err(InputError::Empty {
            path: path.to_owned(),
            hint: match found.others.as_slice() {
                [] => ": it is empty".to_owned(),
                others => format!(": there is {}", list(others)),
            },
        });
    }
    Ok(found)
}

/// All entries of a directory, in order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, InputError> {
    let open = |source| InputError::Open {
        path: path.to_owned(),
        source,
    };
    let entries = path.read_dir().map_err(open)?;
    let files = entries.map(|entry| Ok(entry?.path()));
    let mut files = files.collect::<Result<Vec<_>, _>>().map_err(open)?;
    files.sort();
    Ok(files)
}

/// Whether a file is a capture that is read in its directory.
#[must_use]
pub fn is_capture(file: &Path) -> bool {
    inspect(file).is_none()
}

/// The reason why a file is no capture, if it is none.
fn inspect(file: &Path) -> Option<String> {
    if is_aside(file) {
        return Some("not whole yet".to_owned());
    }
    match file.metadata() {
        Ok(metadata) if metadata.is_dir() => return Some("a directory".to_owned()),
        // Reading a pipe would consume its contents.
        Ok(metadata) if !metadata.is_file() => return Some("not a file".to_owned()),
        Ok(metadata) if metadata.len() == 0 => return Some("empty".to_owned()),
        Ok(_) => {}
        Err(error) => return Some(error.to_string()),
    }
    match Reader::open(file, ReaderOptions::default()) {
        Ok(_) => None,
        Err(InputError::Permission { .. }) => Some("no permission to read".to_owned()),
        Err(InputError::Open { source, .. } | InputError::Read { source, .. }) => {
            Some(source.to_string())
        }
        Err(_) => Some("no capture".to_owned()),
    }
}
