//! The translated flows of a node, as its connection tracking has them.
pub(crate) mod look_up;
mod message;

use std::{collections::HashMap, fs, io, path::Path, time::Duration};

use bytes::BytesMut;
use rtnetlink::sys::{
    AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket, protocols::NETLINK_NETFILTER,
};
use tokio::time::{Instant, sleep_until};

use crate::{
    model::translation::{FlowChanges, TranslatedFlow},
    netns::NetNs,
};
use message::{Message, dump_request, messages};

/// The groups of new and of deleted entries (`NFNLGRP_CONNTRACK_NEW` is 1, `_DESTROY` is 3).
const GROUPS: u32 = 1 | 1 << 2;
/// Upper bound of the bytes that wait for us in the kernel; it drops what exceeds them.
const RECEIVE_BYTES: usize = 2 << 20;
/// The largest datagram that the kernel sends.
const DATAGRAM_MAX: usize = 64 << 10;
/// Upper bound of the entries of the dump that are taken over.
const DUMPED_MAX: usize = 65_536;
/// How long changes are gathered, and how many.
const GATHER: Duration = Duration::from_millis(20);
const GATHERED_MAX: usize = 1024;
/// Exists in a namespace only where the kernel has connection tracking.
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";

/// The connection tracking of a node's network namespace.
pub(crate) struct Conntrack {
    socket: TokioSocket,
    gathered: Gathered,
    /// When the gathered changes are due.
    due: Option<Instant>,
}

/// Gathered changes: the last one of each flow.
#[derive(Default)]
struct Gathered {
    /// Whether it is tracked now.
    flows: HashMap<TranslatedFlow, bool>,
    /// How many entries of the dump were taken.
    dumped: usize,
}

impl Conntrack {
    /// Follows a namespace: reports the existing flows, then changes. Needs `CAP_NET_ADMIN`
    /// only here. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the kernel has no connection tracking there, or refuses.
    pub(crate) fn follow(netns: &NetNs) -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::current();
        let socket = netns.run(|| {
            let _guard = runtime.enter();
            connect()
        })??;
        Ok(Self {
            socket,
            gathered: Gathered::default(),
            due: None,
        })
    }

    /// The next changes; none when the kernel sends no more.
    pub(crate) async fn next(&mut self) -> Option<FlowChanges> {
        let mut datagram = BytesMut::with_capacity(DATAGRAM_MAX);
        loop {
            if self.gathered.flows.len() >= GATHERED_MAX {
                return Some(self.take());
            }
            let due = self.due;
            datagram.clear();
            tokio::select! {
                received = self.socket.recv(&mut datagram) => match received {
                    Ok(()) => self.gathered.add(&datagram),
                    // The kernel dropped some changes. An unknown flow decides nothing.
                    Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                    Err(_) => return None,
                },
                () = at(due) => return Some(self.take()),
            }
            if self.due.is_none() && !self.gathered.flows.is_empty() {
                self.due = Some(Instant::now() + GATHER);
            }
        }
    }

    fn take(&mut self) -> FlowChanges {
        self.due = None;
        self.gathered.take()
    }
}

/// Waits until a time; forever if there is none.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Whether the kernel can answer without loading a module, by its list of modules: a request
/// would load a missing one. Assumed where connection tracking itself is built in.
fn is_ready(modules: &str) -> bool {
    let mut names = modules.lines().filter_map(|line| line.split(' ').next());
    let is_module = names.clone().any(|name| name == "nf_conntrack");
    !is_module || names.any(|name| name == "nf_conntrack_netlink")
}

/// Whether the calling thread's namespace has connection tracking that can be read.
fn is_there() -> bool {
    let modules = fs::read_to_string("/proc/modules").unwrap_or_default();
    Path::new(COUNT).exists() && is_ready(&modules)
}

/// Connects in the calling thread's namespace.
fn connect() -> io::Result<TokioSocket> {
    if !is_there() {
        return Err(io::Error::other(
            "the kernel has none, or no nf_conntrack_netlink",
        ));
    }
    let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
    let plain = socket.socket_mut();
    plain.set_rx_buf_sz(RECEIVE_BYTES)?;
    // Subscribes before the dump, so that no change is missed.
    plain.bind(&SocketAddr::new(0, GROUPS))?;
    plain.send_to(&dump_request(), &SocketAddr::new(0, 0), 0)?;
    Ok(socket)
}

impl Gathered {
    fn add(&mut self, datagram: &[u8]) {
        for message in messages(datagram) {
            match message {
                Message::Dumped(_) if self.dumped >= DUMPED_MAX => {}
                Message::Dumped(flow) => {
                    self.dumped += 1;
                    // A flow that ended meanwhile stays ended.
                    self.flows.entry(flow).or_insert(true);
                }
                Message::New(flow) => {
                    self.flows.insert(flow, true);
                }
                Message::Gone(flow) => {
                    self.flows.insert(flow, false);
                }
            }
        }
    }

    fn take(&mut self) -> FlowChanges {
        let mut changes = FlowChanges::default();
        for (flow, is_tracked) in self.flows.drain() {
            if is_tracked {
                changes.new.push(flow);
            } else {
                changes.gone.push(flow);
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests;
