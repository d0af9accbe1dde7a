//! The file that a command makes of recordings.
use std::{
    fs,
    io::{BufWriter, Write},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
};

use anyhow::{Context as _, bail};

use crate::{
    cli::{InputArgs, typed},
    replay::report::Played,
    session::{files, folder::is_capture},
    sink::Named,
    text::escape::shown,
};

/// The file to write; none for standard output.
pub(super) fn target(write: Option<&Path>) -> Option<&Path> {
    write.filter(|path| path.as_os_str() != "-")
}

/// Opens it.
pub(super) fn writer(target: Option<&Path>, force: bool) -> anyhow::Result<Box<dyn Write + Send>> {
    Ok(match target {
        Some(path) => {
            let file = files::create(path, force)?;
            Box::new(BufWriter::new(Named::new(shown(path), file)))
        }
        None => Box::new(BufWriter::new(Named::stdout())),
    })
}

/// Removes a file that was begun, where nothing was found for it.
pub(super) fn remove_empty(target: Option<&Path>, played: &Played) -> anyhow::Result<()> {
    match target {
        Some(path) if played.missed.is_some() && path.is_file() => fs::remove_file(path)
            .with_context(|| format!("failed to remove {}, which has no packets", shown(path))),
        _ => Ok(()),
    }
}

/// Refuses a directory. `name`: that of a file which might be meant.
pub(super) fn refuse_directory(path: &Path, name: &str) -> anyhow::Result<()> {
    if path.is_dir() {
        let option = typed("write");
        bail!(
            "{option} {} is a directory\nhint: name a file in it, for example {option} {}",
            shown(path),
            shown(path.join(name))
        );
    }
    Ok(())
}

/// Refuses to write over what is read: a recording that is given, or one in a directory that is.
pub(super) fn refuse_inputs(write: &Path, args: &InputArgs) -> anyhow::Result<()> {
    let identity = |path: &Path| {
        let metadata = path.metadata().ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let Some(own) = identity(write) else {
        return Ok(());
    };
    let directory = write.parent().filter(|path| !path.as_os_str().is_empty());
    let directory = identity(directory.unwrap_or(Path::new(".")));
    let is_read = |input: &Path| match input.is_dir() {
        true => identity(input) == directory && (is_capture(write) || may_be_recording(write)),
        false => identity(input) == Some(own),
    };
    if args.files.iter().any(|input| is_read(input)) {
        let option = typed("write");
        bail!(
            "{option} {} is one of the files to read\nhint: name another file",
            shown(write)
        );
    }
    Ok(())
}

/// Whether a file has the name of one that is read, though it may be damaged.
fn may_be_recording(path: &Path) -> bool {
    let name = path.as_os_str().as_bytes();
    let name = [".zst", ".gz"].iter().fold(name, |name, suffix| {
        name.strip_suffix(suffix.as_bytes()).unwrap_or(name)
    });
    name.ends_with(b".pcapng") || name.ends_with(b".pcap")
}
