//! Signals that end a command.
//!
//! SIGHUP ends it as SIGINT does, unless it was ignored before podtrace started (nohup). A
//! recording also continues without a terminal, as a service has none.
mod stop;

use std::{fs::OpenOptions, io, mem::MaybeUninit, os::unix::fs::OpenOptionsExt as _, ptr};

use tokio::signal::unix::{Signal, SignalKind, signal};

pub use stop::Stop;

/// SIGINT, SIGTERM and SIGHUP, which do nothing by themselves any more.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None where a hangup ends nothing.
    hangup: Option<Signal>,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Self::of(!is_hangup_ignored())
    }

    /// Listens for a command that continues without a terminal.
    pub(crate) fn listen_as_service() -> io::Result<Self> {
        let ends = !is_hangup_ignored() && has_terminal();
        let signals = Self::of(ends)?;
        if !ends {
            ignore_hangup()?;
        }
        Ok(signals)
    }

    fn of(hangup_ends: bool) -> io::Result<Self> {
        let hangup = hangup_ends.then(|| signal(SignalKind::hangup()));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: hangup.transpose()?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        let Self {
            interrupt,
            terminate,
            hangup,
        } = self;
        let hangup = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether SIGHUP was ignored when podtrace started.
pub(crate) fn is_hangup_ignored() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with no new action it only writes the present one; zeros are a valid one.
    unsafe {
        libc::sigaction(libc::SIGHUP, ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

fn ignore_hangup() -> io::Result<()> {
    // SAFETY: an ignored signal runs nothing.
    let before = unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    if before == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Whether a terminal controls the process, and hangs up when it is closed.
fn has_terminal() -> bool {
    let terminal = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOCTTY)
        .open("/dev/tty");
    terminal.is_ok()
}
