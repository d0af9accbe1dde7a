//! A line that is typed.
use super::paint::width;

/// Upper bound of its characters.
const LONGEST: usize = 1000;

/// The line so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Input {
    before: String,
    behind: String,
}

impl Input {
    /// The cursor is at the end.
    pub(super) fn new(text: &str) -> Self {
        Self {
            before: text.to_owned(),
            behind: String::new(),
        }
    }

    pub(super) fn text(&self) -> String {
        format!("{}{}", self.before, self.behind)
    }

    /// The column of the cursor.
    pub(super) fn column(&self) -> usize {
        width(&self.before)
    }

    pub(super) fn insert(&mut self, c: char) {
        let length = self.before.chars().count() + self.behind.chars().count();
        if length < LONGEST && !c.is_control() {
            self.before.push(c);
        }
    }

    pub(super) fn remove_before(&mut self) {
        self.before.pop();
    }

    pub(super) fn remove_behind(&mut self) {
        if !self.behind.is_empty() {
            self.behind.remove(0);
        }
    }

    pub(super) fn remove_all_before(&mut self) {
        self.before.clear();
    }

    pub(super) fn remove_word_before(&mut self) {
        let kept = self.before.trim_end();
        let kept = kept.rfind(' ').map_or(0, |at| at + 1);
        self.before.truncate(kept);
    }

    pub(super) fn left(&mut self) {
        if let Some(c) = self.before.pop() {
            self.behind.insert(0, c);
        }
    }

    pub(super) fn right(&mut self) {
        if !self.behind.is_empty() {
            self.before.push(self.behind.remove(0));
        }
    }

    pub(super) fn home(&mut self) {
        self.behind.insert_str(0, &self.before);
        self.before.clear();
    }

    pub(super) fn end(&mut self) {
        self.before.push_str(&self.behind);
        self.behind.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_edited_at_the_cursor() {
        let mut input = Input::new("icmp host");
        input.remove_word_before();
        assert_eq!((input.text().as_str(), input.column()), ("icmp ", 5));
        input.home();
        input.insert('n');
        input.insert('\x1b');
        input.right();
        input.remove_behind();
        assert_eq!((input.text().as_str(), input.column()), ("nimp ", 2));
        input.left();
        input.end();
        input.remove_before();
        assert_eq!(input.text(), "nimp");
        input.remove_all_before();
        assert_eq!(input, Input::default());
    }
}
