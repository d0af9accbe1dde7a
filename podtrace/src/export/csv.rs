//! CSV (RFC 4180, with LF).
use std::{fmt::Write as _, io::Write};

use csv::Writer;

use super::{COLUMNS, ExportError};
use crate::{
    field::Value,
    path::Path,
    projection::row::{Row, rows},
    world::World,
};

/// Writes the hops of paths as CSV.
pub struct CsvRows<W: Write> {
    writer: Writer<W>,
    epoch_ns: i128,
    /// One field, while it is written.
    field: String,
}

impl<W: Write> CsvRows<W> {
    /// Writes the header. `epoch_ns`: UTC nanoseconds at CLOCK_MONOTONIC zero.
    ///
    /// # Errors
    /// When `writer` fails.
    pub fn new(writer: W, epoch_ns: i128) -> Result<Self, ExportError> {
        let mut writer = Writer::from_writer(writer);
        writer.write_record(COLUMNS.iter().map(|column| column.name))?;
        Ok(Self {
            writer,
            epoch_ns,
            field: String::new(),
        })
    }

    /// Writes the hops of a path.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write(&mut self, path: &Path, world: &World) -> Result<(), ExportError> {
        let Self {
            writer,
            epoch_ns,
            field,
        } = self;
        rows(path, world, *epoch_ns, |row| record(writer, field, row))
    }

    /// Writes the buffered rows and returns the writer.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn finish(self) -> Result<W, ExportError> {
        let written = self.writer.into_inner();
        written.map_err(|error| ExportError::Io(error.into_error()))
    }
}

fn record<W: Write>(
    writer: &mut Writer<W>,
    field: &mut String,
    row: &Row<'_>,
) -> Result<(), ExportError> {
    for column in COLUMNS {
        field.clear();
        // Writing to a String cannot fail.
        let _ = match column.value(row) {
            None => Ok(()),
            Some(Value::Long(number)) => write!(field, "{number}"),
            Some(Value::Time(ns)) => write!(field, "{ns}"),
            Some(Value::Int(number)) => write!(field, "{number}"),
            Some(Value::Flag(flag)) => write!(field, "{flag}"),
            Some(Value::Text(text)) => {
                if text.starts_with(['=', '+', '-', '@']) {
                    field.push('\'');
                }
                field.push_str(&text);
                Ok(())
            }
        };
        writer.write_field(field.as_bytes())?;
    }
    writer.write_record(None::<&[u8]>)?;
    Ok(())
}
