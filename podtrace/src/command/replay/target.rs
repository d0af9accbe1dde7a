//! The file that a command makes of recordings.
use std::{
    ffi::OsString,
    fs,
    io::{BufWriter, Write},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context as _, bail};

use super::code;
use crate::{
    cli::{InputArgs, typed},
    replay::report::Played,
    session::{files, folder::is_capture},
    sink::{self, Named},
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

/// Ends a file that was begun; returns the exit code. `has_begun`: whether it was. Where nothing was
/// found for it, none is left; and one that it was to replace stays, unless it is whole.
pub(super) fn finish(
    target: Option<&Path>,
    has_begun: bool,
    earlier: Option<Earlier>,
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
    let written = target.filter(|path| has_begun && path.is_file());
    match (written, earlier) {
        (_, Some(earlier)) if is_whole && !is_missed && !is_empty => earlier.replaced()?,
        (_, Some(earlier)) => {
            let why = if is_empty {
                "no packet was found: "
            } else {
                ""
            };
            sink::tell(&format!("{why}{} stays as it was", shown(&earlier.path)));
            earlier.restore()?;
        }
        (Some(path), None) if is_missed => fs::remove_file(path)
            .with_context(|| format!("failed to remove {}, which has no packets", shown(path)))?,
        (Some(path), None) if !is_whole => sink::tell(&format!("{} is partial", shown(path))),
        _ => {}
    }
    Ok(code(&played?))
}

/// A file that is to be replaced, under another name until there is something in its place.
pub(super) struct Earlier {
    path: PathBuf,
    /// None once that is decided.
    aside: Option<PathBuf>,
}

impl Earlier {
    /// Sets a regular file aside, if there is one.
    pub(super) fn set_aside(target: Option<&Path>) -> anyhow::Result<Option<Self>> {
        let is_file = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_file());
        let Some(path) = target.filter(|path| is_file(path)) else {
            return Ok(None);
        };
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}.replaced", process::id()));
        let aside = path.with_file_name(name);
        fs::rename(path, &aside).with_context(|| format!("failed to replace {}", shown(path)))?;
        Ok(Some(Self {
            path: path.to_owned(),
            aside: Some(aside),
        }))
    }

    fn replaced(mut self) -> anyhow::Result<()> {
        let aside = self.aside.take();
        aside.map_or(Ok(()), |aside| {
            fs::remove_file(&aside).with_context(|| format!("failed to remove {}", shown(&aside)))
        })
    }

    fn restore(mut self) -> anyhow::Result<()> {
        self.put_back()
    }

    fn put_back(&mut self) -> anyhow::Result<()> {
        let Some(aside) = self.aside.take() else {
            return Ok(());
        };
        fs::rename(&aside, &self.path).with_context(|| {
            let (path, aside) = (shown(&self.path), shown(&aside));
            format!("failed to put {path} back, which is {aside} now")
        })
    }
}

impl Drop for Earlier {
    fn drop(&mut self) {
        if let Err(error) = self.put_back() {
            sink::tell(&format!("{error:#}"));
        }
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
