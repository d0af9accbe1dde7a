//! The batches of records that the reader hands on.
use bytes::{BufMut as _, Bytes, BytesMut};
use podtrace_ebpf::record::{HEADER_LEN, Record};

use crate::model::{loss::LostBy, snapshot::NewCgroup};

/// Records in order of time, each padded as in its ring.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Bytes,
    /// Cgroups that its records are the first to show.
    pub cgroups: Vec<NewCgroup>,
    /// Whether the cgroups of the earlier batches are obsolete: they are sent again.
    pub forgets_cgroups: bool,
    /// The losses that were known before the records were read.
    pub lost: Option<LostBy>,
}

impl Batch {
    /// A batch of the records in these bytes.
    pub(super) fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            cgroups: Vec::new(),
            forgets_cgroups: false,
            lost: None,
        }
    }

    /// A batch of these records, without new cgroups and losses.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut bytes = BytesMut::new();
        let mut until_ns = 0;
        for record in records {
            if let Some(begin) = Record::begin(record) {
                until_ns = until_ns.max(begin.ts_ns);
                let end = bytes.len() + begin.room() as usize;
                bytes.put_slice(record);
                bytes.resize(end, 0);
            }
        }
        Self {
            lost: Some(LostBy {
                until_ns,
                read_ns: until_ns,
                records: 0,
            }),
            ..Self::new(bytes.freeze())
        }
    }

    /// The records: header and captured bytes.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let begin = Record::begin(rest)?;
            let (record, tail) = rest.split_at_checked(begin.room() as usize)?;
            rest = tail;
            record.get(..HEADER_LEN + begin.captured as usize)
        })
    }

    /// The captured bytes of one of its records.
    #[must_use]
    pub fn captured(&self, record: &[u8]) -> Bytes {
        let captured = record.get(HEADER_LEN..);
        captured.map_or_else(Bytes::new, |captured| self.bytes.slice_ref(captured))
    }
}
