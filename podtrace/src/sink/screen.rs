//! A screen that has the terminal: meanwhile nothing else is written there.
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Upper bound of the messages that are kept; the oldest are dropped.
const KEPT_MAX: usize = 100;

/// The messages that wait until the screen is closed; none while there is no screen.
static KEPT: Mutex<Option<Vec<String>>> = Mutex::new(None);

fn kept() -> MutexGuard<'static, Option<Vec<String>>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, messages are kept, and no status is shown.
#[cfg_attr(not(feature = "tui"), expect(dead_code, reason = "there is no screen"))]
pub(crate) fn open() {
    kept().get_or_insert_default();
}

/// Ends that; returns the messages.
#[cfg_attr(not(feature = "tui"), expect(dead_code, reason = "there is no screen"))]
pub(crate) fn close() -> Vec<String> {
    kept().take().unwrap_or_default()
}

pub(super) fn is_open() -> bool {
    kept().is_some()
}

/// Keeps a message if there is a screen; returns whether there is.
pub(super) fn keep(text: &str) -> bool {
    let mut kept = kept();
    let Some(messages) = kept.as_mut() else {
        return false;
    };
    if messages.len() >= KEPT_MAX {
        messages.remove(0);
    }
    messages.push(text.to_owned());
    true
}
