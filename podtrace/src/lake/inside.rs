//! What is in a lake.
use std::{collections::BTreeMap, fmt::Write as _};

use super::{layout::Hour, store::Lake, view::folders};

/// A row for each table and pool, as text that is safe for a terminal.
pub(crate) async fn inside(lake: &Lake) -> anyhow::Result<String> {
    let mut tables: BTreeMap<(&str, String), Contents> = BTreeMap::new();
    for (partition, folder) in folders(&*lake.store, None).await? {
        let hour = partition.hour;
        let key = (partition.table.name(), partition.pool);
        let of = tables.entry(key).or_insert(Contents {
            files: 0,
            replaced: 0,
            bytes: 0,
            first: hour,
            last: hour,
        });
        of.files += folder.visible.len();
        of.replaced += folder.hidden.len();
        of.bytes += folder.visible.iter().map(|meta| meta.size).sum::<u64>();
        of.first = of.first.min(hour);
        of.last = of.last.max(hour);
    }
    if tables.is_empty() {
        return Ok(format!("{} has no files\n", lake.name));
    }
    let mut out = String::new();
    for ((table, pool), of) in tables {
        let Contents {
            files,
            replaced,
            bytes,
            first,
            last,
        } = of;
        let pool = crate::text::escape::escape(&pool);
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{table} of {pool}: {files} files, {bytes} bytes, hours {first} to {last} (UTC)"
        );
        if replaced > 0 {
            let _ = writeln!(
                out,
                "  and {replaced} whose rows others have: --compact removes them"
            );
        }
    }
    Ok(out)
}

struct Contents {
    files: usize,
    replaced: usize,
    bytes: u64,
    first: Hour,
    last: Hour,
}
