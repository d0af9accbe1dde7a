//! The screen as a command has it.
use std::{
    io::{self, IsTerminal as _},
    sync::Arc,
    thread::{self, JoinHandle},
};

use super::{
    Options, ScreenError, consumer::Feeder, entry::Writer, run::Runner, shared::Shared,
    terminal::leave, view::Facts,
};
use crate::{
    pipeline::consumer::Consumer,
    privilege,
    signals::Stop,
    sink::{self, status::is_dumb},
};

/// Notices that are printed once the screen is gone.
const NOTICES_AFTER: usize = 20;

/// A screen, with its thread.
pub(crate) struct Screen {
    options: Options,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<Vec<String>>>>,
}

impl Screen {
    /// A screen that is not open yet.
    ///
    /// # Errors
    /// Where there is no terminal.
    pub(crate) fn new(options: Options) -> Result<Self, ScreenError> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() || is_dumb() {
            return Err(ScreenError::NoTerminal);
        }
        let shared = Shared::new(options.limits, &options.vxlan_ports);
        Ok(Self {
            options,
            shared: Arc::new(shared),
            thread: None,
        })
    }

    /// Takes the terminal over; returns what feeds the screen. `stop`: makes it go; `quit`: what to
    /// do once it is gone.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn open(
        &mut self,
        stop: Stop,
        quit: Box<dyn Fn() + Send>,
    ) -> io::Result<Box<dyn Consumer>> {
        let facts = Facts {
            of: self.options.of.to_owned(),
            color: self.options.words.color,
            ..Facts::default()
        };
        let runner = Runner::new(
            Arc::clone(&self.shared),
            self.options.limits,
            stop,
            facts,
            self.options.moment,
        )?;
        let runner = match self.options.rereads {
            true => runner.rereading(),
            false => runner,
        };
        let end = End {
            shared: Arc::clone(&self.shared),
            quit,
        };
        sink::screen::open();
        let thread = thread::Builder::new()
            .name("screen".into())
            .spawn(move || {
                let _end = end;
                // It needs none; the main thread reports those that cannot be given up.
                let _ = privilege::keep(privilege::NONE);
                runner.run()
            })?;
        self.thread = Some(thread);
        Ok(self.feeder())
    }

    /// What feeds the open screen.
    pub(crate) fn feeder(&self) -> Box<dyn Consumer> {
        let writer = Writer::new(self.options.words, &jiff::tz::TimeZone::system());
        Box::new(Feeder::new(Arc::clone(&self.shared), writer))
    }

    /// Waits until the user wants the recording from a time on, in nanoseconds since 1970 (UTC);
    /// none once the screen is gone.
    pub(crate) fn next_part(&self) -> Option<u64> {
        self.shared.next_part()
    }

    /// Shows how far the files are read.
    pub(crate) fn progress(&self) -> Box<dyn Fn(String) + Send> {
        let shared = Arc::clone(&self.shared);
        Box::new(move |line| shared.inbox().progress = line)
    }

    /// Waits until the user quits; returns the text for after that.
    ///
    /// # Errors
    /// When the terminal could not be drawn on.
    pub(crate) fn wait(mut self) -> io::Result<String> {
        let notices = self.join()?;
        let mut text = String::new();
        let first = notices.len().saturating_sub(NOTICES_AFTER);
        for notice in &notices[first..] {
            text += &format!("-- {notice}\n");
        }
        text += &self.shared.inbox().summary;
        Ok(text)
    }

    /// Waits for the thread; returns the last notices.
    fn join(&mut self) -> io::Result<Vec<String>> {
        let result = self.thread.take().map(JoinHandle::join);
        for message in sink::screen::close() {
            sink::tell(&message);
        }
        match result {
            None => Ok(Vec::new()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the thread of the screen has panicked")),
        }
    }
}

/// An error ends the screen before it is told.
impl Drop for Screen {
    fn drop(&mut self) {
        self.shared.abandon();
        // What it says is less than why it is dropped.
        let _ = self.join();
    }
}

/// Ends the rest with the screen, however that ends.
struct End {
    shared: Arc<Shared>,
    quit: Box<dyn Fn() + Send>,
}

impl Drop for End {
    fn drop(&mut self) {
        leave();
        self.shared.close();
        (self.quit)();
    }
}
