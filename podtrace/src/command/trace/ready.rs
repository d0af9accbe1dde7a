//! Where to say that packets are traced.
use std::{
    fs::File,
    io::Write as _,
    os::fd::{AsFd as _, BorrowedFd, RawFd},
};

use anyhow::{Context as _, bail};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
};

use crate::{sink, text::system_error::without_numbers};

/// A descriptor that podtrace was started with.
pub(super) struct Ready {
    file: File,
    number: u32,
}

impl Ready {
    /// Takes a descriptor. Call it before others are opened.
    pub(super) fn open(number: Option<u32>) -> anyhow::Result<Option<Self>> {
        let Some(number) = number else {
            return Ok(None);
        };
        let hint =
            format!("hint: the shell opens one: podtrace trace --ready-fd {number} {number}>ready");
        // SAFETY: nothing but its duplicate is used, and the kernel says whether it is open.
        let given = unsafe { BorrowedFd::borrow_raw(RawFd::try_from(number)?) };
        // What podtrace itself has opened is closed on exec; what it was started with is not.
        let is_given = match fcntl(given, FcntlArg::F_GETFD) {
            Ok(flags) => !FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC),
            Err(Errno::EBADF) => false,
            Err(error) => return Err(error).context(format!("--ready-fd {number}")),
        };
        if !is_given {
            bail!(
                "--ready-fd {number}: podtrace was started without such a file descriptor\n{hint}"
            );
        }
        let file: File = given
            .try_clone_to_owned()
            .with_context(|| format!("--ready-fd {number}: cannot be used"))?
            .into();
        let flags = fcntl(file.as_fd(), FcntlArg::F_GETFL)
            .with_context(|| format!("--ready-fd {number}: cannot be used"))?;
        let access = OFlag::from_bits_retain(flags) & OFlag::O_ACCMODE;
        if access != OFlag::O_WRONLY && access != OFlag::O_RDWR {
            bail!("--ready-fd {number}: it is not open for writing\n{hint}");
        }
        Ok(Some(Self { file, number }))
    }

    /// Says it.
    pub(super) fn tell(&mut self) {
        if let Err(error) = self.file.write_all(b"ready\n") {
            let reason = without_numbers(&error.to_string());
            sink::tell(&format!(
                "--ready-fd {}: nobody could be told: {reason}",
                self.number
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::unistd::close;

    use super::*;

    /// What is said at a descriptor, or why nothing is.
    fn said(file: &File, is_inherited: bool) -> Result<(), String> {
        let duplicate = match is_inherited {
            true => FcntlArg::F_DUPFD(100),
            false => FcntlArg::F_DUPFD_CLOEXEC(100),
        };
        let number = fcntl(file, duplicate).unwrap();
        let ready = Ready::open(Some(u32::try_from(number).unwrap()));
        let told = ready.map(|ready| ready.unwrap().tell());
        close(number).unwrap();
        told.map_err(|error| error.to_string().replace(&number.to_string(), "9"))
    }

    #[test]
    fn only_a_descriptor_that_may_be_written_to_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready");
        fs::write(&path, "before\n").unwrap();
        let read_only = File::open(&path).unwrap();
        let words = said(&read_only, true).unwrap_err();
        assert!(words.starts_with("--ready-fd 9: it is not open for writing\nhint: "));
        let appending = File::options().append(true).open(&path).unwrap();
        let words = said(&appending, false).unwrap_err();
        assert!(
            words.starts_with("--ready-fd 9: podtrace was started without"),
            "{words}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\n");
        said(&appending, true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\nready\n");
        assert!(Ready::open(Some(60_000)).is_err());
    }
}
