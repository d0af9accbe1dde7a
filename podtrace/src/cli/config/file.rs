//! Finds and reads configuration files.
use std::{
    env,
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::unistd::Uid;

use crate::{
    session::files::is_trusted,
    text::{escape::shown, system_error::without_numbers},
};

/// Defaults of all users.
const SYSTEM: &str = "/etc/podtrace/config.toml";
/// Names the user's file.
const VARIABLE: &str = "PODTRACE_CONFIG";
/// Upper bound of a file in bytes.
const BYTES_MAX: u64 = 64 << 10;
/// Write permission of the group and of everybody.
const OTHERS_WRITE: u32 = 0o022;

/// Where a file may be.
struct Place {
    path: PathBuf,
    /// Whether it was asked for, and must exist.
    is_named: bool,
}

/// The files with their names, for errors; later ones come before earlier ones.
pub(super) fn read_all() -> Result<Vec<(String, String)>, String> {
    let system = Place {
        path: SYSTEM.into(),
        is_named: false,
    };
    let places = [
        Some(system),
        users(|name| env::var_os(name).map(PathBuf::from)),
    ];
    let texts = places.into_iter().flatten().filter_map(|place| {
        let name = shown(&place.path);
        let text = read(&place, Uid::effective().is_root());
        text.transpose().map(|text| Ok((name, text?)))
    });
    texts.collect()
}

/// The user's file.
fn users(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<Place> {
    let given = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    if let Some(path) = given(VARIABLE) {
        return Some(Place {
            path,
            is_named: true,
        });
    }
    let folder = given("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let folder = folder.or_else(|| given("HOME").map(|home| home.join(".config")))?;
    Some(Place {
        path: folder.join("podtrace/config.toml"),
        is_named: false,
    })
}

/// Reads a file, if there is one.
fn read(place: &Place, is_root: bool) -> Result<Option<String>, String> {
    let name = shown(&place.path);
    let failed = |error: io::Error| {
        let reason = without_numbers(&error.to_string());
        format!("failed to read {name}: {reason}\nhint: --no-config does without it")
    };
    // Opening a FIFO would wait for its writer.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = match options.open(&place.path) {
        Ok(file) => file,
        Err(error) if !place.is_named && is_absent(&error, &place.path) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(format!(
            "{name} is no file\nhint: --no-config does without it"
        ));
    }
    if is_root {
        check_owner(&name, found.uid(), found.mode())?;
    }
    let mut text = String::new();
    file.take(BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(format!("{name} is larger than {} KiB", BYTES_MAX >> 10));
    }
    Ok(Some(text))
}

/// Whether there is no file, or none that this user is to read.
fn is_absent(error: &io::Error, path: &Path) -> bool {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => true,
        // HOME may be another user's.
        io::ErrorKind::PermissionDenied => path != Path::new(SYSTEM),
        _ => false,
    }
}

/// Refuses what others could make root do.
fn check_owner(name: &str, owner: u32, mode: u32) -> Result<(), String> {
    if !is_trusted(owner) {
        return Err(format!(
            "{name} belongs to user {owner}, and podtrace runs as root\nhint: it takes files of root \
             and of the user of sudo: chown root {name}, or --no-config"
        ));
    }
    if mode & OTHERS_WRITE != 0 {
        return Err(format!(
            "others can write to {name}, and podtrace runs as root\nhint: chmod go-w {name}, or \
             --no-config"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn place(path: &Path) -> Place {
        Place {
            path: path.to_owned(),
            is_named: false,
        }
    }

    #[test]
    fn user_s_file_is_found_by_the_environment() {
        let path = |variables: &[(&str, &str)]| {
            let found = users(|name| {
                let of = variables.iter().find(|(known, _)| *known == name);
                of.map(|(_, value)| value.into())
            });
            found.map(|place| (place.path.display().to_string(), place.is_named))
        };
        let is = |path: &str, is_named| Some((path.to_owned(), is_named));
        let home = ("HOME", "/home/a");
        assert_eq!(
            path(&[home]),
            is("/home/a/.config/podtrace/config.toml", false)
        );
        let xdg = ("XDG_CONFIG_HOME", "/x");
        assert_eq!(path(&[home, xdg]), is("/x/podtrace/config.toml", false));
        let relative = ("XDG_CONFIG_HOME", "x");
        assert_eq!(path(&[home, relative]), path(&[home]));
        assert_eq!(path(&[home, xdg, (VARIABLE, "c")]), is("c", true));
        assert_eq!(path(&[home, (VARIABLE, "")]), path(&[home]));
        assert_eq!(path(&[]), None);
    }

    #[test]
    fn root_takes_no_file_that_others_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        assert_eq!(read(&place(&path), true), Ok(None));
        fs::write(&path, "[all]\n").unwrap();
        for (mode, is_taken) in [(0o644, true), (0o600, true), (0o664, false), (0o646, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let taken = read(&place(&path), true);
            assert_eq!(taken.is_ok(), is_taken, "{mode:o}: {taken:?}");
            if let Err(words) = taken {
                assert!(words.contains("chmod go-w") && words.contains("--no-config"));
            }
            assert!(read(&place(&path), false).is_ok());
        }
        // The tests run as one user: no file is another's.
        let stranger = check_owner("f", Uid::effective().as_raw() + 4242, 0o600).unwrap_err();
        assert!(stranger.contains("chown root f"), "{stranger}");
    }

    #[test]
    fn only_files_of_some_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let refused = |path: &Path| read(&place(path), false).unwrap_err();
        assert!(refused(folder.path()).contains("is no file"));
        fs::write(&path, " ".repeat(BYTES_MAX as usize + 1)).unwrap();
        assert!(refused(&path).contains("larger than 64 KiB"));
        fs::write(&path, b"\xff").unwrap();
        assert!(refused(&path).contains("UTF-8"));
        let named = Place {
            path: folder.path().join("none"),
            is_named: true,
        };
        assert!(read(&named, false).unwrap_err().contains("No such file"));
    }
}
