//! The files of an hour while they are made.
use std::io::Write;

use super::{
    layout::{Name, Table},
    schema::shape,
};
use crate::export::{ParquetFile, ROWS_PER_GROUP};

pub(super) struct Part<W: Write + Send> {
    pub(super) files: [(Table, ParquetFile<W>); 2],
    pub(super) rows: u64,
    /// When the first and the last of its packets begin.
    times_ns: (u64, u64),
}

impl<W: Write + Send> Part<W> {
    /// `session`: what tells the packets of others apart; `begin_ns`: when the first packet begins.
    pub(super) fn new(
        session: &str,
        begin_ns: u64,
        writer: impl Fn() -> anyhow::Result<W>,
    ) -> anyhow::Result<Self> {
        let file = |table| {
            let file = ParquetFile::new(writer()?, shape(table, session), ROWS_PER_GROUP)?;
            anyhow::Ok((table, file))
        };
        Ok(Self {
            files: [file(Table::Hops)?, file(Table::Paths)?],
            rows: 0,
            times_ns: (begin_ns, begin_ns),
        })
    }

    /// Takes note that a packet begins then.
    pub(super) fn begins(&mut self, begin_ns: u64) {
        let (first, last) = &mut self.times_ns;
        *first = begin_ns.min(*first);
        *last = begin_ns.max(*last);
    }

    /// The name of its files. `source`: what they are made of.
    pub(super) fn name(&self, source: String) -> Name {
        let (first_ns, last_ns) = self.times_ns;
        Name {
            source,
            first_ns,
            last_ns,
        }
    }
}
