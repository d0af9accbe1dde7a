//! A pod that starts while a node is traced.
use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use podtrace::netns::NetNs;
use rtnetlink::{LinkUnspec, LinkVeth};

/// The name of its end of the veth pair.
pub const END: &str = "vethend";
/// The deadline for its process to create the namespace.
const DEADLINE: Duration = Duration::from_secs(20);

/// A namespace without a name, kept by a process that waits for the end of its input.
pub struct Newcomer {
    process: Child,
    /// The namespace.
    pub netns: NetNs,
}

impl Newcomer {
    /// Starts the process, and returns when its namespace exists.
    ///
    /// # Errors
    /// When it does not create one.
    pub fn new() -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "cat"]).stdin(Stdio::piped());
        let own = NetNs::current()?;
        let mut newcomer = Self {
            process: command.spawn()?,
            netns: own.clone(),
        };
        let path = format!("/proc/{}/ns/net", newcomer.process.id());
        let start = Instant::now();
        while newcomer.netns.id == own.id {
            ensure!(start.elapsed() < DEADLINE, "no new namespace");
            thread::yield_now();
            newcomer.netns = NetNs::open(&path)?;
        }
        Ok(newcomer)
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Connects a namespace to a node by a veth pair: `host` there, [`END`] in the namespace.
///
/// # Errors
/// When the kernel refuses.
pub fn tie(node: &NetNs, host: &str, netns: &NetNs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let netlink = node.netlink()?;
        let pair = LinkVeth::new(host, END).build();
        netlink.link().add(pair).execute().await?;
        let end = LinkUnspec::new_with_name(END).setns_by_fd(netns.as_fd().as_raw_fd());
        Ok(netlink.link().set(end.build()).execute().await?)
    })
}
