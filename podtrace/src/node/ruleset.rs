//! Reads the rules of a network namespace's firewall, and follows traces of what it drops.
use std::{fs, io, sync::LazyLock, time::Duration};

use bytes::BytesMut;
use rtnetlink::sys::{
    AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket, protocols::NETLINK_NETFILTER,
};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    model::ruleset::{Ruleset, Test, safe},
    netns::NetNs,
    ruleset::{
        answer::{Answers, ask_chains, ask_generation, ask_rules, generation},
        message::{Kind, Message, messages},
        sets::{Name, ask_elements, ask_sets},
        trace::{Reader, Traced, begin},
    },
};

/// The group of traces: `NFNLGRP_NFTRACE` is 9.
const TRACES: u32 = 1 << 8;
/// Upper bound of the bytes that wait for us in the kernel; it drops what exceeds them.
const RECEIVE_BYTES: usize = 2 << 20;
/// The largest datagram that the kernel sends.
const DATAGRAM_MAX: usize = 64 << 10;
/// How often the rules are asked for again if they change meanwhile.
const READS_MAX: usize = 4;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the elements of a namespace's sets are read.
const ELEMENTS_TIME: Duration = Duration::from_millis(500);
/// Tables of legacy iptables that are in use, in the thread's namespace.
const LEGACY: [(&str, &str); 3] = [
    ("arptables", "arp_tables_names"),
    ("iptables", "ip_tables_names"),
    ("ip6tables", "ip6_tables_names"),
];

/// A connection to the firewall of a network namespace.
pub(crate) struct Firewall {
    socket: TokioSocket,
    netns: NetNs,
    legacy: Vec<String>,
}

impl Firewall {
    /// Connects. Needs `CAP_NET_ADMIN` here and in what follows. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the kernel has no firewall.
    pub(crate) fn open(netns: &NetNs) -> io::Result<Self> {
        let (socket, legacy) = connected(netns, legacy)?;
        Ok(Self {
            socket,
            netns: netns.clone(),
            legacy,
        })
    }

    /// The number of the last change of the rules.
    ///
    /// # Errors
    /// When the kernel refuses or does not answer.
    pub(crate) async fn generation(&mut self) -> io::Result<u32> {
        let mut found = None;
        let take = |kind, _, object: &[u8]| {
            if kind == Kind::NewGeneration {
                found = generation(object);
            }
            true
        };
        self.ask(&ask_generation(), take).await?;
        found.ok_or_else(|| io::Error::other("the kernel gives no generation"))
    }

    /// Reads the rules that may drop packets.
    ///
    /// # Errors
    /// When the kernel refuses or does not answer, or when the rules change faster than they can
    /// be read.
    pub(crate) async fn read(&mut self) -> io::Result<Ruleset> {
        for _ in 0..READS_MAX {
            if let Some(mut ruleset) = self.read_once().await? {
                ruleset.netns = self.netns.id;
                ruleset.legacy.clone_from(&self.legacy);
                return Ok(ruleset);
            }
        }
        Err(io::Error::other(
            "the rules change faster than they can be read",
        ))
    }

    /// None if they have changed meanwhile.
    async fn read_once(&mut self) -> io::Result<Option<Ruleset>> {
        let mut answers = Answers::default();
        for request in [ask_chains(), ask_sets()] {
            if !self.list(&request, &mut answers).await? {
                return Ok(None);
            }
        }
        for (family, table) in answers.tables().to_vec() {
            if !self.list(&ask_rules(family, &table), &mut answers).await? {
                return Ok(None);
            }
        }
        let wanted = answers.wanted();
        if !wanted.is_empty() {
            let before = self.generation().await?;
            self.read_sets(&wanted, &mut answers).await?;
            if self.generation().await? != before {
                return Ok(None);
            }
        }
        Ok(Some(answers.end()))
    }

    /// Reads the elements of sets as far as there is time. Those that do not come whole are not
    /// known.
    async fn read_sets(&mut self, wanted: &[Name], answers: &mut Answers) -> io::Result<()> {
        let deadline = Instant::now() + ELEMENTS_TIME;
        for name in wanted {
            answers.sets().begin(name);
            let request = ask_elements(name);
            let list = self.ask(&request, |kind, family, object| {
                answers.take(kind, family, object);
                !answers.sets().is_full()
            });
            let read = timeout_at(deadline, list).await;
            if matches!(read, Ok(Ok(true))) {
                continue;
            }
            answers.sets().forget(name);
            // The rest of an answer would be taken for that to another question.
            (self.socket, ()) = connected(&self.netns, || ())?;
            if Instant::now() >= deadline {
                break;
            }
        }
        Ok(())
    }

    /// Whether the list is whole.
    async fn list(&mut self, request: &[u8], answers: &mut Answers) -> io::Result<bool> {
        self.ask(request, |kind, family, object| {
            answers.take(kind, family, object);
            true
        })
        .await
    }

    /// Sends a request and takes what comes, until its end or `take` wants no more; returns whether
    /// it is whole.
    async fn ask(
        &mut self,
        request: &[u8],
        mut take: impl FnMut(Kind, u8, &[u8]) -> bool,
    ) -> io::Result<bool> {
        self.socket.send(request).await?;
        let mut datagram = BytesMut::with_capacity(DATAGRAM_MAX);
        loop {
            datagram.clear();
            timeout(PATIENCE, self.socket.recv(&mut datagram)).await??;
            for message in messages(&datagram) {
                match message {
                    Message::Object(kind @ Kind::NewGeneration, family, object) => {
                        take(kind, family, object);
                        return Ok(true);
                    }
                    Message::Object(kind, family, object) => {
                        if !take(kind, family, object) {
                            return Ok(false);
                        }
                    }
                    Message::Answer(0) => return Ok(true),
                    Message::Answer(error) => return Err(io::Error::from_raw_os_error(error)),
                    Message::Done(is_whole) => return Ok(is_whole),
                }
            }
        }
    }
}

/// What a trace tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// A packet was dropped.
    Dropped(Traced),
    /// The kernel had no room for traces.
    Lost,
}

/// Traces of what is dropped in a network namespace; they end with this.
pub(crate) struct Traces {
    socket: TokioSocket,
    reader: Reader,
}

impl Traces {
    /// Makes the kernel trace the packets that any of the lists of tests chooses, or all: `rate` a
    /// second for each. The table by which it does so bears this name.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the kernel refuses: before Linux 5.12 it knows no
    /// tables that end with their owner.
    pub(crate) async fn begin(
        netns: &NetNs,
        table: &str,
        chosen: &[Vec<Test>],
        rate: u64,
    ) -> io::Result<Self> {
        let Firewall { mut socket, .. } = Firewall::open(netns)?;
        socket.send(&begin(table, chosen, rate)).await?;
        let mut datagram = BytesMut::with_capacity(DATAGRAM_MAX);
        timeout(PATIENCE, socket.recv(&mut datagram)).await??;
        let refused = messages(&datagram).find_map(|message| match message {
            Message::Answer(error) if error != 0 => Some(error),
            _ => None,
        });
        if let Some(error) = refused {
            return Err(io::Error::from_raw_os_error(error));
        }
        socket
            .socket_mut()
            .add_membership(TRACES.trailing_zeros() + 1)?;
        Ok(Self {
            socket,
            reader: Reader::default(),
        })
    }

    /// What was dropped since; none when the kernel sends no more.
    pub(crate) async fn next(&mut self) -> Option<Vec<Told>> {
        let mut datagram = BytesMut::with_capacity(DATAGRAM_MAX);
        let Self { socket, reader } = self;
        match socket.recv(&mut datagram).await {
            Ok(()) => {
                let dropped = messages(&datagram).filter_map(|message| match message {
                    Message::Object(Kind::Trace, family, trace) => {
                        reader.take(family, trace).map(Told::Dropped)
                    }
                    _ => None,
                });
                Some(dropped.collect())
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Some(vec![Told::Lost]),
            Err(_) => None,
        }
    }
}

/// Connects in a namespace; with what else is read there.
fn connected<T: Send>(
    netns: &NetNs,
    read: impl FnOnce() -> T + Send,
) -> io::Result<(TokioSocket, T)> {
    let runtime = tokio::runtime::Handle::current();
    netns.run(|| {
        let _guard = runtime.enter();
        Ok((connect()?, read()))
    })?
}

/// Connects in the calling thread's namespace.
fn connect() -> io::Result<TokioSocket> {
    if !is_ready() {
        return Err(io::Error::other(
            "the kernel has no nf_tables, or has not loaded it",
        ));
    }
    let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
    let plain = socket.socket_mut();
    plain.set_rx_buf_sz(RECEIVE_BYTES)?;
    plain.bind_auto()?;
    plain.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// Whether the kernel can answer without loading a module: a request would load a missing one.
fn is_ready() -> bool {
    let Ok(modules) = fs::read_to_string("/proc/modules") else {
        // It loads none.
        return true;
    };
    let mut names = modules.lines().filter_map(|line| line.split(' ').next());
    names.any(|name| name == "nf_tables") || *IS_BUILT_IN
}

/// Whether `nf_tables` is part of the kernel, by the list that is installed with it. The list is
/// long, and each namespace asks.
static IS_BUILT_IN: LazyLock<bool> = LazyLock::new(|| {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let list = format!("/lib/modules/{}/modules.builtin", release.trim());
    let list = fs::read_to_string(list).unwrap_or_default();
    list.lines().any(|line| line.ends_with("/nf_tables.ko"))
});

/// The tables of legacy iptables in the calling thread's namespace.
fn legacy() -> Vec<String> {
    let names = LEGACY.map(|(tool, file)| {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
        let names = text.lines().map(|name| safe(&format!("{tool} {name}")));
        names.collect::<Vec<_>>()
    });
    names.concat()
}
