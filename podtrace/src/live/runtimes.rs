//! The container runtimes of the traced nodes.
use std::{path::PathBuf, time::Duration};

use futures_util::future::join_all;
use tokio::sync::mpsc;

use crate::{
    identity::{
        cri::PodList,
        runtime::{FollowConfig, Follower, RuntimeState, follow},
    },
    node::target::Node,
    update::{UNTIMED, Update},
};

/// How long the start waits for a runtime's first answer.
const FIRST_LIST: Duration = Duration::from_secs(3);

/// The sockets to ask.
#[derive(Clone, Debug)]
pub(crate) enum Sockets {
    /// None: names come from elsewhere.
    None,
    /// The first of the usual ones that answers.
    Usual,
    /// None is known: the usual ones belong to the node that podtrace runs on, which is not
    /// traced.
    Elsewhere,
    /// The given ones.
    These(Vec<PathBuf>),
}

/// One runtime.
pub(super) struct RuntimeSource {
    number: usize,
    follower: Follower,
    /// The inodes of the nodes' network namespaces.
    nodes: Vec<u64>,
    /// The node that the runtime serves, once that is known.
    node: Option<usize>,
    /// Asks it for a new list.
    pub(super) prompt: mpsc::Sender<()>,
    /// Why its first list failed.
    failed: Option<String>,
    /// Describes what its last list lacks.
    left_out: String,
}

/// Connects to the runtimes and waits, not for long, for their first lists.
pub(super) async fn connect(nodes: &[Node], sockets: Sockets) -> Vec<RuntimeSource> {
    let sockets = match sockets {
        Sockets::None | Sockets::Elsewhere => Vec::new(),
        Sockets::Usual => vec![None],
        Sockets::These(paths) => paths.into_iter().map(Some).collect(),
    };
    let inodes: Vec<_> = nodes.iter().map(|node| node.netns.inode).collect();
    join_all(
        sockets
            .into_iter()
            .enumerate()
            .map(async |(number, socket)| {
                let (prompt, prompts) = mpsc::channel(1);
                let mut follower = follow(FollowConfig { socket }, prompts);
                let failed = follower.ready(FIRST_LIST).await.err();
                RuntimeSource {
                    number,
                    follower,
                    nodes: inodes.clone(),
                    node: None,
                    prompt,
                    failed: failed.map(|error| error.to_string()),
                    left_out: String::new(),
                }
            }),
    )
    .await
}

impl RuntimeSource {
    /// The updates known at the start.
    pub(super) fn first(&mut self) -> Vec<Update> {
        if let Some(reason) = self.failed.take() {
            return vec![notice(format!("container names unknown: {reason}"))];
        }
        let mut updates = Vec::new();
        while let Ok(state) = self.follower.states.try_recv() {
            updates.extend(self.state(state));
        }
        updates.extend(self.pods());
        updates
    }

    /// Passes on the updates of the runtime until the session ends.
    pub(super) async fn run(mut self, updates: mpsc::Sender<Update>) {
        loop {
            let new = tokio::select! {
                biased;
                state = self.follower.states.recv() => match state {
                    Some(state) => self.state(state),
                    None => return,
                },
                changed = self.follower.pods.changed(), if self.node.is_some() => {
                    if changed.is_err() {
                        return;
                    }
                    self.pods()
                }
            };
            for update in new {
                if updates.send(update).await.is_err() {
                    return;
                }
            }
        }
    }

    fn pods(&mut self) -> Vec<Update> {
        let list = self.follower.pods.borrow_and_update().clone();
        if self.node.is_none() {
            return Vec::new();
        }
        let pods = Update::Pods {
            runtime: self.number,
            pods: list.pods.clone(),
            ts_ns: UNTIMED,
        };
        [pods].into_iter().chain(self.left_out(&list)).collect()
    }

    /// A notice of what the list lacks, if that has changed.
    fn left_out(&mut self, list: &PodList) -> Option<Update> {
        let now = list.left_out().join(", ");
        let before = std::mem::replace(&mut self.left_out, now.clone());
        (before != now && !now.is_empty()).then(|| notice(format!("not known: {now}")))
    }

    fn state(&mut self, state: RuntimeState) -> Vec<Update> {
        if let RuntimeState::Connected(about) = &state {
            self.node = about.node_among(&self.nodes);
            if self.node.is_none() {
                return vec![notice(format!(
                    "{about} serves none of the traced nodes: it is in another network namespace"
                ))];
            }
        }
        let Some(serves) = self.node else {
            return Vec::new();
        };
        let (node, text) = match state {
            RuntimeState::Connected(about) => (
                Some(serves),
                format!("pods and containers named by {about}"),
            ),
            RuntimeState::Lost { reason } => (
                None,
                format!("new pods and containers stay unnamed: {reason}"),
            ),
        };
        let runtime = self.number;
        vec![Update::Runtime { runtime, node }, notice(text)]
    }
}

fn notice(text: String) -> Update {
    Update::Notice { text }
}
