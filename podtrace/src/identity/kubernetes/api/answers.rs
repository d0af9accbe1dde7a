//! The API's answers as bytes: for fuzz targets, which have no server.
use kube::{api::WatchEvent, core::ObjectList};

use super::{
    ClusterUpdate,
    objects::{Followed, NodeObject, PodObject, ServiceObject, SliceObject},
    watch::{Failure, change, outage},
};

/// What lists and watched events change, one of them in each line.
#[must_use]
pub fn updates(lines: &[u8]) -> Vec<ClusterUpdate> {
    let mut updates = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        listed::<PodObject>(line, &mut updates);
        listed::<NodeObject>(line, &mut updates);
        listed::<ServiceObject>(line, &mut updates);
        listed::<SliceObject>(line, &mut updates);
        watched::<PodObject>(line, &mut updates);
        watched::<NodeObject>(line, &mut updates);
        watched::<ServiceObject>(line, &mut updates);
        watched::<SliceObject>(line, &mut updates);
    }
    updates
}

fn listed<K: Followed>(line: &[u8], updates: &mut Vec<ClusterUpdate>) {
    let Ok(list) = serde_json::from_slice::<ObjectList<K>>(line) else {
        return;
    };
    updates.push(ClusterUpdate::Restart(K::RESOURCE));
    updates.extend(list.items.into_iter().filter_map(Followed::present));
    updates.push(ClusterUpdate::Synced(K::RESOURCE));
}

fn watched<K: Followed>(line: &[u8], updates: &mut Vec<ClusterUpdate>) {
    let Ok(event) = serde_json::from_slice::<WatchEvent<K>>(line) else {
        return;
    };
    match change(event) {
        Ok((_version, update)) => updates.extend(update),
        Err(Failure::Api(failure)) => updates.push(outage::<K>(failure)),
        Err(Failure::Closed | Failure::Gone) => {}
    }
}
