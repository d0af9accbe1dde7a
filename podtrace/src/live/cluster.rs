//! The Kubernetes API, for the names of remote pods and nodes, and of Services.
use std::{iter, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::{
    identity::kubernetes::{ClusterConfig, ClusterUpdate, Resource, watch},
    update::{UNTIMED, Update},
};

/// How long the start waits for the first lists.
const FIRST_LISTS: Duration = Duration::from_secs(3);
/// Upper bound of the updates that wait to be passed on.
const QUEUE: usize = 1024;

/// The notice about the first object that exceeds the room.
pub(super) const FULL: &str =
    "more pods, nodes and Services than podtrace keeps: some addresses stay unnamed";

/// Watches pods, nodes, Services and what is behind them: returns those that exist at the start, if
/// that does not take long, and passes on later changes.
pub(super) async fn connect(
    config: Option<ClusterConfig>,
    updates: mpsc::Sender<Update>,
) -> Vec<Update> {
    let Some(config) = config else {
        return Vec::new();
    };
    let about = config.to_string();
    let (sender, mut receiver) = mpsc::channel(QUEUE);
    watch(config, sender);
    let deadline = Instant::now() + FIRST_LISTS;
    let mut first = Vec::new();
    let mut answered = [false; Resource::ALL.len()];
    while answered.contains(&false) {
        match timeout_at(deadline, receiver.recv()).await {
            Ok(Some(update)) => {
                match &update {
                    ClusterUpdate::Synced(resource)
                    | ClusterUpdate::Unavailable { resource, .. } => {
                        answered[*resource as usize] = true;
                    }
                    _ => {}
                }
                first.extend(updates_of(update));
            }
            Ok(None) => break,
            Err(_) => {
                let text = format!("no answer yet from {about}");
                first.push(Update::Notice { text });
                break;
            }
        }
    }
    tokio::spawn(async move {
        while let Some(update) = receiver.recv().await {
            for update in updates_of(update) {
                if updates.send(update).await.is_err() {
                    return;
                }
            }
        }
    });
    first
}

/// The update from the API, and a notice about it if the user needs one.
fn updates_of(update: ClusterUpdate) -> impl Iterator<Item = Update> {
    let notice = notice(&update).map(|text| Update::Notice { text });
    let ts_ns = UNTIMED;
    iter::once(Update::Cluster { update, ts_ns }).chain(notice)
}

fn notice(update: &ClusterUpdate) -> Option<String> {
    // Others are named by the node itself where it has them.
    let named = |resource: &Resource| match resource {
        Resource::Services => resource.to_string(),
        Resource::EndpointSlices => "endpoints of Services".to_owned(),
        Resource::Pods | Resource::Nodes => format!("{resource} elsewhere"),
    };
    match update {
        ClusterUpdate::Unavailable { resource, reason } => {
            Some(format!("new {} stay unnamed: {reason}", named(resource)))
        }
        ClusterUpdate::Available(resource) => {
            Some(format!("{} are named by the API again", named(resource)))
        }
        _ => None,
    }
}
