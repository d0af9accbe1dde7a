//! The API's answers as bytes: for fuzz targets, which have no server.
use kube::api::WatchEvent;

use super::{
    ClusterUpdate, Resource,
    objects::{List, Object},
    watch::{Failure, change, outage},
};

/// What lists and watched events change, one of them in each line.
#[must_use]
pub fn updates(lines: &[u8]) -> Vec<ClusterUpdate> {
    let mut updates = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        for resource in Resource::ALL {
            listed(line, resource, &mut updates);
            watched(line, resource, &mut updates);
        }
    }
    updates
}

fn listed(line: &[u8], resource: Resource, updates: &mut Vec<ClusterUpdate>) {
    let Ok(list) = serde_json::from_slice::<List>(line) else {
        return;
    };
    updates.push(ClusterUpdate::Restart(resource));
    updates.extend(list.updates(resource));
    updates.push(ClusterUpdate::Synced(resource));
}

fn watched(line: &[u8], resource: Resource, updates: &mut Vec<ClusterUpdate>) {
    let Ok(event) = serde_json::from_slice::<WatchEvent<Object>>(line) else {
        return;
    };
    match change(resource, event) {
        Ok((_version, update)) => updates.extend(update),
        Err(Failure::Api(failure)) => updates.push(outage(resource, failure)),
        Err(Failure::Closed | Failure::Gone) => {}
    }
}
