//! A column, and a value in it.
use std::borrow::Cow;

use super::row::Row;
use crate::text::sanitize::sanitize;

/// One column of the table.
pub struct Column {
    /// Its name in both formats.
    pub name: &'static str,
    /// What it holds.
    pub doc: &'static str,
    /// Whether every row has a value.
    pub required: bool,
    /// Whether it is left out of Parquet, which has it in another form.
    pub csv_only: bool,
    get: Get,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A signed number of 64 bits; never negative.
    Long,
    /// A signed number of 32 bits; never negative.
    Int,
    /// True or false.
    Flag,
    /// UTF-8.
    Text,
    /// Nanoseconds since 1970 (UTC): a timestamp in Parquet, a number in CSV.
    Time,
}

impl Kind {
    /// Its name in the documentation.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Long => "int64",
            Self::Int => "int32",
            Self::Flag => "boolean",
            Self::Text => "text",
            Self::Time => "timestamp (ns, UTC)",
        }
    }
}

/// How to get the value from a row.
enum Get {
    Long(fn(&Row<'_>) -> Option<u64>),
    Int(fn(&Row<'_>) -> Option<u32>),
    Flag(fn(&Row<'_>) -> bool),
    Text(for<'a> fn(&'a Row<'_>) -> Text<'a>),
    Time(fn(&Row<'_>) -> i64),
}

/// A value, as the formats have it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Of [`Kind::Long`] and [`Kind::Time`].
    Long(i64),
    Int(i32),
    Flag(bool),
    /// Safe for a terminal.
    Text(Cow<'a, str>),
}

impl Column {
    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.get {
            Get::Long(_) => Kind::Long,
            Get::Int(_) => Kind::Int,
            Get::Flag(_) => Kind::Flag,
            Get::Text(_) => Kind::Text,
            Get::Time(_) => Kind::Time,
        }
    }

    pub(super) fn value<'a>(&self, row: &'a Row<'_>) -> Option<Value<'a>> {
        match self.get {
            Get::Long(get) => get(row).map(|n| Value::Long(i64::try_from(n).unwrap_or(i64::MAX))),
            Get::Int(get) => get(row).map(|n| Value::Int(i32::try_from(n).unwrap_or(i32::MAX))),
            Get::Flag(get) => Some(Value::Flag(get(row))),
            Get::Text(get) => get(row).map(|text| Value::Text(safe(text))),
            Get::Time(get) => Some(Value::Long(get(row))),
        }
    }

    /// It has a value in every row.
    pub(super) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(super) const fn csv_only(mut self) -> Self {
        self.csv_only = true;
        self
    }
}

/// Most texts are safe as they are.
fn safe(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        text
    } else {
        Cow::Owned(sanitize(&text))
    }
}

const fn new(name: &'static str, doc: &'static str, get: Get) -> Column {
    Column {
        name,
        doc,
        required: false,
        csv_only: false,
        get,
    }
}

pub(super) const fn long(
    name: &'static str,
    doc: &'static str,
    get: fn(&Row<'_>) -> Option<u64>,
) -> Column {
    new(name, doc, Get::Long(get))
}

pub(super) const fn int(
    name: &'static str,
    doc: &'static str,
    get: fn(&Row<'_>) -> Option<u32>,
) -> Column {
    new(name, doc, Get::Int(get))
}

pub(super) const fn flag(
    name: &'static str,
    doc: &'static str,
    get: fn(&Row<'_>) -> bool,
) -> Column {
    new(name, doc, Get::Flag(get))
}

pub(super) const fn time(
    name: &'static str,
    doc: &'static str,
    get: fn(&Row<'_>) -> i64,
) -> Column {
    new(name, doc, Get::Time(get))
}

pub(super) const fn text(
    name: &'static str,
    doc: &'static str,
    get: for<'a> fn(&'a Row<'_>) -> Text<'a>,
) -> Column {
    new(name, doc, Get::Text(get))
}

/// A text, if there is one.
pub(super) type Text<'a> = Option<Cow<'a, str>>;

pub(super) fn given<T: AsRef<str> + ?Sized>(value: &T) -> Text<'_> {
    Some(value.as_ref().into())
}

pub(super) fn optional<T: AsRef<str>>(value: &Option<T>) -> Text<'_> {
    value.as_ref().map(|value| value.as_ref().into())
}
