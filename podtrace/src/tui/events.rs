//! The thread that reads the terminal.
//!
//! Of an unfinished sequence, as `ESC [` alone, crossterm waits for the rest, and where the
//! terminal is closed meanwhile it reads for ever. That holds up this thread only; it ends with the
//! process at the latest.
use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use ratatui::crossterm::event::{self, Event};

use super::terminal;

/// How many events wait at most; further ones wait in the terminal.
const WAITING_MAX: usize = 64;
/// How often it is looked for another size.
const LOOK: Duration = Duration::from_millis(100);

/// What the terminal says.
pub(super) struct Events(Receiver<io::Result<Event>>);

impl Events {
    /// Begins to read the terminal.
    pub(super) fn listen() -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        thread::Builder::new().name("keys".into()).spawn(move || {
            if let Err(error) = read(&sender) {
                // The screen may have ended by itself.
                let _ = sender.send(Err(error));
            }
        })?;
        Ok(Self(receiver))
    }

    /// The next event; none if none comes for so long, or the terminal is closed.
    pub(super) fn next(&self, limit: Duration) -> io::Result<Option<Event>> {
        match self.0.recv_timeout(limit) {
            Ok(event) => event.map(Some),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(None),
        }
    }
}

/// Hands events over until the terminal is closed, or nobody takes them any more.
fn read(sender: &SyncSender<io::Result<Event>>) -> io::Result<()> {
    loop {
        terminal::wait(LOOK);
        if terminal::is_closed() {
            return Ok(());
        }
        // What is typed then is for the shell.
        if !terminal::is_taken() {
            thread::sleep(LOOK);
            continue;
        }
        while event::poll(Duration::ZERO)? {
            if sender.send(Ok(event::read()?)).is_err() {
                return Ok(());
            }
        }
    }
}
