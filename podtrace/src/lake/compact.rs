//! Puts the many small files of a folder together into one, so that a kill at any moment loses no
//! row and doubles none: `compact-HASH.json` says which files `compact-HASH.parquet` replaces, and
//! means nothing until that is there; it appears at once, and hides the others from then on.
use std::{collections::BTreeSet, fs::File, sync::Arc};

use anyhow::Context as _;
use datafusion::{
    arrow::{
        array::{AsArray as _, RecordBatch},
        compute::{max, min},
        datatypes::{DataType, Schema, TimestampNanosecondType},
    },
    datasource::listing::ListingTableConfig,
    parquet::{
        arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
        basic::{Compression, ZstdLevel},
        file::{metadata::KeyValue, properties::WriterProperties},
        schema::types::ColumnPath,
    },
};
use futures_util::TryStreamExt as _;
use object_store::ObjectStoreExt as _;

use super::{
    engine::{Engine, Limits, address, in_words, listing},
    layout::{Hour, Partition, Replaces, Table, compacted},
    schema::{PART, filtered, metadata, schema, with_part},
    store::Lake,
    view::{FILE, Folder, View, folders},
};
use crate::export::ROWS_PER_GROUP;

/// Hours that are over for less long are left alone: more may come.
const QUIET_HOURS: u64 = 1;

/// The least that is read of a column.
const ROWS_PER_PAGE: usize = 4096;

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
    let (file, times_ns) = rows(lake, limits, partition, folder).await?;
    let says = serde_json::to_vec(&Replaces { replaces, times_ns })?;
    lake.put(says, &partition.file(&marker)).await?;
    lake.put_file(file, &partition.file(&name)).await?;
    let earlier = folder.markers.iter();
    for (earlier, _) in earlier.filter(|(earlier, _)| earlier.location != partition.file(&marker)) {
        lake.store.delete(&earlier.location).await?;
    }
    Ok(())
}

/// The rows of a folder, each once, in a temporary file; the times of the first and the last one.
async fn rows(
    lake: &Lake,
    limits: Limits<'_>,
    partition: &Partition,
    folder: &Folder,
) -> anyhow::Result<(File, Option<[u64; 2]>)> {
    let table = partition.table;
    // Exactly those: what comes meanwhile is not replaced.
    let engine = Engine::sorter(limits)?;
    engine.show(table, View::of(lake, &folder.visible))?;
    let config = ListingTableConfig::new(address(table, &partition.path())?);
    let name = vec![(FILE.to_string(), DataType::Utf8)];
    let listed = listing(config, with_part(table), name)?;
    engine.context.register_table("files", Arc::new(listed))?;
    let mut sorted = engine.ask(&question(table, &folder.outdated)).await?;
    let schema = sorted.schema();
    let file = tempfile::tempfile().context("failed to make a temporary file")?;
    let options = ArrowWriterOptions::new()
        .with_properties(properties(table, &schema))
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(file, schema, options)?;
    let mut times_ns: Option<[u64; 2]> = None;
    while let Some(batch) = sorted.try_next().await.map_err(in_words)? {
        times_ns = times_of(&batch)
            .into_iter()
            .chain(times_ns)
            .reduce(|[first, last], [from, to]| [first.min(from), last.max(to)]);
        writer.write(&batch)?;
    }
    Ok((writer.into_inner()?, times_ns))
}

/// All rows that no later file has, those of a conversation in ten minutes together: a question about
/// a pod finds them in few pages, one about minutes in few row groups.
fn question(table: Table, outdated: &BTreeSet<String>) -> String {
    let schema = schema(table);
    let columns: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| format!("\"{}\"", field.name()))
        .collect();
    let columns = columns.join(", ");
    let current = match outdated.is_empty() {
        true => String::new(),
        false => {
            let names = outdated.iter();
            let names = names.map(|name| format!("'{}'", name.replace('\'', "''")));
            let names = names.collect::<Vec<_>>().join(", ");
            format!("WHERE {PART} IS NULL OR {PART} NOT IN ({names})")
        }
    };
    let ends = "coalesce(source_pod, source), coalesce(destination_pod, destination)";
    let hop = match table {
        Table::Hops => ", hop",
        Table::Paths => "",
    };
    format!(
        "SELECT {columns}, coalesce({PART}, {FILE}) AS {PART} FROM files {current} \
         ORDER BY date_bin(INTERVAL '10 minutes', time_ns), least({ends}), greatest({ends}), \
         time_ns, session, packet{hop}"
    )
}

fn properties(table: Table, schema: &Schema) -> WriterProperties {
    let metadata = metadata(table).map(|(key, value)| KeyValue::new(key, value));
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("podtrace version {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .set_data_page_row_count_limit(ROWS_PER_PAGE)
        .set_key_value_metadata(Some(metadata.into()));
    for name in filtered(schema) {
        properties = properties.set_column_bloom_filter_enabled(ColumnPath::from(name), true);
    }
    properties.build()
}

/// The first and the last time of some rows.
fn times_of(batch: &RecordBatch) -> Option<[u64; 2]> {
    let times = batch.column_by_name("time_ns")?;
    let times = times.as_primitive_opt::<TimestampNanosecondType>()?;
    let ends = [min(times)?, max(times)?];
    Some(ends.map(|ns| u64::try_from(ns).unwrap_or(0)))
}
