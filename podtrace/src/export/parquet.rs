//! Parquet, through the column writers: no arrow needed.
mod buffer;

use std::{io::Write, sync::Arc};

use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::{WriterProperties, WriterPropertiesPtr},
        writer::SerializedFileWriter,
    },
    schema::types::{Type, TypePtr},
};

use super::{COLUMNS, Column, ExportError, SCHEMA_VERSION};
use crate::{
    field::Kind,
    path::Path,
    projection::row::{Row, rows},
    world::World,
};
use buffer::Buffer;

/// Rows buffered until their group is written.
pub const ROWS_PER_GROUP: usize = 65_536;

/// Writes the hops of paths as Parquet.
pub struct ParquetRows<W: Write + Send> {
    file: SerializedFileWriter<W>,
    rows: Rows,
    epoch_ns: i128,
}

/// Whether this podtrace writes Parquet.
///
/// # Errors
/// When it is built without.
pub const fn check_parquet() -> Result<(), ExportError> {
    Ok(())
}

/// The rows of the group that is not yet written, by column.
struct Rows {
    buffers: Vec<Buffer>,
    count: usize,
    per_group: usize,
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
        let file = SerializedFileWriter::new(writer, schema()?, properties()?)?;
        let rows = Rows {
            buffers: columns().map(Buffer::new).collect(),
            count: 0,
            per_group,
        };
        Ok(Self {
            file,
            rows,
            epoch_ns,
        })
    }

    /// Adds the hops of a path; writes a group of rows once it is full.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write(&mut self, path: &Path, world: &World) -> Result<(), ExportError> {
        let Self {
            file,
            rows: held,
            epoch_ns,
        } = self;
        rows(path, world, *epoch_ns, |row| {
            held.push(row);
            if held.count >= held.per_group {
                held.write_group(file)?;
            }
            Ok(())
        })
    }

    /// Writes the buffered rows and the footer, and returns the writer.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn finish(mut self) -> Result<W, ExportError> {
        self.rows.write_group(&mut self.file)?;
        Ok(self.file.into_inner()?)
    }
}

impl Rows {
    fn push(&mut self, row: &Row<'_>) {
        for (column, buffer) in columns().zip(&mut self.buffers) {
            buffer.push(column.value(row));
        }
        self.count += 1;
    }

    fn write_group<W: Write + Send>(
        &mut self,
        file: &mut SerializedFileWriter<W>,
    ) -> Result<(), ParquetError> {
        if self.count == 0 {
            return Ok(());
        }
        let mut group = file.next_row_group()?;
        for buffer in &mut self.buffers {
            let Some(mut column) = group.next_column()? else {
                break;
            };
            buffer.write(&mut column)?;
            column.close()?;
            buffer.clear();
        }
        group.close()?;
        self.count = 0;
        Ok(())
    }
}

fn columns() -> impl Iterator<Item = &'static Column> {
    COLUMNS.iter().filter(|column| !column.csv_only)
}

fn schema() -> Result<TypePtr, ParquetError> {
    let fields: Result<_, _> = columns()
        .map(|column| field(column).map(Arc::new))
        .collect();
    let schema = Type::group_type_builder("hops").with_fields(fields?);
    Ok(Arc::new(schema.build()?))
}

fn field(column: &Column) -> Result<Type, ParquetError> {
    let (physical, logical) = match column.kind {
        Kind::Long => (Physical::INT64, None),
        Kind::Int => (Physical::INT32, None),
        Kind::Flag => (Physical::BOOLEAN, None),
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Time => {
            let logical = LogicalType::timestamp(true, TimeUnit::NANOS);
            (Physical::INT64, Some(logical))
        }
    };
    let repetition = if column.required {
        Repetition::REQUIRED
    } else {
        Repetition::OPTIONAL
    };
    Type::primitive_type_builder(column.name, physical)
        .with_logical_type(logical)
        .with_repetition(repetition)
        .build()
}

fn properties() -> Result<WriterPropertiesPtr, ParquetError> {
    let version = env!("CARGO_PKG_VERSION");
    let metadata = [
        ("podtrace.schema", SCHEMA_VERSION.to_string()),
        ("podtrace.version", version.to_string()),
    ];
    let metadata = metadata.map(|(key, value)| KeyValue::new(key.to_string(), value));
    let properties = WriterProperties::builder()
        .set_created_by(format!("podtrace version {version}"))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(true)
        .set_key_value_metadata(Some(metadata.into()));
    Ok(Arc::new(properties.build()))
}
