//! Parquet, through the column writers: no arrow needed.
mod buffer;
mod file;

use std::io::Write;

use super::{COLUMNS, Column, ExportError};
use crate::{path::Path, projection::row::rows, world::World};
pub(crate) use file::{ParquetFile, Shape};

/// Rows buffered until their group is written.
pub const ROWS_PER_GROUP: usize = 65_536;

/// The last time that Parquet has, in nanoseconds since 1970: its timestamps have a sign.
pub(crate) const LAST_NS: u64 = i64::MAX.cast_unsigned();

/// Writes the hops of paths as Parquet.
pub struct ParquetRows<W: Write + Send> {
    file: ParquetFile<W>,
    epoch_ns: i128,
    beyond: u64,
}

/// Whether this podtrace writes Parquet.
///
/// # Errors
/// When it is built without.
pub const fn check_parquet() -> Result<(), ExportError> {
    Ok(())
}

impl<W: Write + Send> ParquetRows<W> {
    /// `epoch_ns`: UTC nanoseconds at CLOCK_MONOTONIC zero.
    ///
    /// # Errors
    /// When `writer` fails.
    pub fn new(writer: W, epoch_ns: i128) -> Result<Self, ExportError> {
        Self::with_groups_of(ROWS_PER_GROUP, writer, epoch_ns)
    }

    pub(super) fn with_groups_of(
        per_group: usize,
        writer: W,
        epoch_ns: i128,
    ) -> Result<Self, ExportError> {
        let shape = Shape {
            columns: COLUMNS.iter().filter(|column| !column.csv_only).collect(),
            ..Shape::default()
        };
        Ok(Self {
            file: ParquetFile::new(writer, shape, per_group)?,
            epoch_ns,
            beyond: 0,
        })
    }

    /// Adds the hops of a path; writes a group of rows once it is full.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write(&mut self, path: &Path, world: &World) -> Result<(), ExportError> {
        let Self {
            file,
            epoch_ns,
            beyond,
        } = self;
        rows(path, world, *epoch_ns, |row| {
            *beyond += u64::from(row.hop.time_ns.0 > LAST_NS);
            file.push(row)
        })
    }

    /// How many rows have a time after [`LAST_NS`], and show that instead.
    #[must_use]
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Writes the buffered rows and the footer, and returns the writer.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn finish(self) -> Result<W, ExportError> {
        self.file.finish()
    }
}
