//! The columns of the tables: for those who write, and for those who read.
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::layout::{Table, VERSION};
use crate::export::{COLUMNS, Column, Kind, Shape};

/// Columns by which single pods or addresses are looked for.
const FILTERED: [&str; 5] = [
    "pod",
    "source",
    "source_pod",
    "destination",
    "destination_pod",
];

/// The column with the names of the recordings, within which packets have their numbers.
const SESSION: &str = "session";

/// The column of files that were put together which says in which file the row was before.
pub(super) const PART: &str = "part";

/// The columns that stand in the names of folders.
pub(super) fn of_folders() -> Vec<(String, DataType)> {
    let columns = [
        ("date", DataType::Utf8),
        ("hour", DataType::Int32),
        ("pool", DataType::Utf8),
    ];
    columns.map(|(name, kind)| (name.into(), kind)).into()
}

/// A row per conversation and direction, of each hour.
pub(super) const FLOWS: &str = "
SELECT date, hour, pool, protocol, source_pod, source, source_port,
       destination_pod, destination, destination_port,
       count(*) AS packets, sum(length) AS bytes,
       count(*) FILTER (WHERE outcome IN ('not_seen_further', 'dropped', 'no_socket', 'loop')
                        OR outcome = 'unanswered' AND protocol = 'tcp') AS lost,
       count(*) FILTER (WHERE refusal_packet IS NOT NULL) AS refused,
       count(*) FILTER (WHERE copy_of IS NOT NULL) AS sent_again,
       min(time_ns) AS first_ns, max(time_ns) AS last_ns,
       min(rtt_ns) AS rtt_min_ns, max(rtt_ns) AS rtt_max_ns
FROM paths
GROUP BY date, hour, pool, protocol, source_pod, source, source_port,
         destination_pod, destination, destination_port";

/// The columns that have values of their own in each row.
pub(super) fn columns(table: Table) -> impl Iterator<Item = &'static Column> {
    COLUMNS
        .iter()
        .filter(move |column| !column.csv_only && (column.of_path || table == Table::Hops))
}

/// What a file of a table holds.
pub(super) fn shape(table: Table, session: &str) -> Shape {
    let columns: Vec<_> = columns(table).collect();
    let has = |name: &&str| columns.iter().any(|column| column.name == *name);
    Shape {
        constants: vec![(SESSION, session.into())],
        filtered: FILTERED.into_iter().filter(has).collect(),
        metadata: metadata(table).into(),
        columns,
    }
}

/// What stands in the metadata of a file.
pub(super) fn metadata(table: Table) -> [(String, String); 2] {
    [
        ("podtrace.lake".into(), VERSION.into()),
        ("podtrace.table".into(), table.name().into()),
    ]
}

/// The columns with a bloom filter.
pub(super) fn filtered(schema: &Schema) -> impl Iterator<Item = &'static str> {
    FILTERED
        .into_iter()
        .filter(|name| schema.field_with_name(name).is_ok())
}

/// The columns of a table's files, with [`PART`], which those of recordings lack.
pub(super) fn with_part(table: Table) -> Arc<Schema> {
    let own = schema(table);
    let part = Arc::new(Field::new(PART, DataType::Utf8View, true));
    let fields: Vec<_> = own.fields().iter().cloned().chain([part]).collect();
    Arc::new(Schema::new(fields))
}

/// The columns of a table, for questions.
pub(super) fn schema(table: Table) -> Arc<Schema> {
    let session = Field::new(SESSION, DataType::Utf8View, false);
    let columns = columns(table)
        .map(|column| Field::new(column.name, type_of(column.kind), !column.required));
    let fields: Vec<_> = [session].into_iter().chain(columns).collect();
    Arc::new(Schema::new(fields))
}

fn type_of(kind: Kind) -> DataType {
    match kind {
        Kind::Long => DataType::Int64,
        Kind::Int => DataType::Int32,
        Kind::Flag => DataType::Boolean,
        Kind::Text => DataType::Utf8View,
        Kind::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
    }
}
