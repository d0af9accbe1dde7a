//! Reports changes of the interfaces of a namespace.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::StreamExt as _;
use rtnetlink::{MulticastGroup, sys::AsyncSocket as _};
use tokio::sync::mpsc;

use super::links::LinksError;
use crate::{
    clock::monotonic_ns,
    netns::{NetNs, netlink::listen},
};

/// Number and time of changes. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    count: Arc<AtomicU64>,
    /// When the first change came that no scan has covered; 0 for none.
    first_ns: Arc<AtomicU64>,
}

impl Changes {
    /// How many changes there have been.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
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
/// changes in `changes`.
///
/// # Errors
/// When the namespace cannot be entered or netlink refuses.
pub fn watch(netns: &NetNs, changes: Changes, tokens: mpsc::Sender<()>) -> Result<(), LinksError> {
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
        while messages.next().await.is_some() {
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
