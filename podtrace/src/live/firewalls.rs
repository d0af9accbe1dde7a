//! The firewalls of nodes and pods: their rules, and which of them has dropped a packet.
//!
//! A thread of its own reads the rules of each namespace once it is found, of nodes again at
//! intervals, and of the others once a firewall has dropped something there. It holds no
//! namespace open, unless it traces rules there.
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    runtime,
    sync::mpsc,
    task::AbortHandle,
    time::{Instant, sleep},
};

use crate::{
    clock::monotonic_ns,
    model::ruleset::{Ruleset, Test},
    netns::{NetNs, candidates::candidates},
    node::ruleset::{Firewall, Told, Traces},
    packet::{FLANNEL_PORT, IPPROTO_UDP},
    privilege,
    ruleset::{chosen::chosen, trace::Traced},
    update::Update,
};

/// Upper bound of the requests that wait for the thread.
const REQUESTS: usize = 1024;
/// Upper bound of the traced drops that wait for the session.
const TRACED_MAX: usize = 4096;
/// How often the nodes' rules are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// The pause between two looks at the rules of one namespace is this many times what the last
/// reading took, or more.
const PAUSES: u32 = 100;
const PAUSE_MIN: Duration = Duration::from_millis(300);
/// Packets that the kernel traces in a second, for each namespace and what was asked for.
const RATE: u64 = 1000;
const UDP: Test = Test::Protocol(IPPROTO_UDP);

/// What makes the kernel trace rules.
#[derive(Clone, Debug)]
pub(crate) struct TraceRules {
    /// The packets: those that all tests of one of the lists hold for; all if there is none.
    pub(crate) chosen: Vec<Vec<Test>>,
}

impl TraceRules {
    /// Chooses what an expression asks for, and what tunnels carry; all where rules cannot tell.
    pub(crate) fn of(expression: &[String], vxlan_ports: &[u16]) -> Self {
        let mut chosen = chosen(&expression.join(" ")).unwrap_or_default();
        if !chosen.is_empty() {
            let ports = vxlan_ports.iter().chain([&FLANNEL_PORT]);
            chosen.extend(ports.map(|port| vec![UDP, Test::DestinationPort(*port, *port)]));
        }
        Self { chosen }
    }

    /// Says what is done to the nodes.
    pub(crate) fn notice(&self) -> String {
        let table = table();
        let packets = match self.chosen.is_empty() {
            true => "all packets",
            false => "packets of the expression",
        };
        format!(
            "--trace-rules: table inet {table} in each traced namespace marks {packets}, \
             {RATE} a second at most, until podtrace ends"
        )
    }
}

/// The name of the table.
fn table() -> String {
    format!("podtrace-{}", std::process::id())
}

/// A packet that a traced rule has dropped.
#[derive(Debug)]
pub(super) struct RuleDrop {
    pub(super) ts_ns: u64,
    pub(super) netns: u64,
    pub(super) by: Traced,
}

/// What the thread sends of traces.
pub(super) enum Heard {
    Dropped(RuleDrop),
    /// Some did not find room.
    Lost,
}

enum Request {
    /// A namespace was found. `is_node`: whether it stays open.
    Added { netns: NetNs, is_node: bool },
    /// A firewall has dropped something there.
    Dropped(u64),
}

/// The thread that knows the rules.
pub(super) struct Firewalls {
    requests: mpsc::Sender<Request>,
    /// What was traced; none if nothing is.
    traced: Option<mpsc::Receiver<Heard>>,
    known: HashSet<u64>,
}

impl Firewalls {
    /// Starts the thread, which sends rules and notices to `updates`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn spawn(
        updates: mpsc::Sender<Update>,
        tracing: Option<TraceRules>,
    ) -> io::Result<Self> {
        let (requests, asked) = mpsc::channel(REQUESTS);
        let (heard, traced) = mpsc::channel(TRACED_MAX);
        let traced = tracing.is_some().then_some(traced);
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("firewalls".to_owned())
            .spawn(move || {
                // The kernel says what is missing.
                let _ = privilege::keep(privilege::RULES);
                let watch = Watch {
                    updates,
                    tracing,
                    heard,
                    spaces: HashMap::new(),
                    due: BTreeSet::new(),
                    refused: None,
                };
                runtime.block_on(watch.run(asked));
            })?;
        Ok(Self {
            requests,
            traced,
            known: HashSet::new(),
        })
    }

    /// Whether rules are traced.
    pub(super) fn traces(&self) -> bool {
        self.traced.is_some()
    }

    /// Tells of a namespace. Those that find no room are read once they drop something.
    pub(super) fn add(&mut self, netns: &NetNs, is_node: bool) {
        if self.known.insert(netns.id) {
            let netns = netns.clone();
            let _ = self.requests.try_send(Request::Added { netns, is_node });
        }
    }

    /// Tells that a firewall has dropped something in a namespace.
    pub(super) fn has_dropped(&self, netns: u64) {
        // A pending request serves as well.
        let _ = self.requests.try_send(Request::Dropped(netns));
    }

    /// What was traced since.
    pub(super) fn take(&mut self) -> Vec<Heard> {
        let Some(traced) = &mut self.traced else {
            return Vec::new();
        };
        std::iter::from_fn(|| traced.try_recv().ok()).collect()
    }
}

/// A namespace with its rules.
struct Space {
    inode: u64,
    /// That of a node stays open.
    netns: Option<NetNs>,
    /// The number of the last change that is known.
    generation: Option<u32>,
    ruleset: Arc<Ruleset>,
    /// When it may be looked at again.
    rests_until: Instant,
    /// The task that follows its traces.
    traces: Option<AbortHandle>,
}

struct Watch {
    updates: mpsc::Sender<Update>,
    tracing: Option<TraceRules>,
    heard: mpsc::Sender<Heard>,
    spaces: HashMap<u64, Space>,
    /// Namespaces that are to be looked at.
    due: BTreeSet<u64>,
    /// Why rules cannot be traced, once that was said.
    refused: Option<String>,
}

impl Watch {
    /// Serves the session until it ends.
    async fn run(mut self, mut asked: mpsc::Receiver<Request>) {
        let mut looked = Instant::now();
        loop {
            let pause = if self.due.is_empty() { LOOK } else { PAUSE_MIN };
            tokio::select! {
                request = asked.recv() => match request {
                    Some(Request::Added { netns, is_node }) => self.add(netns, is_node).await,
                    Some(Request::Dropped(netns)) => {
                        self.due.insert(netns);
                    }
                    None => return,
                },
                () = sleep(pause) => {}
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                let nodes = self
                    .spaces
                    .iter()
                    .filter(|(_, space)| space.netns.is_some());
                self.due.extend(nodes.map(|(id, _)| *id));
                self.close_gone();
            }
            let now = Instant::now();
            let spaces = &self.spaces;
            let is_ready = |id: &u64| spaces.get(id).is_none_or(|space| space.rests_until <= now);
            let ready: Vec<_> = self.due.iter().copied().filter(is_ready).collect();
            for id in ready {
                self.due.remove(&id);
                if let Some(netns) = self.open(id) {
                    self.look(&netns).await;
                }
            }
        }
    }

    async fn add(&mut self, netns: NetNs, is_node: bool) {
        let traces = match &self.tracing {
            Some(tracing) => self.trace(&netns, &tracing.chosen.clone()).await,
            None => None,
        };
        let space = Space {
            inode: netns.inode,
            netns: is_node.then(|| netns.clone()),
            generation: None,
            ruleset: Arc::default(),
            rests_until: Instant::now(),
            traces,
        };
        self.spaces.insert(netns.id, space);
        self.look(&netns).await;
    }

    /// Opens a namespace again; none if it is gone.
    fn open(&mut self, id: u64) -> Option<NetNs> {
        let space = self.spaces.get(&id)?;
        if let Some(netns) = &space.netns {
            return Some(netns.clone());
        }
        let mut all = candidates().filter(|candidate| candidate.inode == space.inode);
        let netns = all.find_map(|candidate| NetNs::open(&candidate.path).ok());
        let netns = netns.filter(|netns| netns.id == id);
        if netns.is_none() {
            self.spaces.remove(&id);
        }
        netns
    }

    /// Reads the rules of a namespace if they have changed. What cannot be read is not known.
    async fn look(&mut self, netns: &NetNs) {
        let Some(space) = self.spaces.get_mut(&netns.id) else {
            return;
        };
        let begun = Instant::now();
        let read = read(netns, space.generation).await;
        space.rests_until = Instant::now() + (begun.elapsed() * PAUSES).max(PAUSE_MIN);
        if let Ok(Some((generation, ruleset))) = read {
            space.generation = Some(generation);
            // That there are none is told, too: then no rule has dropped anything.
            if *space.ruleset != ruleset {
                space.ruleset = Arc::new(ruleset);
                let update = Update::Ruleset(Arc::clone(&space.ruleset));
                let _ = self.updates.send(update).await;
            }
        }
    }

    /// Begins to trace in a namespace.
    async fn trace(&mut self, netns: &NetNs, chosen: &[Vec<Test>]) -> Option<AbortHandle> {
        match Traces::begin(netns, &table(), chosen, RATE).await {
            Ok(traces) => {
                let task = follow(traces, netns.id, self.heard.clone());
                Some(tokio::spawn(task).abort_handle())
            }
            Err(error) => {
                let why = why_not(&error);
                if self.refused.as_ref() != Some(&why) {
                    let text = format!("--trace-rules: not in {}: {why}", netns.name);
                    self.refused = Some(why);
                    let _ = self.updates.send(Update::Notice { text }).await;
                }
                None
            }
        }
    }

    /// Ends traces in namespaces that nothing else holds open.
    fn close_gone(&mut self) {
        let is_open = |space: &Space| space.netns.is_none() && space.traces.is_some();
        if !self.spaces.values().any(is_open) {
            return;
        }
        let there: HashSet<u64> = candidates().map(|candidate| candidate.inode).collect();
        self.spaces.retain(|_, space| {
            let is_gone = is_open(space) && !there.contains(&space.inode);
            if let Some(task) = space.traces.as_ref().filter(|_| is_gone) {
                task.abort();
            }
            !is_gone
        });
    }
}

/// The rules of a namespace with the number of their last change; none if that is known.
async fn read(netns: &NetNs, known: Option<u32>) -> io::Result<Option<(u32, Ruleset)>> {
    let mut firewall = Firewall::open(netns)?;
    let generation = firewall.generation().await?;
    if known == Some(generation) {
        return Ok(None);
    }
    Ok(Some((generation, firewall.read().await?)))
}

/// Sends what is traced. What finds no room is lost.
async fn follow(mut traces: Traces, netns: u64, heard: mpsc::Sender<Heard>) {
    let mut is_full = false;
    while let Some(told) = traces.next().await {
        let ts_ns = monotonic_ns().unwrap_or_default();
        for told in told {
            let one = match told {
                Told::Dropped(by) if !is_full => Heard::Dropped(RuleDrop { ts_ns, netns, by }),
                Told::Dropped(_) | Told::Lost => Heard::Lost,
            };
            is_full = match heard.try_send(one) {
                Ok(()) => false,
                Err(mpsc::error::TrySendError::Full(_)) => true,
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            };
        }
    }
}

fn why_not(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::EOPNOTSUPP) => {
            "the kernel knows no tables that end with their owner (Linux 5.12)".to_owned()
        }
        _ => crate::text::sanitize::sanitize(&error.to_string()),
    }
}
