//! Paths as tables: one row per hop, as CSV or as Parquet; as a timeline ([`PerfettoTrace`]); and
//! as traces ([`OtlpTraces`]).
//!
//! Both tables share one list, [`COLUMNS`]. Names, types, meanings and values are those of
//! the projection and thus of the JSON output, with `_` for nested fields. New columns may
//! come, at any position; these keep their meaning.
//!
//! - CSV: a header line, fields quoted as RFC 4180 has it, lines that end with
//!   LF, empty fields for what has no value. A text that a spreadsheet would
//!   take for a formula (it starts with `=`, `+`, `-` or `@`) has a `'` before it.
//! - Parquet: columns with zstd and dictionaries, nulls for what has no value,
//!   row groups of at most [`ROWS_PER_GROUP`] rows. The file's metadata hold
//!   `podtrace.schema` ([`SCHEMA_VERSION`]) and `podtrace.version`.
//!
//! All texts are safe for a terminal.
#[cfg(any(test, not(feature = "parquet")))]
mod absent;
mod column;
mod columns;
mod csv;
mod otlp;
#[cfg(feature = "parquet")]
mod parquet;
mod perfetto;

use std::{fmt::Write as _, io};

#[cfg(not(feature = "parquet"))]
pub use self::absent::{ParquetRows, ROWS_PER_GROUP, check_parquet};
#[cfg(feature = "cluster")]
pub(crate) use self::parquet::{LAST_NS, ParquetFile, Shape};
#[cfg(feature = "parquet")]
pub use self::parquet::{ParquetRows, ROWS_PER_GROUP, check_parquet};
pub use self::{
    column::Column,
    columns::COLUMNS,
    csv::CsvRows,
    otlp::{Collector, CollectorError, Endpoint, Lines, OtlpTraces, Receiver},
    perfetto::PerfettoTrace,
};
pub use crate::field::Kind;

/// Changes when a column changes its meaning or is removed.
pub const SCHEMA_VERSION: u32 = 1;

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The CSV writer failed.
    #[error("failed to write CSV")]
    Csv(#[source] ::csv::Error),
    /// The Parquet writer failed.
    #[cfg(feature = "parquet")]
    #[error("failed to write Parquet")]
    Parquet(#[source] ::parquet::errors::ParquetError),
    /// The Parquet writer was left out of this podtrace.
    #[error(
        "this podtrace is built without Parquet\n\
         hint: build it with the feature parquet, as a plain cargo build --release does"
    )]
    NoParquet,
    /// A collector did not take spans.
    #[error(transparent)]
    Collector(#[from] CollectorError),
    /// The file could not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Passes on errors of the file as they are, not inside those of the format.
impl From<::csv::Error> for ExportError {
    fn from(error: ::csv::Error) -> Self {
        if !error.is_io_error() {
            return Self::Csv(error);
        }
        match error.into_kind() {
            ::csv::ErrorKind::Io(error) => Self::Io(error),
            other => Self::Io(io::Error::other(format!("{other:?}"))),
        }
    }
}

#[cfg(feature = "parquet")]
impl From<::parquet::errors::ParquetError> for ExportError {
    fn from(error: ::parquet::errors::ParquetError) -> Self {
        use ::parquet::errors::ParquetError;
        match error {
            ParquetError::External(cause) => match cause.downcast() {
                Ok(error) => Self::Io(*error),
                Err(cause) => Self::Parquet(ParquetError::External(cause)),
            },
            other => Self::Parquet(other),
        }
    }
}

impl From<ExportError> for io::Error {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Io(error) => error,
            other => Self::other(other),
        }
    }
}

/// The columns as a Markdown table.
#[must_use]
pub fn schema_text() -> String {
    let mut out = String::from("| column | type | | meaning |\n|---|---|---|---|\n");
    for column in COLUMNS {
        let presence = match (column.csv_only, column.required) {
            (true, _) => "CSV only",
            (false, true) => "always",
            (false, false) => "",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| `{}` | {} | {presence} | {} |",
            column.name,
            column.kind.as_str(),
            column.doc.trim()
        );
    }
    out
}

// These tests read Parquet back.
#[cfg(feature = "parquet")]
#[cfg(test)]
mod tests;
