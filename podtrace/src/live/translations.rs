//! Follows the translations in the nodes' connection tracking.
use tokio::sync::mpsc;

use crate::{
    node::{conntrack::Conntrack, target::Node},
    update::{UNTIMED, Update},
};

/// Follows the connection tracking of each node that has one and lets podtrace ask: the
/// content of packets decides without it, too. Returns for each other node why not, in a line.
pub(super) fn follow(nodes: &[Node], updates: &mpsc::Sender<Update>) -> Vec<String> {
    let mut unread = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        match Conntrack::follow(&node.netns) {
            Ok(conntrack) => {
                tokio::spawn(run(conntrack, number, node.netns.id, updates.clone()));
            }
            Err(error) => unread.push(format!(
                "connection tracking of {} is not read, content alone decides: {error}",
                node.name
            )),
        }
    }
    unread
}

async fn run(mut conntrack: Conntrack, node: usize, netns: u64, updates: mpsc::Sender<Update>) {
    while let Some(changes) = conntrack.next().await {
        let update = Update::Translations {
            node,
            netns,
            changes,
            ts_ns: UNTIMED,
        };
        if updates.send(update).await.is_err() {
            return;
        }
    }
}
