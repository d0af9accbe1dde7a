//! Prints answers, batch by batch.
use std::io::Write;

use anyhow::Context as _;
use datafusion::arrow::{
    array::RecordBatch,
    csv,
    datatypes::SchemaRef,
    json,
    util::display::{ArrayFormatter, FormatOptions},
};
use unicode_width::UnicodeWidthStr as _;

use super::safe::{safe, safe_schema};

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
    Csv,
}

/// A wider column is not padded.
const WIDTH_MAX: usize = 60;

/// An answer that is being printed.
pub(crate) struct Printed<W: Write> {
    rows: Rows<W>,
    schema: SchemaRef,
    /// How many rows were printed.
    pub(crate) count: usize,
}

enum Rows<W: Write> {
    Text(Table<W>),
    Csv(Box<csv::Writer<W>>),
    Json(json::LineDelimitedWriter<W>),
}

impl<W: Write> Printed<W> {
    /// `schema`: that of the answer.
    pub(crate) fn new(format: Format, schema: &SchemaRef, writer: W) -> Self {
        let schema = safe_schema(schema);
        Self {
            rows: match format {
                Format::Text => Rows::Text(Table::new(writer)),
                Format::Csv => Rows::Csv(Box::new(csv::WriterBuilder::new().build(writer))),
                Format::Json => Rows::Json(json::LineDelimitedWriter::new(writer)),
            },
            schema,
            count: 0,
        }
    }

    /// Prints rows.
    pub(crate) fn print(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        let batch = safe(batch, &self.schema)?;
        self.count += batch.num_rows();
        match &mut self.rows {
            Rows::Text(table) => table.print(&batch),
            Rows::Csv(writer) => Ok(writer.write(&batch)?),
            Rows::Json(writer) => Ok(writer.write(&batch)?),
        }
    }

    /// Prints what is left: of an answer without rows, the names of its columns.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        if self.count == 0 && !matches!(self.rows, Rows::Json(_)) {
            self.print(&RecordBatch::new_empty(self.schema.clone()))?;
        }
        let written = match self.rows {
            Rows::Text(table) => table.writer,
            Rows::Csv(writer) => writer.into_inner(),
            Rows::Json(mut writer) => {
                writer.finish()?;
                writer.into_inner()
            }
        };
        { written }.flush().context("failed to print")
    }
}

/// A table whose columns are as wide as the first rows take.
struct Table<W> {
    writer: W,
    widths: Vec<usize>,
}

impl<W: Write> Table<W> {
    fn new(writer: W) -> Self {
        Self {
            writer,
            widths: Vec::new(),
        }
    }

    fn print(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        let options = FormatOptions::default();
        let columns: Result<Vec<_>, _> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect();
        let columns = columns?;
        let rows: Vec<Vec<String>> = (0..batch.num_rows())
            .map(|row| {
                columns
                    .iter()
                    .map(|column| column.value(row).to_string())
                    .collect()
            })
            .collect();
        if self.widths.is_empty() {
            let schema = batch.schema();
            let names: Vec<String> = schema
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect();
            self.widths = vec![0; names.len()];
            for row in [&names].into_iter().chain(&rows) {
                for (width, cell) in self.widths.iter_mut().zip(row) {
                    *width = (*width).max(cell.width()).min(WIDTH_MAX);
                }
            }
            self.line(&names)?;
        }
        rows.iter().try_for_each(|row| self.line(row))
    }

    fn line(&mut self, cells: &[String]) -> anyhow::Result<()> {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&self.widths) {
            line += cell;
            line += &" ".repeat(width.saturating_sub(cell.width()) + 2);
        }
        Ok(writeln!(self.writer, "{}", line.trim_end())?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray, TimestampNanosecondArray};

    use super::*;

    fn printed(format: Format) -> String {
        let time = TimestampNanosecondArray::from(vec![1_796_000_000_000_000_001, 0]);
        let columns: [(&str, ArrayRef); 3] = [
            (
                "pod",
                Arc::new(StringArray::from(vec![Some("default/a,b\x1b"), None])),
            ),
            ("packets", Arc::new(Int64Array::from(vec![1, 22]))),
            ("time_ns", Arc::new(time.with_timezone("UTC"))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut out = Vec::new();
        let mut answer = Printed::new(format, &batch.schema(), &mut out);
        answer.print(&batch).unwrap();
        answer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_has_columns() {
        insta::assert_snapshot!(printed(Format::Text));
    }

    #[test]
    fn lines_are_json() {
        insta::assert_snapshot!(printed(Format::Json));
    }

    #[test]
    fn csv_is_quoted() {
        insta::assert_snapshot!(printed(Format::Csv));
    }
}
