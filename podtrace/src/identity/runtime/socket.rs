//! Reports when a runtime's socket appears or disappears.
use std::{
    ffi::OsString,
    future,
    os::fd::{AsFd as _, AsRawFd, RawFd},
    path::PathBuf,
};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::io::unix::AsyncFd;

/// The events of a socket's name.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_DELETE);

/// Watches the directories of some sockets.
#[derive(Debug)]
pub(super) struct SocketWatch {
    sockets: Vec<PathBuf>,
    names: Vec<OsString>,
    /// None if the machine has no watch left: then only time prompts attempts.
    inotify: Option<AsyncFd<Watcher>>,
}

/// `Inotify` for the executor.
#[derive(Debug)]
struct Watcher(Inotify);

impl AsRawFd for Watcher {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl SocketWatch {
    /// Watches for these sockets.
    pub(super) fn new(sockets: Vec<PathBuf>) -> Self {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        let inotify = Inotify::init(flags)
            .ok()
            // SAFETY: the watcher owns its descriptor, which is the same and
            // open for as long as it lives; nothing takes it out.
            .and_then(|inotify| unsafe { AsyncFd::register(Watcher(inotify)) }.ok());
        let watch = Self {
            names: sockets
                .iter()
                .filter_map(|socket| socket.file_name().map(ToOwned::to_owned))
                .collect(),
            sockets,
            inotify,
        };
        watch.renew();
        watch
    }

    /// Adds directories created since; those watched stay so.
    pub(super) fn renew(&self) {
        let Some(inotify) = &self.inotify else { return };
        for directory in self.sockets.iter().filter_map(|socket| socket.parent()) {
            // A missing directory is tried again with the next call.
            let _ = inotify.get_ref().0.add_watch(directory, CHANGES);
        }
    }

    /// Waits until one of the sockets is created or removed. Dropping the future and
    /// calling it again loses nothing.
    pub(super) async fn changed(&self) {
        loop {
            let Some(inotify) = &self.inotify else {
                return future::pending().await;
            };
            let Ok(mut guard) = inotify.readable().await else {
                return future::pending().await;
            };
            let events = guard.try_io(|inotify| Ok(inotify.get_ref().0.read_events()?));
            match events {
                Ok(Ok(events)) if events.iter().any(|event| self.concerns(event)) => return,
                Ok(Ok(_)) | Err(_) => {}
                Ok(Err(_)) => return future::pending().await,
            }
        }
    }

    /// An event without a name concerns a directory, or lost events.
    fn concerns(&self, event: &InotifyEvent) -> bool {
        event
            .name
            .as_ref()
            .is_none_or(|name| self.names.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::net::UnixListener, time::Duration};

    use tokio::time::timeout;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn added_and_removed_sockets_are_reported() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s.sock");
        let watch = SocketWatch::new(vec![socket.clone()]);
        let listener = UnixListener::bind(&socket).unwrap();
        timeout(DEADLINE, watch.changed()).await.unwrap();
        drop(listener);
        fs::remove_file(&socket).unwrap();
        timeout(DEADLINE, watch.changed()).await.unwrap();
    }

    #[tokio::test]
    async fn a_directory_made_later_is_taken_in() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("later/s.sock");
        let watch = SocketWatch::new(vec![socket.clone()]);
        fs::create_dir(dir.path().join("later")).unwrap();
        watch.renew();
        let _listener = UnixListener::bind(&socket).unwrap();
        timeout(DEADLINE, watch.changed()).await.unwrap();
    }

    #[tokio::test]
    async fn other_files_are_not_reported() {
        let dir = tempfile::tempdir().unwrap();
        let watch = SocketWatch::new(vec![dir.path().join("s.sock")]);
        fs::write(dir.path().join("other"), "").unwrap();
        let short = Duration::from_millis(100);
        assert!(timeout(short, watch.changed()).await.is_err());
    }
}
