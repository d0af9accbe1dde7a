//! Files of a lake that are made in memory, of paths that come in any order.
use std::{collections::BTreeMap, convert::Infallible};

use object_store::path::Path as ObjectPath;

use super::{
    layout::{Hour, Partition, Table, digest},
    part::Part,
    schema::columns,
    store::Lake,
};
use crate::{
    export::ROWS_PER_GROUP,
    field::Value,
    path::Path,
    projection::row::{Row, rows},
    world::World,
};

/// Rows of which files are made at once at most, if there are to be no more.
const ROWS_MAX: u64 = 4 * ROWS_PER_GROUP as u64;

/// The rows of a path, apart from what they are made of.
pub(crate) struct Rows {
    begin_ns: u64,
    /// Of each hop, the values of the columns of hops.
    hops: Vec<Vec<Option<Value<'static>>>>,
}

impl Rows {
    pub(crate) fn of(path: &Path, world: &World) -> Self {
        let mut all = Self {
            begin_ns: 0,
            hops: Vec::new(),
        };
        let Ok(()) = rows(path, world, 0, |row: &Row<'_>| {
            if all.hops.is_empty() {
                all.begin_ns = row.hop.time_ns.0;
            }
            let values = columns(Table::Hops).map(|column| column.value(row));
            let values = values.map(|value| value.map(Value::into_owned));
            all.hops.push(values.collect());
            Ok::<_, Infallible>(())
        });
        all
    }
}

/// A file, and where it belongs in a lake.
pub(crate) struct Made {
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
}

/// What is to be in the files.
pub(crate) struct Making {
    /// What tells the packets of others apart.
    session: String,
    pool: String,
    parts: BTreeMap<Hour, Part<Vec<u8>>>,
    rows: u64,
}

impl Making {
    pub(crate) fn new(session: String, pool: String) -> Self {
        Self {
            session,
            pool,
            parts: BTreeMap::new(),
            rows: 0,
        }
    }

    /// Whether there is enough for files.
    pub(crate) fn is_full(&self) -> bool {
        self.rows >= ROWS_MAX
    }

    pub(crate) fn push(&mut self, rows: &Rows) -> anyhow::Result<()> {
        if rows.hops.is_empty() {
            return Ok(());
        }
        let hour = Hour::of(rows.begin_ns);
        if !self.parts.contains_key(&hour) {
            let part = Part::new(&self.session, rows.begin_ns, || Ok(Vec::new()))?;
            self.parts.insert(hour, part);
        }
        let Some(part) = self.parts.get_mut(&hour) else {
            return Ok(());
        };
        part.begins(rows.begin_ns);
        for (number, row) in rows.hops.iter().enumerate() {
            let values = || row.iter().map(|value| value.as_ref().map(Value::borrowed));
            for (table, file) in &mut part.files {
                match table {
                    Table::Hops => file.push_values(values())?,
                    Table::Paths if number == 0 => {
                        let values = columns(Table::Hops).zip(values());
                        let shared = values.filter(|(column, _)| column.of_path);
                        file.push_values(shared.map(|(_, value)| value))?;
                    }
                    Table::Paths => {}
                }
            }
            self.rows += 1;
        }
        Ok(())
    }

    /// Makes the files. `number`: of these among those of the session.
    pub(crate) fn finish(self, number: u64) -> anyhow::Result<Vec<Made>> {
        let mut made = Vec::new();
        for (hour, part) in self.parts {
            let name = part.name(digest(&format!("{}\n{number}", self.session)));
            for (table, file) in part.files {
                let pool = self.pool.clone();
                let partition = Partition { table, hour, pool };
                made.push(Made {
                    path: partition.file(&name.to_string()).to_string(),
                    bytes: file.finish()?,
                });
            }
        }
        Ok(made)
    }
}

impl Lake {
    /// Puts a file into its place, also if it is there already.
    pub(crate) async fn put_made(&self, made: Made) -> anyhow::Result<()> {
        self.put(made.bytes, &ObjectPath::from(made.path)).await
    }
}
