//! Tells when the interfaces of a namespace change.
use futures_util::StreamExt as _;
use rtnetlink::{MulticastGroup, new_multicast_connection};
use tokio::sync::mpsc;

use super::{links::LinksError, netns::NetNs};

/// Sends a token whenever an interface or address of the namespace appears,
/// changes or goes. The channel should hold one: a pending token is enough.
///
/// # Errors
/// When the namespace cannot be entered or netlink refuses.
pub fn watch(netns: &NetNs, changes: mpsc::Sender<()>) -> Result<(), LinksError> {
    let runtime = tokio::runtime::Handle::current();
    let (connection, handle, mut messages) = netns
        .run(|| {
            let _guard = runtime.enter();
            new_multicast_connection(&[
                MulticastGroup::Link,
                MulticastGroup::Ipv4Ifaddr,
                MulticastGroup::Ipv6Ifaddr,
            ])
        })?
        .map_err(|source| LinksError::Io(netns.name.to_owned(), source))?;
    tokio::spawn(connection);
    tokio::spawn(async move {
        // The connection ends when its last handle is dropped.
        let _handle = handle;
        while messages.next().await.is_some() {
            if let Err(mpsc::error::TrySendError::Closed(())) = changes.try_send(()) {
                return;
            }
        }
    });
    Ok(())
}
