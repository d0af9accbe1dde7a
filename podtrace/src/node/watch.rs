//! Reports changes of the interfaces and tables of a namespace.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::StreamExt as _;
use rtnetlink::{
    MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        neighbour::{NeighbourMessage, NeighbourState},
    },
    sys::AsyncSocket as _,
};
use tokio::sync::mpsc;

use super::links::LinksError;
use crate::{
    clock::monotonic_ns,
    netns::{NetNs, changes, netlink::listen},
};

/// Number and time of changes. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    count: Arc<AtomicU64>,
    /// When the first change came that no scan has covered; 0 for none.
    first_ns: Arc<AtomicU64>,
    /// The number of those of what no scan reads: neighbours, forwarding entries, policy rules,
    /// settings, queueing disciplines.
    unscanned: Arc<AtomicU64>,
}

impl Changes {
    /// How many changes there have been.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// How many changes there have been, those of what no scan reads included.
    #[must_use]
    pub fn count_of_all(&self) -> u64 {
        self.count() + self.unscanned.load(Ordering::Acquire)
    }

    fn record(&self, now_ns: u64) {
        let _ = self
            .first_ns
            .compare_exchange(0, now_ns, Ordering::AcqRel, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes the changes for a scan: how many there were, and when the first came that no
    /// scan had covered.
    pub(super) fn take(&self) -> (u64, Option<u64>) {
        // The order matters: a change that comes in between counts for the next scan too.
        let count = self.count();
        let first_ns = self.first_ns.swap(0, Ordering::AcqRel);
        (count, (first_ns != 0).then_some(first_ns))
    }
}

/// Sends a token whenever an interface, address or route appears, changes or disappears in
/// the namespace or in one that it knows by a number, such as the namespaces at the other
/// ends of its veths. The channel should hold one: a pending token is enough. Counts the
/// changes in `changes`, with those of what no scan reads; of neighbours, those that somebody has
/// set or that do not answer.
///
/// # Errors
/// When the namespace cannot be entered or netlink refuses.
pub fn watch(netns: &NetNs, changes: Changes, tokens: mpsc::Sender<()>) -> Result<(), LinksError> {
    watch_unscanned(netns, &changes)?;
    let runtime = tokio::runtime::Handle::current();
    let (mut connection, handle, mut messages) = netns
        .run(|| {
            let _guard = runtime.enter();
            listen(&[
                MulticastGroup::Link,
                MulticastGroup::Ipv4Ifaddr,
                MulticastGroup::Ipv6Ifaddr,
                MulticastGroup::Ipv4Route,
                MulticastGroup::Ipv6Route,
                MulticastGroup::Neigh,
            ])
        })?
        .map_err(|source| LinksError::Io(netns.name.to_owned(), source))?;
    // A pod's interface receives its address after the last change of its veth.
    connection
        .socket_mut()
        .socket_mut()
        .set_listen_all_namespaces(true)
        .map_err(|source| LinksError::Io(netns.name.to_owned(), source))?;
    tokio::spawn(connection);
    tokio::spawn(async move {
        // The connection ends when its last handle is dropped.
        let _handle = handle;
        while let Some((message, _)) = messages.next().await {
            if let Some(neighbour) = neighbour(&message) {
                if lasts(neighbour) {
                    changes.unscanned.fetch_add(1, Ordering::AcqRel);
                }
                continue;
            }
            if let Ok(now_ns) = monotonic_ns() {
                changes.record(now_ns);
            }
            if let Err(mpsc::error::TrySendError::Closed(())) = tokens.try_send(()) {
                return;
            }
        }
    });
    Ok(())
}

/// Counts changes of tables and settings by what no scan is prompted.
fn watch_unscanned(netns: &NetNs, changes: &Changes) -> Result<(), LinksError> {
    let groups = [
        MulticastGroup::Tc,
        MulticastGroup::Ipv4Rule,
        MulticastGroup::Ipv6Rule,
        // Settings that decide how packets are forwarded, such as `rp_filter`.
        MulticastGroup::Ipv4Netconf,
        MulticastGroup::Ipv6Netconf,
    ];
    let unscanned = Arc::downgrade(&changes.unscanned);
    let changed = move |_| {
        let unscanned = unscanned.upgrade();
        unscanned.is_some_and(|unscanned| {
            unscanned.fetch_add(1, Ordering::AcqRel);
            true
        })
    };
    changes::watch(netns, &groups, changed)?
        .map_err(|source| LinksError::Io(netns.name.to_owned(), source))
}

/// The entry of a neighbour or of a forwarding database that the message is about.
fn neighbour(message: &NetlinkMessage<RouteNetlinkMessage>) -> Option<&NeighbourMessage> {
    match &message.payload {
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewNeighbour(entry) | RouteNetlinkMessage::DelNeighbour(entry),
        ) => Some(entry),
        _ => None,
    }
}

/// Whether the entry decides the way of packets for longer than the kernel learns it: somebody has
/// set it, or nobody answers for it. Others come and go with the traffic.
fn lasts(entry: &NeighbourMessage) -> bool {
    matches!(
        entry.header.state,
        NeighbourState::Permanent | NeighbourState::Noarp | NeighbourState::Failed
    )
}
