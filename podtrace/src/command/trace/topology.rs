//! The topology of the nodes, for a recording.
use std::time::Duration;

use tokio::{sync::mpsc, time::sleep};

use super::{Sockets, feeds::Update};
use crate::{
    clock::utc_ns,
    command::topology::look,
    node::{pod_table::PodTable, target::Node, topology::Topology},
    output::topology::text,
    session::format::RecordedTopology,
};

/// How often it is looked at.
const PAUSE: Duration = Duration::from_secs(300);

/// Looks at the topology now and again; what has changed is told.
pub(super) async fn keep_looking(
    nodes: Vec<Node>,
    sockets: Sockets,
    table: PodTable,
    updates: mpsc::Sender<Update>,
) {
    let mut known = None;
    loop {
        // What cannot be read is missing in the recording, and tried again.
        if let Ok(topology) = look(nodes.clone(), sockets.clone(), &table).await
            && known.as_ref() != Some(&topology)
        {
            if let Some(recorded) = recorded(&topology)
                && updates.send(Update::Topology(recorded)).await.is_err()
            {
                return;
            }
            known = Some(topology);
        }
        sleep(PAUSE).await;
    }
}

fn recorded(topology: &Topology) -> Option<Box<RecordedTopology>> {
    let mut shown = String::new();
    text::write(&mut shown, topology, false);
    Some(Box::new(RecordedTopology {
        utc_ns: utc_ns().ok()?,
        json: serde_json::to_value(topology).ok()?,
        text: shown,
    }))
}
