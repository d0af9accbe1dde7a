//! Tells that tables of a namespace have changed, not how.
use std::{future::poll_fn, io, time::Duration};

use futures_util::FutureExt as _;
use rtnetlink::{
    MulticastGroup,
    sys::{AsyncSocket as _, TokioSocket, protocols::NETLINK_ROUTE},
};
use tokio::{runtime::Handle, time::sleep};

use super::{NetNs, NetNsError};
use crate::clock::monotonic_ns;

/// Changes within this time are reported together.
const PAUSE: Duration = Duration::from_millis(200);

/// Calls `changed` with the time of the first report, in nanoseconds of CLOCK_MONOTONIC, after
/// something of these groups has changed in the namespace, or in one that it knows by a number,
/// until `changed` returns false.
///
/// # Errors
/// When the namespace cannot be entered or netlink refuses.
pub(crate) fn watch(
    netns: &NetNs,
    groups: &[MulticastGroup],
    changed: impl Fn(u64) -> bool + Send + 'static,
) -> Result<io::Result<()>, NetNsError> {
    let runtime = Handle::current();
    let socket = netns.run(|| {
        let _entered = runtime.enter();
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        let inner = socket.socket_mut();
        inner.bind_auto()?;
        inner.set_listen_all_namespaces(true)?;
        for group in groups {
            inner.add_membership(*group as u32)?;
        }
        Ok(socket)
    })?;
    Ok(socket.map(|socket| drop(runtime.spawn(tell(socket, changed)))))
}

/// The content of a datagram does not matter, nor whether it was dropped for lack of room.
async fn tell(socket: TokioSocket, changed: impl Fn(u64) -> bool) {
    let datagram = || poll_fn(|context| socket.poll_recv_from_full(context));
    loop {
        let _ = datagram().await;
        let since_ns = monotonic_ns().unwrap_or_default();
        sleep(PAUSE).await;
        while datagram().now_or_never().is_some() {}
        if !changed(since_ns) {
            return;
        }
    }
}
