//! Makes the texts of an answer safe for a terminal: whoever wrote a lake chose them.
use std::{borrow::Cow, sync::Arc};

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray as _, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};

use crate::text::sanitize::sanitize;

/// The columns of an answer: names are safe, and what is nested or binary is shown as text.
pub(super) fn safe_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let kind = match field.data_type() {
            kind if is_plain(kind) => kind.clone(),
            _ => DataType::Utf8,
        };
        Field::new(sanitize(field.name()), kind, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The same rows as `schema` of [`safe_schema`] has them.
pub(super) fn safe(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(column);
    let columns: Result<Vec<_>, _> = columns.collect();
    RecordBatch::try_new(Arc::clone(schema), columns?)
}

fn is_plain(kind: &DataType) -> bool {
    kind.is_primitive() || matches!(kind, DataType::Boolean | DataType::Null)
}

fn column(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if is_plain(array.data_type()) {
        return Ok(Arc::clone(array));
    }
    let texts = match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => cast(array, &DataType::Utf8)?,
        _ => {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(array, &options)?;
            let rows = 0..array.len();
            let cells = rows.map(|row| {
                array
                    .is_valid(row)
                    .then(|| formatter.value(row).to_string())
            });
            Arc::new(cells.collect::<StringArray>())
        }
    };
    let texts = texts.as_string::<i32>();
    let cells = texts.iter().map(|text| text.map(clean));
    Ok(Arc::new(cells.collect::<StringArray>()))
}

fn clean(text: &str) -> Cow<'_, str> {
    match text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        true => text.into(),
        false => sanitize(text).into(),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{BinaryArray, Int32Array};

    use super::*;

    #[test]
    fn texts_names_and_bytes_are_safe() {
        let columns: [(&str, ArrayRef); 3] = [
            (
                "a\x1b[31m",
                Arc::new(StringArray::from(vec![Some("x\x07\u{202e}"), None])),
            ),
            ("b", Arc::new(BinaryArray::from(vec![&b"\x1b"[..], b""]))),
            ("c", Arc::new(Int32Array::from(vec![1, 2]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let schema = safe_schema(batch.schema_ref());
        let safe = safe(&batch, &schema).unwrap();
        let shown = format!("{:?} {:?}", schema.field(0).name(), safe.column(0));
        assert_eq!(
            sanitize(&shown.replace('\n', " ")),
            shown.replace('\n', " ")
        );
        assert_eq!(safe.column(1).as_string::<i32>().value(0), "1b");
        assert!(safe.column(0).is_null(1));
        assert_eq!(safe.column(2).data_type(), &DataType::Int32);
    }
}
