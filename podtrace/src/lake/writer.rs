//! Writes the paths of recordings into a lake: a file of hops and one of paths for each hour.
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter},
};

use anyhow::Context as _;
use object_store::ObjectStoreExt as _;
use tokio::runtime::Runtime;

use super::{
    layout::{Hour, Partition, Table, digest},
    part::Part,
    store::Lake,
    view::folders,
};
use crate::{
    export::LAST_NS,
    path::{Path, summary::Summary},
    pipeline::consumer::{Consumer, Failure},
    projection::row::rows,
    text::count::counted,
    world::World,
};

/// An hour is written once packets come that are so many hours later: paths come in the order of
/// their begin, but for those that were corrected.
const HOURS_OPEN: u64 = 1;

/// What is written.
pub(crate) struct Source {
    /// The recordings by their names, a line each.
    pub(crate) sessions: String,
    /// What of them was asked for.
    pub(crate) part: String,
    /// The name of the nodes' pool.
    pub(crate) pool: String,
    /// Whether it is told how much was written.
    pub(crate) is_told: bool,
}

/// Writes into a lake.
pub(crate) struct LakeWriter {
    lake: Lake,
    source: Source,
    runtime: Runtime,
    open: BTreeMap<Hour, Part<BufWriter<File>>>,
    failure: Failure,
    /// Packets that came when their hour was written.
    late: u64,
    /// Times that Parquet does not have.
    beyond: u64,
    files: u64,
    rows: u64,
}

impl LakeWriter {
    pub(crate) fn new(lake: Lake, source: Source) -> anyhow::Result<Self> {
        Ok(Self {
            lake,
            source,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("failed to start the runtime")?,
            open: BTreeMap::new(),
            failure: Failure::default(),
            late: 0,
            beyond: 0,
            files: 0,
            rows: 0,
        })
    }

    fn write(&mut self, path: &Path, world: &World) -> anyhow::Result<()> {
        let mut part = None;
        rows(path, world, 0, |row| {
            let begin_ns = row.hop.time_ns.0;
            self.beyond += u64::from(begin_ns > LAST_NS);
            let (hour, is_first) = match part {
                Some(hour) => (hour, false),
                None => (self.hour_for(begin_ns)?, true),
            };
            part = Some(hour);
            let Some(open) = self.open.get_mut(&hour) else {
                return Ok(());
            };
            if is_first {
                open.begins(begin_ns);
            }
            for (table, file) in &mut open.files {
                if *table == Table::Hops || is_first {
                    file.push(row)?;
                    open.rows += 1;
                }
            }
            anyhow::Ok(())
        })
    }

    /// The hour that a path is written to; writes hours that are over.
    fn hour_for(&mut self, begin_ns: u64) -> anyhow::Result<Hour> {
        let mut hour = Hour::of(begin_ns);
        if let Some(oldest) = self.open.keys().next().copied()
            && hour < oldest
            && self.files > 0
        {
            self.late += 1;
            hour = oldest;
        }
        if !self.open.contains_key(&hour) {
            let session = self.source.sessions.replace('\n', "+");
            let part = Part::new(&session, begin_ns, || {
                let file = tempfile::tempfile().context("failed to make a temporary file")?;
                Ok(BufWriter::new(file))
            })?;
            self.open.insert(hour, part);
        }
        while let Some(oldest) = self.open.first_entry()
            && *oldest.key() < hour.before(HOURS_OPEN)
        {
            let (hour, part) = oldest.remove_entry();
            self.put(hour, part)?;
        }
        Ok(hour)
    }

    /// Puts the files of an hour into the lake, and removes those of the same recordings that have
    /// less.
    fn put(&mut self, hour: Hour, part: Part<BufWriter<File>>) -> anyhow::Result<()> {
        let Source {
            sessions,
            part: asked,
            pool,
            ..
        } = &self.source;
        let name = part.name(digest(&format!("{sessions}\n\n{asked}")));
        self.rows += part.rows;
        for (table, file) in part.files {
            let partition = Partition {
                table,
                hour,
                pool: pool.clone(),
            };
            let file = file
                .finish()?
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?;
            let to = partition.file(&name.to_string());
            let (lake, source) = (&self.lake, &name.source);
            self.runtime.block_on(async {
                lake.put_file(file, &to).await?;
                let folders = folders(&*lake.store, Some(&partition.path())).await?;
                for meta in folders.into_values().flat_map(|folder| folder.hidden) {
                    if Partition::of(&meta.location)
                        .is_some_and(|(_, name)| name.starts_with(source))
                    {
                        lake.store.delete(&meta.location).await?;
                    }
                }
                anyhow::Ok(())
            })?;
            self.files += 1;
        }
        Ok(())
    }

    fn put_all(&mut self) -> anyhow::Result<()> {
        while let Some((hour, part)) = self.open.pop_first() {
            self.put(hour, part)?;
        }
        Ok(())
    }

    fn record(&mut self, result: anyhow::Result<()>) {
        let failed = result.map_err(|error| match error.downcast::<io::Error>() {
            Ok(error) => error,
            Err(error) => io::Error::other(error),
        });
        self.failure.record(failed);
    }

    fn notices(&self) -> Vec<String> {
        let late = (self.late > 0).then(|| {
            let packets = counted(self.late, "packet");
            format!(
                "{packets} came hours after those around them, and are in the lake in a later hour"
            )
        });
        let beyond = (self.beyond > 0).then(|| {
            let times = self.beyond;
            format!("{times} times are written as 2262-04-11T23:47:16Z, the last that Parquet has")
        });
        let (rows, files) = (counted(self.rows, "row"), counted(self.files, "file"));
        let written = format!("wrote {rows} in {files} into {}", self.lake.name);
        let written = self.source.is_told.then_some(written);
        late.into_iter().chain(beyond).chain(written).collect()
    }
}

impl Consumer for LakeWriter {
    fn on_path(&mut self, path: &Path, world: &World) {
        if !self.failure.has_failed() {
            let written = self.write(path, world);
            self.record(written);
        }
    }

    fn on_end(&mut self, _: &Summary, _: &World) -> Vec<String> {
        if !self.failure.has_failed() {
            let put = self.put_all();
            self.record(put);
        }
        if self.failure.has_failed() {
            return Vec::new();
        }
        self.notices()
    }

    fn has_failed(&self) -> bool {
        self.failure.has_failed()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.failure.take()
    }
}
