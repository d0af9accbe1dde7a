//! A file of rows with some of the columns.
use std::{io::Write, sync::Arc};

use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel},
    data_type::{ByteArray, ByteArrayType},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::{WriterProperties, WriterPropertiesPtr},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{ColumnPath, Type, TypePtr},
};

use super::{
    Column,
    buffer::{BATCH, Buffer},
};
#[cfg(feature = "cluster")]
use crate::field::Value;
use crate::{
    export::{ExportError, SCHEMA_VERSION},
    field::Kind,
    projection::row::Row,
};

/// Different values that a filter of a row group is made for.
const DISTINCT: u64 = 4096;

/// What a file holds.
#[derive(Default)]
pub(crate) struct Shape {
    /// Columns whose text is the same in all rows, before the others.
    pub(crate) constants: Vec<(&'static str, String)>,
    /// The columns of the rows.
    pub(crate) columns: Vec<&'static Column>,
    /// Columns with a bloom filter, by which readers skip row groups.
    pub(crate) filtered: Vec<&'static str>,
    /// What stands in the file's metadata, beside podtrace's version and that of the columns.
    pub(crate) metadata: Vec<(String, String)>,
}

/// A file that is being written.
pub(crate) struct ParquetFile<W: Write + Send> {
    file: SerializedFileWriter<W>,
    shape: Shape,
    /// The rows of the group that is not yet written, by column.
    buffers: Vec<Buffer>,
    count: usize,
    per_group: usize,
}

impl<W: Write + Send> ParquetFile<W> {
    pub(crate) fn new(writer: W, shape: Shape, per_group: usize) -> Result<Self, ExportError> {
        let file = SerializedFileWriter::new(writer, schema(&shape)?, properties(&shape)?)?;
        Ok(Self {
            file,
            buffers: shape.columns.iter().copied().map(Buffer::new).collect(),
            shape,
            count: 0,
            per_group,
        })
    }

    /// Adds a row; writes a group of rows once it is full.
    pub(crate) fn push(&mut self, row: &Row<'_>) -> Result<(), ExportError> {
        for (column, buffer) in self.shape.columns.iter().zip(&mut self.buffers) {
            buffer.push(column.value(row));
        }
        self.end_row()
    }

    /// The same by the values of its columns.
    #[cfg(feature = "cluster")]
    pub(crate) fn push_values<'a>(
        &mut self,
        values: impl Iterator<Item = Option<Value<'a>>>,
    ) -> Result<(), ExportError> {
        for (buffer, value) in self.buffers.iter_mut().zip(values) {
            buffer.push(value);
        }
        self.end_row()
    }

    fn end_row(&mut self) -> Result<(), ExportError> {
        self.count += 1;
        if self.count >= self.per_group {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes the buffered rows and the footer, and returns the writer.
    pub(crate) fn finish(mut self) -> Result<W, ExportError> {
        self.write_group()?;
        Ok(self.file.into_inner()?)
    }

    /// Writes the rows that are buffered, as a group.
    pub(crate) fn write_group(&mut self) -> Result<(), ExportError> {
        if self.count == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for (_, text) in &self.shape.constants {
            write_constant(&mut group, text, self.count)?;
        }
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

fn write_constant<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    text: &str,
    count: usize,
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Ok(());
    };
    let batch = vec![ByteArray::from(text); BATCH.min(count)];
    let mut left = count;
    while left > 0 {
        let some = left.min(BATCH);
        let writer = column.typed::<ByteArrayType>();
        writer.write_batch(&batch[..some], None, None)?;
        left -= some;
    }
    column.close()
}

fn schema(shape: &Shape) -> Result<TypePtr, ParquetError> {
    let constants = shape
        .constants
        .iter()
        .map(|(name, _)| field(name, Kind::Text, true));
    let columns = shape
        .columns
        .iter()
        .map(|column| field(column.name, column.kind, column.required));
    let fields: Result<_, _> = constants
        .chain(columns)
        .map(|field| field.map(Arc::new))
        .collect();
    let schema = Type::group_type_builder("hops").with_fields(fields?);
    Ok(Arc::new(schema.build()?))
}

fn field(name: &str, kind: Kind, required: bool) -> Result<Type, ParquetError> {
    let (physical, logical) = match kind {
        Kind::Long => (Physical::INT64, None),
        Kind::Int => (Physical::INT32, None),
        Kind::Flag => (Physical::BOOLEAN, None),
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Time => {
            let logical = LogicalType::timestamp(true, TimeUnit::NANOS);
            (Physical::INT64, Some(logical))
        }
    };
    let repetition = if required {
        Repetition::REQUIRED
    } else {
        Repetition::OPTIONAL
    };
    Type::primitive_type_builder(name, physical)
        .with_logical_type(logical)
        .with_repetition(repetition)
        .build()
}

fn properties(shape: &Shape) -> Result<WriterPropertiesPtr, ParquetError> {
    let version = env!("CARGO_PKG_VERSION");
    let own = [
        ("podtrace.schema".into(), SCHEMA_VERSION.to_string()),
        ("podtrace.version".into(), version.to_string()),
    ];
    let metadata = own.iter().chain(&shape.metadata);
    let metadata = metadata.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("podtrace version {version}"))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(true)
        .set_key_value_metadata(Some(metadata.collect()));
    for name in &shape.filtered {
        let column = ColumnPath::from(*name);
        properties = properties
            .set_column_bloom_filter_enabled(column.clone(), true)
            .set_column_bloom_filter_max_ndv(column, DISTINCT);
    }
    Ok(Arc::new(properties.build()))
}
