//! Tells when filters or qdiscs change.
use std::{future::poll_fn, io, time::Duration};

use futures_util::FutureExt as _;
use rtnetlink::sys::{AsyncSocket as _, TokioSocket, protocols::NETLINK_ROUTE};
use tokio::{runtime::Handle, time::sleep};

use crate::{
    clock::monotonic_ns,
    netns::{NetNs, NetNsError},
};

/// `RTNLGRP_TC`, linux/rtnetlink.h.
const GROUP: u32 = 4;
/// Changes within so long are told of together.
const PAUSE: Duration = Duration::from_millis(200);

/// Calls `changed` after filters or qdiscs have changed, by whomever, in the namespace or
/// in one that it knows by a number, until that returns false. What it is given is when
/// the first of those changes was told of, in nanoseconds of CLOCK_MONOTONIC.
///
/// # Errors
/// When the namespace cannot be entered or netlink refuses.
pub(in crate::probe) fn watch(
    netns: &NetNs,
    changed: impl Fn(u64) -> bool + Send + 'static,
) -> Result<io::Result<()>, NetNsError> {
    let runtime = Handle::current();
    let socket = netns.run(|| {
        let _entered = runtime.enter();
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        let inner = socket.socket_mut();
        inner.bind_auto()?;
        inner.set_listen_all_namespaces(true)?;
        inner.add_membership(GROUP)?;
        Ok(socket)
    })?;
    Ok(socket.map(|socket| drop(runtime.spawn(tell(socket, changed)))))
}

/// What a datagram tells does not matter, nor that there was no room for it.
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
