//! A recording that a podtrace elsewhere makes: its bytes as they come, in a file here.
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    FilesError, Replacement, destination::create_directory, name::Names, output_file::OutputFile,
    trust::check_directory, trust::warning,
};

/// A directory for the recordings of several nodes.
#[derive(Debug)]
pub struct FetchedInto(PathBuf);

impl FetchedInto {
    /// Creates the directory, unless it exists.
    ///
    /// # Errors
    /// When it cannot be created, or is another user's link.
    pub fn open(directory: &Path) -> Result<Self, FilesError> {
        check_directory(directory)?;
        create_directory(directory)?;
        Ok(Self(directory.to_owned()))
    }

    /// Describes what other users can do to the files; none if nothing.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        warning(&self.0)
    }

    /// The file of a node. An earlier one is replaced with `force` only, once that is confirmed.
    ///
    /// # Errors
    /// When the name exists, or the file cannot be created.
    pub fn create(&self, node: &str, force: bool) -> Result<Fetched, FilesError> {
        let path = self.0.join(Names::of_node(node));
        let output = OutputFile::create(path, force)?;
        Ok(Fetched { output })
    }
}

/// The recording of a node. One that holds nothing when it is dropped is removed.
#[derive(Debug)]
pub struct Fetched {
    output: OutputFile,
}

impl Fetched {
    /// The name that it has, or is to have.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.output.path()
    }

    /// Lets it replace an earlier file, as soon as something is written.
    ///
    /// # Errors
    /// When that cannot be replaced any more.
    pub fn confirm(&self) -> Result<(), FilesError> {
        let aside = self.output.aside();
        aside.map_or(Ok(()), |aside| {
            Replacement::new(Arc::clone(aside)).confirm()
        })
    }

    /// Writes all of the next bytes, or none.
    ///
    /// # Errors
    /// When the system does not take them; what was written before stays.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FilesError> {
        self.output.write(bytes)
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        match (self.output.end(), self.output.aside(), self.output.own()) {
            (0, Some(aside), _) => {
                drop(Replacement::new(Arc::clone(aside)));
                aside.end();
            }
            (0, None, Some(own)) if own.at(self.output.path()).is_some() => {
                // It may stay: it is empty.
                let _ = fs::remove_file(self.output.path());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_their_nodes_and_replaced_on_request_only() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("sub");
        let into = FetchedInto::open(&folder).unwrap();
        let mut file = into.create("../a b", false).unwrap();
        let path = folder.join("-a-b.pcapng.zst");
        assert_eq!(file.path(), path);
        file.write(b"one").unwrap();
        drop(file);
        let refused = into.create("../a b", false).unwrap_err();
        assert!(matches!(refused, FilesError::Exists(_)), "{refused}");
        // One that gets nothing leaves the earlier one.
        let file = into.create("../a b", true).unwrap();
        file.confirm().unwrap();
        drop(file);
        drop(into.create("../a b", true).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        let mut file = into.create("../a b", true).unwrap();
        file.confirm().unwrap();
        file.write(b"t").unwrap();
        file.write(b"wo").unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"two");
        drop(into.create("empty", false).unwrap());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn full_disk_is_said_and_leaves_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let into = FetchedInto::open(folder.path()).unwrap();
        let mut file = into.create("worker1", false).unwrap();
        file.write(b"first").unwrap();
        let path = file.path().to_owned();
        // A disk that is full from here on.
        file.output = OutputFile::given(
            fs::File::options().write(true).open("/dev/full").unwrap(),
            &path,
        )
        .unwrap();
        let error = file.write(b"second").unwrap_err();
        assert!(error.to_string().contains("no space"), "{error}");
        drop(file);
        assert_eq!(fs::read(path).unwrap(), b"first");
    }
}
