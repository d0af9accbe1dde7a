//! Compiles expressions while they are typed, on a thread of its own: names of hosts are looked
//! up, which may take seconds.
use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use crate::{
    filter::{Expression, Filter, Mistake, Scope},
    privilege,
};

/// A compiled expression; none of an empty text.
pub(super) type Compiled = Result<Option<Arc<Filter>>, Mistake>;

/// Hands expressions to the thread.
pub(super) struct Compiler {
    texts: Sender<String>,
    compiled: Receiver<(String, Compiled)>,
    /// The newest text, until its result is there.
    awaited: Option<String>,
}

impl Compiler {
    pub(super) fn start() -> io::Result<Self> {
        let (texts, wanted) = channel::<String>();
        let (done, compiled) = channel();
        thread::Builder::new()
            .name("filter".into())
            .spawn(move || {
                // It needs none; the main thread reports those that cannot be given up.
                let _ = privilege::keep(privilege::NONE);
                while let Ok(text) = wanted.recv() {
                    let text = wanted.try_iter().last().unwrap_or(text);
                    let result = compile(&text);
                    if done.send((text, result)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            texts,
            compiled,
            awaited: None,
        })
    }

    pub(super) fn ask(&mut self, text: String) {
        // It is gone only if it has panicked; then nothing is filtered.
        if self.texts.send(text.clone()).is_ok() {
            self.awaited = Some(text);
        }
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.awaited.is_some()
    }

    /// The result of the newest text, once.
    pub(super) fn result(&mut self) -> Option<Compiled> {
        let (text, result) = self.compiled.try_iter().last()?;
        if self.awaited.as_ref() != Some(&text) {
            return None;
        }
        self.awaited = None;
        Some(result)
    }
}

pub(super) fn compile(text: &str) -> Compiled {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let expression = Expression::compile(text)?;
    Ok(Some(Arc::new(Filter {
        expression,
        scope: Scope::Both,
    })))
}
