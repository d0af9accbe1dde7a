//! What a podtrace has said at its standard error, for one that has run it.
use std::collections::VecDeque;

/// The name before each message.
const NAME: &str = "podtrace: ";
/// Lines that are kept at most.
const LINES_MAX: usize = 8;

/// The last message, with what belongs to it.
#[derive(Debug, Default)]
pub(crate) struct LastWords(VecDeque<String>);

impl LastWords {
    /// Takes the next line, which is safe to show.
    pub(crate) fn take(&mut self, line: &str) {
        match line.strip_prefix(NAME) {
            Some(line) => {
                self.0.clear();
                self.0.push_back(line.to_owned());
            }
            // What follows a message belongs to it.
            None if !self.0.is_empty() && !line.is_empty() => self.0.push_back(line.to_owned()),
            None => {}
        }
        if self.0.len() > LINES_MAX {
            self.0.pop_front();
        }
    }

    /// The message without the name; none if there was none.
    pub(crate) fn in_words(self) -> Option<String> {
        (!self.0.is_empty()).then(|| Vec::from(self.0).join("\n"))
    }
}

/// The message that a line begins; none if it begins none.
#[cfg(any(test, feature = "cluster"))]
pub(crate) fn message(line: &str) -> Option<&str> {
    line.strip_prefix(NAME)
}
