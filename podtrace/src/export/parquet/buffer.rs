//! The values of one column until their row group is written.
use std::collections::HashMap;

use bytes::Bytes;
use parquet::{
    data_type::{BoolType, ByteArray, ByteArrayType, Int32Type, Int64Type},
    errors::ParquetError,
    file::writer::SerializedColumnWriter,
};

use super::LAST_NS;
use crate::{
    export::Column,
    field::{Kind, Value},
};

/// Texts handed to the column writer at once.
pub(super) const BATCH: usize = 1024;

/// A column's values, and which rows have one.
pub(super) struct Buffer {
    required: bool,
    values: Values,
    /// 1 for a row with a value, 0 for null.
    levels: Vec<i16>,
}

enum Values {
    Long(Vec<i64>),
    Int(Vec<i32>),
    Flag(Vec<bool>),
    Text(Texts),
}

/// Each distinct text once: most repeat in many rows.
#[derive(Default)]
struct Texts {
    numbers: Vec<u32>,
    texts: Vec<Bytes>,
    known: HashMap<Bytes, u32>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let last = self.numbers.last().copied();
        let same = last.filter(|last| self.texts[*last as usize] == bytes);
        let number = same
            .or_else(|| self.known.get(bytes).copied())
            .unwrap_or_else(|| {
                let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
                let bytes = Bytes::copy_from_slice(bytes);
                self.texts.push(bytes.clone());
                self.known.insert(bytes, number);
                number
            });
        self.numbers.push(number);
    }

    fn get(&self, row: usize) -> ByteArray {
        ByteArray::from(self.texts[self.numbers[row] as usize].clone())
    }
}

impl Buffer {
    pub(super) fn new(column: &Column) -> Self {
        Self {
            required: column.required,
            values: match column.kind {
                Kind::Long | Kind::Time => Values::Long(Vec::new()),
                Kind::Int => Values::Int(Vec::new()),
                Kind::Flag => Values::Flag(Vec::new()),
                Kind::Text => Values::Text(Texts::default()),
            },
            levels: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, value: Option<Value<'_>>) {
        if !self.required {
            self.levels.push(value.is_some().into());
            if value.is_none() {
                return;
            }
        }
        match (&mut self.values, value) {
            (Values::Long(all), Some(Value::Long(value))) => all.push(value),
            (Values::Long(all), Some(Value::Time(ns))) => {
                all.push(ns.min(LAST_NS).cast_signed());
            }
            (Values::Int(all), Some(Value::Int(value))) => all.push(value),
            (Values::Flag(all), Some(Value::Flag(value))) => all.push(value),
            (Values::Text(all), Some(Value::Text(value))) => all.push(&value),
            // A missing required value: the column must keep its length.
            (Values::Long(all), _) => all.push(0),
            (Values::Int(all), _) => all.push(0),
            (Values::Flag(all), _) => all.push(false),
            (Values::Text(all), _) => all.push(""),
        }
    }

    pub(super) fn write(
        &self,
        column: &mut SerializedColumnWriter<'_>,
    ) -> Result<(), ParquetError> {
        let levels = (!self.required).then_some(&self.levels[..]);
        match &self.values {
            Values::Long(all) => column
                .typed::<Int64Type>()
                .write_batch(all, levels, None)
                .map(drop),
            Values::Int(all) => column
                .typed::<Int32Type>()
                .write_batch(all, levels, None)
                .map(drop),
            Values::Flag(all) => column
                .typed::<BoolType>()
                .write_batch(all, levels, None)
                .map(drop),
            Values::Text(all) => write_texts(column, all, levels),
        }
    }

    pub(super) fn clear(&mut self) {
        self.levels.clear();
        match &mut self.values {
            Values::Long(all) => all.clear(),
            Values::Int(all) => all.clear(),
            Values::Flag(all) => all.clear(),
            Values::Text(Texts {
                numbers,
                texts,
                known,
            }) => {
                numbers.clear();
                texts.clear();
                known.clear();
            }
        }
    }
}

/// In batches, so that only few texts have a [`ByteArray`] of their own.
fn write_texts(
    column: &mut SerializedColumnWriter<'_>,
    all: &Texts,
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let writer = column.typed::<ByteArrayType>();
    let rows = levels.map_or(all.numbers.len(), <[i16]>::len);
    let mut batch = Vec::with_capacity(BATCH);
    let (mut row, mut value) = (0, 0);
    while row < rows {
        let end = rows.min(row + BATCH);
        let levels = levels.map(|levels| &levels[row..end]);
        let values = levels.map_or(end - row, |levels| {
            levels.iter().filter(|level| **level == 1).count()
        });
        batch.clear();
        batch.extend((value..value + values).map(|value| all.get(value)));
        writer.write_batch(&batch, levels, None)?;
        (row, value) = (end, value + values);
    }
    Ok(())
}
