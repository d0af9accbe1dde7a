//! Texts and places by number: a page holds each once.
use std::{collections::HashMap, hash::Hash};

use crate::stats::TapPointName;

/// Numbers for values.
pub(super) struct Numbers<T> {
    all: Vec<T>,
    index: HashMap<T, usize>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            index: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Numbers<T> {
    /// The number of a value.
    pub(super) fn of(&mut self, value: &T) -> usize {
        if let Some(number) = self.index.get(value) {
            return *number;
        }
        self.all.push(value.clone());
        self.index.insert(value.clone(), self.all.len() - 1);
        self.all.len() - 1
    }

    /// The values, by number.
    pub(super) fn into_all(self) -> Vec<T> {
        self.all
    }
}

/// A place as a page has it: node, pod, interface, direction.
pub(super) type PlaceRow = (String, Option<String>, String, &'static str);

/// The names of a place.
pub(super) fn row(place: &TapPointName) -> PlaceRow {
    (
        place.node.to_string(),
        place.pod.as_ref().map(ToString::to_string),
        place.interface.to_string(),
        place.direction.as_str(),
    )
}
