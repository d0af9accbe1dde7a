//! A column, and a value in it.
use std::borrow::Cow;

use crate::{
    field::{Field, Kind, Object, Type, Value},
    projection::row::Row,
    text::sanitize::sanitize,
};

/// One column of the table.
pub struct Column {
    /// Its name in both formats.
    pub name: &'static str,
    /// Its meaning.
    pub doc: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether every row has a value.
    pub required: bool,
    /// Whether Parquet leaves it out because it has the value in another form.
    pub csv_only: bool,
    /// Whether all hops of a path have the same value, so that a table of paths has it too.
    pub of_path: bool,
    get: Get,
}

/// How to get the value from a row.
type Get = for<'a> fn(&'a Row<'_>) -> Option<Value<'a>>;

impl Column {
    /// The column of a field that every row has, under the name `column`.
    pub(super) const fn of<T: Object>(column: &'static str, field: &str, get: Get) -> Self {
        let field = own_field(T::OWN, field);
        let Type::Value(kind) = field.type_ else {
            unreachable!()
        };
        Self {
            name: column,
            doc: field.doc,
            kind,
            required: field.required,
            csv_only: false,
            of_path: false,
            get,
        }
    }

    /// Marks the column as always having a value.
    pub(super) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Marks the column as optional.
    pub(super) const fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    pub(super) const fn csv_only(mut self) -> Self {
        self.csv_only = true;
        self
    }

    pub(super) const fn of_path(mut self) -> Self {
        self.of_path = true;
        self
    }

    /// The value in a row. Texts are safe for a terminal.
    pub(crate) fn value<'a>(&self, row: &'a Row<'_>) -> Option<Value<'a>> {
        match (self.get)(row)? {
            Value::Text(text) => Some(Value::Text(safe(text))),
            value => Some(value),
        }
    }
}

/// The field of this name; a missing one is a compile-time error.
const fn own_field(fields: &'static [Field], name: &str) -> &'static Field {
    let mut number = 0;
    while !is_same(fields[number].name.as_bytes(), name.as_bytes()) {
        number += 1;
    }
    &fields[number]
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len()
}

/// Most texts are safe as they are.
fn safe(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        text
    } else {
        Cow::Owned(sanitize(&text))
    }
}
