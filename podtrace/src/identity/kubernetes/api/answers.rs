//! The API's answers as bytes: for fuzz targets, which have no server.
use kube::{
    api::WatchEvent,
    core::{ObjectList, Status},
};

use super::{
    ClusterUpdate,
    objects::{Followed, NodeObject, PodObject},
    watch::{Failure, refusal},
};

/// What lists and watched events change, one of them in each line.
#[must_use]
pub fn updates(lines: &[u8]) -> Vec<ClusterUpdate> {
    let mut updates = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        listed::<PodObject>(line, &mut updates);
        listed::<NodeObject>(line, &mut updates);
        watched::<PodObject>(line, &mut updates);
        watched::<NodeObject>(line, &mut updates);
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
    match serde_json::from_slice::<WatchEvent<K>>(line) {
        Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
            updates.extend(object.present());
        }
        Ok(WatchEvent::Deleted(object)) => updates.extend(object.removal()),
        Ok(WatchEvent::Error(status)) => updates.extend(refused::<K>(&status)),
        Ok(WatchEvent::Bookmark(_)) | Err(_) => {}
    }
}

/// The outage that a refusal begins.
fn refused<K: Followed>(status: &Status) -> Option<ClusterUpdate> {
    let Failure::Api(failure) = refusal(status) else {
        return None;
    };
    Some(ClusterUpdate::Unavailable {
        resource: K::RESOURCE,
        reason: failure.reason,
    })
}
