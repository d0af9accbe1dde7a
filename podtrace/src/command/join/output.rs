//! Where paths go: to standard output, into files, or into a lake.
//!
//! Files for a lake are first in the directory, where they are one with what is known of their hops.
//! Their names in the lake are known then: who takes over puts them there again, and nothing changes.
use std::{
    io::{self, Write as _},
    time::Duration,
};

use anyhow::anyhow;
use tokio::{runtime::Handle, time::sleep};

use super::{
    cut::Cut,
    room::Room,
    store::{Progress, Store},
};
use crate::{
    lake::{Lake, Made},
    signals::Stop,
    text::escape::shown,
};

/// Pause between two looks at whether it is to stop, and how long a file may take then.
const PAUSE: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_secs(3);

pub(super) enum Output {
    Printed,
    Stored(Stored),
}

/// A directory.
pub(super) struct Stored {
    pub(super) store: Store,
    pub(super) room: Room,
    /// Where the files of the directory go.
    pub(super) lake: Option<(Lake, Handle)>,
    pub(super) stop: Stop,
}

impl Output {
    pub(super) fn write(&self, cut: Cut, progress: &mut Progress) -> io::Result<()> {
        match self {
            Self::Printed => io::stdout().lock().write_all(cut.text.as_bytes()),
            Self::Stored(stored) => stored.write(cut, progress),
        }
    }
}

impl Stored {
    fn write(&self, cut: Cut, progress: &mut Progress) -> io::Result<()> {
        let Cut { text, files, .. } = cut;
        let made = match files {
            Some(files) => files.finish(progress.file).map_err(io::Error::other)?,
            None => Vec::new(),
        };
        if let Some(sent) = &mut progress.lake {
            sent.files = made.iter().map(|made| made.path.clone()).collect();
        }
        self.room.wait_for(&self.stop, || {
            self.store.stage(progress.file, &made)?;
            self.store.add(&text, progress)
        })?;
        drop(made);
        self.send(progress)
    }

    /// Puts into the lake what is to be there.
    pub(super) fn send(&self, progress: &Progress) -> io::Result<()> {
        let (Some(sent), Some((lake, runtime))) = (&progress.lake, &self.lake) else {
            return Ok(());
        };
        for (at, path) in sent.files.iter().enumerate() {
            let Some(bytes) = self.store.staged(progress.file, at)? else {
                continue;
            };
            let path = path.clone();
            let put = lake.put_made(Made { path, bytes });
            let put = runtime.block_on(async {
                tokio::select! {
                    put = put => put,
                    () = stopped(&self.stop) => Err(self.interrupted(lake)),
                }
            });
            put.map_err(io::Error::other)?;
            self.store.unstage(progress.file, at)?;
        }
        self.store.forget_before(progress.file)
    }

    fn interrupted(&self, lake: &Lake) -> anyhow::Error {
        anyhow!(
            "what is joined waits in {} for {}\nhint: start it again: it puts it there",
            shown(self.room.folder()),
            lake.name
        )
    }
}

/// Comes to its end once it is to stop, and the lake had time enough for a file.
async fn stopped(stop: &Stop) {
    while !stop.is_set() {
        sleep(PAUSE).await;
    }
    sleep(LAST).await;
}
