//! A header of RPM: an index of tags, and a store of their values.

use std::collections::BTreeMap;

use anyhow::Result;

/// The value of a tag, with its type.
pub(super) enum Value {
    U16(Vec<u16>),
    U32(Vec<u32>),
    Text(String),
    Array(Vec<String>),
    /// A text that other packages have in several languages.
    Translated(String),
}

impl Value {
    fn kind(&self) -> u32 {
        match self {
            Self::U16(_) => 3,
            Self::U32(_) => 4,
            Self::Text(_) => 6,
            Self::Array(_) => 8,
            Self::Translated(_) => 9,
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::U16(numbers) => numbers.len(),
            Self::U32(numbers) => numbers.len(),
            Self::Array(texts) => texts.len(),
            Self::Text(_) | Self::Translated(_) => 1,
        }
    }

    fn alignment(&self) -> usize {
        match self {
            Self::U16(_) => 2,
            Self::U32(_) => 4,
            _ => 1,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let text = |text: &String| [text.as_bytes(), &[0]].concat();
        match self {
            Self::U16(numbers) => numbers.iter().flat_map(|n| n.to_be_bytes()).collect(),
            Self::U32(numbers) => numbers.iter().flat_map(|n| n.to_be_bytes()).collect(),
            Self::Text(one) | Self::Translated(one) => text(one),
            Self::Array(texts) => texts.iter().flat_map(text).collect(),
        }
    }
}

/// A header being made.
pub(super) struct Header {
    /// The tag of what the header's checksum covers: all of it.
    region: u32,
    values: BTreeMap<u32, Value>,
}

const REGION_KIND: u32 = 7;
const ENTRY_LEN: usize = 16;

impl Header {
    pub(super) fn new(region: u32) -> Self {
        Self {
            region,
            values: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, tag: u32, value: Value) {
        self.values.insert(tag, value);
    }

    /// The header's bytes.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        let count = self.values.len() + 1;
        let (mut index, mut store) = (Vec::new(), Vec::new());
        for (tag, value) in &self.values {
            store.resize(store.len().next_multiple_of(value.alignment()), 0);
            let (at, many) = (store.len().try_into()?, value.count().try_into()?);
            index.extend(entry([*tag, value.kind(), at, many]));
            store.extend(value.bytes());
        }
        // The region's entry leads to its trailer, which leads back over the whole index.
        let len = u32::try_from(ENTRY_LEN)?;
        let back = u32::try_from(count * ENTRY_LEN)?.wrapping_neg();
        let region = entry([self.region, REGION_KIND, store.len().try_into()?, len]);
        store.extend(entry([self.region, REGION_KIND, back, len]));

        let mut bytes = vec![0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
        bytes.extend(u32::try_from(count)?.to_be_bytes());
        bytes.extend(u32::try_from(store.len())?.to_be_bytes());
        Ok([bytes, region, index, store].concat())
    }
}

fn entry(fields: [u32; 4]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|field| field.to_be_bytes())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_and_the_region_spans_the_index() {
        let mut header = Header::new(63);
        header.add(1000, Value::Text("ab".to_owned()));
        header.add(1009, Value::U32(vec![7]));
        let bytes = header.bytes().unwrap();
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((number(8), number(12)), (3, 4 + 4 + 16));
        // The region, the text, the number.
        assert_eq!([16, 32, 48].map(number), [63, 1000, 1009]);
        assert_eq!([24, 40, 56].map(number), [8, 0, 4]);
        let store = 16 + 3 * 16;
        assert_eq!(&bytes[store..store + 8], b"ab\0\0\0\0\0\x07");
        assert_eq!(number(store + 8 + 8), 48_u32.wrapping_neg());
    }
}
