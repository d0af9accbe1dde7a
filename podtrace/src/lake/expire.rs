//! Removes what is old.
use object_store::ObjectStoreExt as _;

use super::{layout::Partition, store::Lake, view::folders};

/// What was removed.
#[derive(Debug, Default)]
pub(crate) struct Expired {
    /// Files.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// Removes the hours that were over before `before_ns`; nothing with `only_count`.
pub(crate) async fn expire(
    lake: &Lake,
    before_ns: u64,
    only_count: bool,
) -> anyhow::Result<Expired> {
    let mut done = Expired::default();
    for (partition, folder) in folders(&*lake.store, None).await? {
        if !is_over(&partition, before_ns) {
            continue;
        }
        // What hides others goes behind them, so that they do not come back meanwhile.
        let markers = folder.markers.into_iter().map(|(meta, _)| meta);
        for meta in folder
            .hidden
            .into_iter()
            .chain(folder.visible)
            .chain(markers)
        {
            if !only_count {
                lake.store.delete(&meta.location).await?;
            }
            done.files += 1;
            done.bytes += meta.size;
        }
    }
    Ok(done)
}

fn is_over(partition: &Partition, before_ns: u64) -> bool {
    partition.hour.end_ns() <= before_ns
}
