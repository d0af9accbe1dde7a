//! The file that a command makes of recordings.
use std::{
    fs,
    io::{BufWriter, Write},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
};

use anyhow::{Context as _, bail};

use super::code;
use crate::{
    cli::{InputArgs, typed},
    replay::report::Played,
    session::{
        files::{self, Replacement},
        folder::is_capture,
    },
    sink::{self, Named},
    text::escape::shown,
};

/// The file to write; none for standard output.
pub(super) fn target(write: Option<&Path>) -> Option<&Path> {
    write.filter(|path| path.as_os_str() != "-")
}

/// What a command begins to write.
#[derive(Default)]
pub(super) struct Begun {
    /// Whether it has begun.
    pub(super) has_begun: bool,
    /// The earlier file that it is to replace, if there is one.
    pub(super) replacement: Option<Replacement>,
}

impl Begun {
    /// Opens the target.
    pub(super) fn writer(
        &mut self,
        target: Option<&Path>,
        force: bool,
    ) -> anyhow::Result<Box<dyn Write + Send>> {
        let Some(path) = target else {
            return Ok(Box::new(BufWriter::new(Named::stdout())));
        };
        let (file, replacement) = files::create(path, force)?;
        self.replacement = replacement;
        Ok(Box::new(BufWriter::new(Named::new(shown(path), file))))
    }
}

/// Ends what was begun; returns the exit code. Where nothing was found for a file, none is left; and
/// one that it was to replace stays, unless it is whole.
pub(super) fn finish(
    target: Option<&Path>,
    begun: Begun,
    played: anyhow::Result<Played>,
) -> anyhow::Result<u8> {
    let (is_whole, is_missed, is_empty) = match &played {
        Ok(played) => (
            !played.is_interrupted,
            played.missed.is_some(),
            played.is_empty,
        ),
        Err(_) => (false, false, false),
    };
    let written = target.filter(|path| begun.has_begun && path.is_file());
    match (written, begun.replacement) {
        (_, Some(replacement)) if is_whole && !is_missed && !is_empty => replacement.confirm()?,
        (_, Some(replacement)) => {
            let why = if is_empty {
                "no packet was found: "
            } else {
                ""
            };
            let target = shown(replacement.target());
            sink::tell(&format!("{why}{target} stays as it was"));
        }
        (Some(path), None) if is_missed => fs::remove_file(path)
            .with_context(|| format!("failed to remove {}, which has no packets", shown(path)))?,
        (Some(path), None) if !is_whole => sink::tell(&format!("{} is partial", shown(path))),
        _ => {}
    }
    Ok(code(&played?))
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
