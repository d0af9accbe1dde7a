//! Puts the many small files of a folder together into one, so that a kill at any moment loses no
//! row and doubles none: `compact-HASH.json` says which files `compact-HASH.parquet` replaces, and
//! means nothing until that is there; it appears at once, and hides the others from then on.
use std::{collections::BTreeSet, fs::File, sync::Arc};

use anyhow::Context as _;
use datafusion::{
    datasource::listing::ListingTableConfig,
    parquet::{
        arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
        basic::{Compression, ZstdLevel},
        file::{metadata::KeyValue, properties::WriterProperties},
        schema::types::ColumnPath,
    },
};
use futures_util::TryStreamExt as _;
use object_store::{ObjectMeta, ObjectStoreExt as _};

use super::{
    engine::{Engine, Limits, address, in_words, listing},
    layout::{Hour, Partition, Replaces, Table, compacted},
    schema::{filtered, metadata, schema},
    store::Lake,
    view::{Folder, View, folders},
};
use crate::export::ROWS_PER_GROUP;

/// Hours that are over for less long are left alone: more may come.
const QUIET_HOURS: u64 = 1;

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Compacted {
    /// Files that were put together.
    pub(crate) files: u64,
    /// Files that they became.
    pub(crate) into: u64,
}

/// Puts the files of each hour together that was over an hour before `now_ns`.
pub(crate) async fn compact(
    lake: &Lake,
    limits: Limits<'_>,
    now_ns: u64,
) -> anyhow::Result<Compacted> {
    let mut done = Compacted::default();
    let newest = Hour::of(now_ns).before(QUIET_HOURS);
    for (partition, folder) in folders(&*lake.store, None).await? {
        if partition.hour >= newest {
            continue;
        }
        if folder.visible.len() > 1 {
            let files = u64::try_from(folder.visible.len()).unwrap_or(u64::MAX);
            join(lake, limits, &partition, &folder)
                .await
                .with_context(|| format!("failed to put {} together", partition.path()))?;
            done.files += files;
            done.into += 1;
        }
        // Of an earlier run, too, that did not come to its end.
        let replaced = folder.hidden.iter();
        let joined = folder.visible.iter().filter(|_| folder.visible.len() > 1);
        for meta in replaced.chain(joined) {
            lake.store.delete(&meta.location).await?;
        }
    }
    Ok(done)
}

async fn join(
    lake: &Lake,
    limits: Limits<'_>,
    partition: &Partition,
    folder: &Folder,
) -> anyhow::Result<()> {
    let all = folder.visible.iter().chain(&folder.hidden);
    let mut replaces: BTreeSet<String> = all
        .filter_map(|meta| meta.location.filename().map(str::to_string))
        .collect();
    // What an earlier file has replaced, this one does, too.
    for (_, earlier) in &folder.markers {
        replaces.extend(earlier.replaces.iter().cloned());
    }
    let (name, marker) = compacted(&replaces);
    let file = rows(lake, limits, partition, &folder.visible).await?;
    let says = serde_json::to_vec(&Replaces { replaces })?;
    lake.put(says, &partition.file(&marker)).await?;
    lake.put_file(file, &partition.file(&name)).await?;
    let earlier = folder.markers.iter();
    for (earlier, _) in earlier.filter(|(earlier, _)| earlier.location != partition.file(&marker)) {
        lake.store.delete(&earlier.location).await?;
    }
    Ok(())
}

/// The rows of files, by time, in a temporary one.
async fn rows(
    lake: &Lake,
    limits: Limits<'_>,
    partition: &Partition,
    files: &[ObjectMeta],
) -> anyhow::Result<File> {
    let table = partition.table;
    // Exactly those: what comes meanwhile is not replaced.
    let engine = Engine::empty(View::of(lake, files), limits)?;
    let config = ListingTableConfig::new(address(&partition.path())?);
    let listed = listing(config, schema(table), Vec::new())?;
    engine.context.register_table("files", Arc::new(listed))?;
    let order = match table {
        Table::Hops => "time_ns, session, packet, hop",
        Table::Paths => "time_ns, session, packet",
    };
    let sql = format!("SELECT * FROM files ORDER BY {order}");
    let mut sorted = engine.ask(&sql).await?;
    let schema = sorted.schema();
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("podtrace version {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .set_key_value_metadata(Some(
            metadata(table)
                .into_iter()
                .map(|(key, value)| KeyValue::new(key, value))
                .collect(),
        ));
    for name in filtered(&schema) {
        properties = properties.set_column_bloom_filter_enabled(ColumnPath::from(name), true);
    }
    let options = ArrowWriterOptions::new()
        .with_properties(properties.build())
        .with_skip_arrow_metadata(true);
    let file = tempfile::tempfile().context("failed to make a temporary file")?;
    let mut writer = ArrowWriter::try_new_with_options(file, schema, options)?;
    while let Some(batch) = sorted.try_next().await.map_err(in_words)? {
        writer.write(&batch)?;
    }
    Ok(writer.into_inner()?)
}
