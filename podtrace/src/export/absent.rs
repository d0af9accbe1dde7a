//! Stands in for Parquet in a podtrace that is built without it.
#![cfg_attr(
    feature = "parquet",
    expect(
        dead_code,
        unreachable_pub,
        reason = "a podtrace with Parquet only tests it"
    )
)]

use std::{convert::Infallible, io::Write, marker::PhantomData};

use super::ExportError;
use crate::{path::Path, world::World};

/// Rows buffered until their group is written: none.
pub const ROWS_PER_GROUP: usize = 0;

/// Stands in for the missing writer.
pub struct ParquetRows<W> {
    never: Infallible,
    writer: PhantomData<W>,
}

/// Whether this podtrace writes Parquet.
///
/// # Errors
/// It does not.
pub const fn check_parquet() -> Result<(), ExportError> {
    Err(ExportError::NoParquet)
}

impl<W: Write + Send> ParquetRows<W> {
    /// Makes no writer.
    ///
    /// # Errors
    /// Always.
    pub fn new(_writer: W, _epoch_ns: i128) -> Result<Self, ExportError> {
        Err(ExportError::NoParquet)
    }

    /// Writes nothing: the writer is missing.
    ///
    /// # Errors
    /// Never.
    pub fn write(&mut self, _path: &Path, _world: &World) -> Result<(), ExportError> {
        match self.never {}
    }

    /// Counts nothing: the writer is missing.
    #[must_use]
    pub fn beyond(&self) -> u64 {
        match self.never {}
    }

    /// Ends nothing: the writer is missing.
    ///
    /// # Errors
    /// Never.
    pub fn finish(self) -> Result<W, ExportError> {
        match self.never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parquet_is_refused_with_how_to_have_it() {
        let says = "this podtrace is built without Parquet\n\
                    hint: build it with the feature parquet, as a plain cargo build --release does";
        assert_eq!(check_parquet().unwrap_err().to_string(), says);
        assert!(ParquetRows::new(Vec::new(), 0).is_err());
    }
}
