//! Small sessions to record, and how to read them again.
use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    io,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use jiff::tz::TimeZone;
use podtrace_ebpf::{
    config::Counters, config::TapCounters, record::CGROUP_NONE, record::Direction,
};
use tempfile::TempDir;

use crate::{
    identity::kubernetes::{ClusterNode, ClusterPod, ClusterUpdate, Resource},
    model::{
        event::Event,
        loss::LostBy,
        origin::Origin,
        pod::{Container, Pod},
        snapshot::{CgroupPath, Holder, NamespaceInfo, NewCgroup, Snapshot, SnapshotTime},
        tap::{TapCount, TapCounts},
        tap_point::{Role, TapPoint},
    },
    output::{
        json::Json,
        printer::Printer,
        render::Render,
        text::{Text, TextOptions},
    },
    packet::{DecodeOptions, Framing, Mac, Packet, key_payload},
    path::summary::Summary,
    pipeline::Pipeline,
    replay::merge::{Merge, Select, Step, Stream},
    session::{
        chain::Chain,
        files::{FileOptions, Keep, SessionFiles, Target},
        format::{FORMAT, SectionInfo},
        input::{Damage, InputError},
        reader::{Item, Reader, ReaderOptions, Unread},
        recorder::{Outline, Recorder, RecorderOptions},
    },
    sink::TextSink,
    update::Update,
};

/// UTC at the zero of the sessions' clocks.
pub(super) const EPOCH_NS: i64 = 1_790_000_000_000_000_000;
/// When they begin.
pub(super) const BEGIN_NS: u64 = 5_000_000_000;
const TIMEOUT_NS: u64 = 500_000_000;
pub(super) const SNAPLEN: u32 = 256;

/// Interfaces of the first pod, in the order in which a packet passes them.
pub(super) const POD1: u32 = 0;
pub(super) const VETH1: u32 = 1;
pub(super) const VETH2: u32 = 2;
pub(super) const POD2: u32 = 3;
pub(super) const BRIDGE: u32 = 4;
pub(super) const UPLINK: u32 = 5;

pub(super) fn options() -> ReaderOptions {
    ReaderOptions {
        key_payload: key_payload(SNAPLEN),
        keep_captured: true,
        ..ReaderOptions::default()
    }
}

pub(super) fn decode_options() -> DecodeOptions {
    DecodeOptions {
        vxlan_ports: vec![8472],
        key_payload: key_payload(SNAPLEN),
    }
}

pub(super) fn text() -> Box<dyn Render> {
    text_since(0)
}

fn text_since(epoch_ns: i128) -> Box<dyn Render> {
    let options = TextOptions {
        color: false,
        numeric: false,
        epoch_ns,
    };
    Box::new(Text::new(options, TimeZone::UTC))
}

/// Both formats.
pub(super) fn outputs(epoch_ns: i64) -> [Box<dyn Render>; 2] {
    let epoch_ns = epoch_ns.into();
    [text_since(epoch_ns), Box::new(Json::new(epoch_ns))]
}

/// How to record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct How {
    pub(super) rotate_bytes: Option<u64>,
    pub(super) zstd: bool,
}

/// A session under way.
pub(super) struct Tape {
    pub(super) pipeline: Pipeline,
    pub(super) now_ns: u64,
    pub(super) tap_points: Vec<TapPoint>,
    counters: BTreeMap<u32, TapCounters>,
    node: u8,
    directory: TempDir,
    page: Page,
    snapshots: u64,
}

/// Keeps what is printed.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<String>>);

impl TextSink for Page {
    fn take(&mut self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push_str(text);
        Ok(())
    }
}

impl Page {
    fn printer(&self, format: Box<dyn Render>) -> Box<Printer> {
        Box::new(Printer::new(format, Box::new(self.clone())))
    }

    fn text(&self, pipeline: &mut Pipeline) -> String {
        pipeline.flush().unwrap();
        comparable(&self.0.lock().unwrap())
    }
}

/// What was recorded, and what a live session showed.
pub(super) struct Recorded {
    pub(super) files: Vec<PathBuf>,
    pub(super) text: String,
    pub(super) taps: TapCounts,
    /// Removed with it.
    _directory: TempDir,
}

impl Recorded {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let files = self.files.iter().map(|file| std::fs::read(file).unwrap());
        files.collect::<Vec<_>>().concat()
    }
}

/// The name of a node.
pub(super) fn node_name(node: u8) -> String {
    format!("worker{node}")
}

impl Tape {
    /// A session of a node with two pods; the numbers of two such nodes are the
    /// same, but for addresses.
    pub(super) fn new(node: u8, how: How, output: Box<dyn Render>) -> Self {
        let directory = TempDir::new().unwrap();
        let name = if how.zstd { "s.pcapng.zst" } else { "s.pcapng" };
        let files = SessionFiles::open(FileOptions {
            target: Target::Path(directory.path().join(name)),
            rotates: how.rotate_bytes.is_some(),
            keep: Keep::default(),
            max_file_bytes: None,
            zstd: how.zstd,
            force: false,
            node: node_name(node),
            start: jiff::Timestamp::UNIX_EPOCH,
            recorder: None,
        })
        .unwrap();
        let info = SectionInfo {
            format: FORMAT,
            session: format!("session-{node}"),
            sessions: 1,
            nodes: vec![node_name(node)],
            epoch_ns: EPOCH_NS,
            snaplen: SNAPLEN,
            hop_timeout_ns: TIMEOUT_NS,
            ..SectionInfo::default()
        };
        let options = RecorderOptions {
            info,
            kernel: "Linux 6.12".into(),
            command: "podtrace trace".into(),
            rotate_bytes: how.rotate_bytes,
            rotate_ns: None,
            flush_ns: 10_000_000,
            outline: Outline::ethernet(),
        };
        let recorder = Recorder::new(options, files, BEGIN_NS);
        let mut pipeline = Pipeline::new(decode_options(), TIMEOUT_NS, None);
        let page = Page::default();
        pipeline.add(Box::new(recorder));
        pipeline.add(page.printer(output));
        let world = pipeline.world_mut();
        world.nodes = vec![node_name(node).into()];
        world.epoch_ns = EPOCH_NS.into();
        let mut tape = Self {
            pipeline,
            now_ns: BEGIN_NS,
            tap_points: Vec::new(),
            counters: BTreeMap::new(),
            node,
            directory,
            page,
            snapshots: 0,
        };
        tape.introduce();
        tape
    }

    pub(super) fn update(&mut self, update: &Update) {
        let origin = Origin {
            session: 0,
            nodes: 0..1,
        };
        self.pipeline.apply(&origin, update);
    }

    fn introduce(&mut self) {
        self.take_snapshot();
        for (name, netns, leads_to, role) in [
            ("eth0", 2, None, Role::Pod),
            ("veth1", 1, Some(2), Role::Veth),
            ("veth2", 1, Some(3), Role::Veth),
            ("eth0", 3, None, Role::Pod),
            ("cni0", 1, None, Role::Bridge),
            ("eth0", 1, None, Role::Uplink),
        ] {
            self.add_place(name, netns, leads_to, role);
        }
        self.update(&Update::Runtime {
            runtime: 0,
            node: Some(0),
        });
        self.pods(2);
        self.cgroups(false);
    }

    /// Tells of another interface.
    pub(super) fn add_place(&mut self, name: &str, netns: u64, leads_to: Option<u64>, role: Role) {
        let point = TapPoint {
            node: 0,
            node_name: node_name(self.node).into(),
            in_pod: netns != 1,
            leads_to,
            peer_name: None,
            netns_id: netns,
            ifindex: 2,
            name: name.into(),
            role,
            framing: Framing::Ethernet,
            is_port: false,
            mac: Some(mac(netns)),
        };
        let number = self.pipeline.world().tap_points.next_number();
        self.tap_points.push(point.clone());
        self.update(&Update::TapPoint { number, point });
    }

    pub(super) fn rename(&mut self, number: u32) {
        let point = &mut self.tap_points[number as usize];
        point.name = format!("{}x", point.name).into();
        let point = point.clone();
        self.update(&Update::TapPoint { number, point });
    }

    pub(super) fn take_snapshot(&mut self) {
        self.snapshots += 1;
        let namespace = |id: u64| NamespaceInfo {
            id,
            fallback: format!("netns:{id}").into(),
            pod_uid: Some(format!("uid-{}-{id}", self.node)),
            watched: true,
            ..NamespaceInfo::default()
        };
        // The second pod's namespace comes and goes.
        let pods = if self.snapshots % 5 == 4 { 1 } else { 2 };
        let mut addresses = HashSet::new();
        for pod in 0..pods {
            let netns = Some(2 + pod);
            addresses.insert((pod_address(self.node, pod), Holder { node: 0, netns }));
        }
        let node = Holder {
            node: 0,
            netns: None,
        };
        addresses.insert((uplink_address(self.node), node));
        let snapshot = Snapshot {
            time: SnapshotTime {
                began_ns: self.now_ns,
                ended_ns: self.now_ns + 10,
                steady_until_ns: self.now_ns,
                changes: self.snapshots,
            },
            namespaces: (0..pods).map(|pod| namespace(2 + pod)).collect(),
            addresses,
            vxlan_ports: vec![8472],
            watches_sockets: true,
            subnets: vec![Vec::new()],
            ..Snapshot::default()
        };
        self.update(&Update::Snapshot(Box::new(snapshot)));
    }

    /// Tells what the runtime has: so many pods.
    pub(super) fn pods(&mut self, count: u64) {
        let node = self.node;
        let pods = (0..count).map(|pod| Pod {
            namespace: "default".into(),
            name: format!("pod{node}-{pod}"),
            uid: format!("uid-{node}-{}", 2 + pod),
            sandbox_id: format!("{node}{pod}").repeat(32),
            ready: true,
            addresses: vec![pod_address(node, pod)],
            netns_id: Some(2 + pod),
            containers: vec![Container {
                id: container(node, pod),
                name: format!("container{node}-{pod}"),
                running: true,
                ..Container::default()
            }],
            ..Pod::default()
        });
        let update = Update::Pods {
            runtime: 0,
            pods: pods.collect(),
            ts_ns: self.now_ns,
        };
        self.update(&update);
    }

    pub(super) fn cgroups(&mut self, forgets: bool) {
        let node = self.node;
        let path = |pod| CgroupPath::At(format!("/kubepods/pod{pod}/{}", container(node, pod)));
        let new = (0..2).map(|pod| NewCgroup {
            id: 11 + pod,
            ts_ns: self.now_ns,
            path: path(pod),
            members: None,
        });
        let update = Update::Cgroups {
            forgets,
            new: new.collect(),
        };
        self.update(&update);
    }

    pub(super) fn cluster(&mut self, update: ClusterUpdate) {
        let ts_ns = self.now_ns;
        self.update(&Update::Cluster { update, ts_ns });
    }

    /// One event of a frame.
    pub(super) fn event(
        &mut self,
        interface: u32,
        direction: Direction,
        frame: &[u8],
        cgroup: u64,
        (vlan_tci, gso_segments): (Option<u16>, u16),
    ) {
        let framing = match direction {
            Direction::Socket => Framing::Ip,
            _ => Framing::Ethernet,
        };
        let wire_len = u32::try_from(frame.len()).unwrap();
        let mut packet = Packet::decode(frame, wire_len, framing, &decode_options());
        if let (None, None, Some(tci)) = (packet.tunnel, packet.vlan, vlan_tci) {
            packet.vlan = Some(tci & 0x0fff);
        }
        let event = Event {
            ts_ns: self.now_ns,
            interface,
            direction,
            wire_len,
            gso_segments,
            cgroup,
            packet,
            vlan_tci,
            captured: Bytes::copy_from_slice(frame),
            link: framing.link(),
        };
        self.count(interface, direction, |counters| counters.seen += 1);
        self.pipeline.take_lost(&self.lost());
        self.pipeline.stitch(&event);
        self.now_ns += 1_000;
    }

    /// Counts at a tap.
    pub(super) fn count(
        &mut self,
        interface: u32,
        direction: Direction,
        count: impl FnOnce(&mut Counters),
    ) {
        count(&mut self.counters.entry(interface).or_default()[direction as usize]);
    }

    /// What was counted as lost by now.
    fn lost(&self) -> LostBy {
        let lost = self.counters.values().flatten().map(|one| one.lost);
        LostBy {
            until_ns: self.now_ns,
            read_ns: self.now_ns,
            records: lost.sum(),
        }
    }

    /// Time passes.
    pub(super) fn tick(&mut self, ns: u64) {
        self.now_ns += ns;
        self.pipeline.take_lost(&self.lost());
        self.pipeline.count(&self.counters);
        self.pipeline.tick(self.now_ns);
    }

    /// A packet from one pod to the other, or beyond.
    pub(super) fn ping(&mut self, number: u16, hops: usize) {
        let (node, plain) = (self.node, (None, 0));
        let frame = frame(pod_address(node, 0), pod_address(node, 1), number, mac(3));
        let all = [
            (POD1, Direction::Egress, 11),
            (VETH1, Direction::Ingress, CGROUP_NONE),
            (VETH2, Direction::Egress, CGROUP_NONE),
            (POD2, Direction::Ingress, CGROUP_NONE),
        ];
        for (interface, direction, cgroup) in all.into_iter().take(hops) {
            self.event(interface, direction, &frame, cgroup, plain);
        }
        if hops > 4 {
            self.event(POD2, Direction::Socket, &frame[14..], 12, plain);
        }
    }

    pub(super) fn finish(mut self) -> Recorded {
        let duration_ns = self.now_ns - BEGIN_NS;
        let summary = self.pipeline.finish(&self.counters, duration_ns);
        let taps = counted(summary);
        let text = self.page.text(&mut self.pipeline);
        let mut files: Vec<_> = std::fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        Recorded {
            files,
            text,
            taps,
            _directory: self.directory,
        }
    }
}

/// Without what only a recording says, and without taps that have seen nothing:
/// no file tells of them.
fn comparable(text: &str) -> String {
    let lines = text.split_inclusive('\n');
    let lines = lines.filter(|line| !line.contains("recorded "));
    lines.map(without_idle_taps).collect()
}

fn without_idle_taps(line: &str) -> String {
    if !line.starts_with(r#"{"type":"summary""#) {
        return line.to_owned();
    }
    let mut summary: serde_json::Value = serde_json::from_str(line).unwrap();
    let taps = summary["taps"].as_array_mut().unwrap();
    taps.retain(|tap| tap["seen"] != 0);
    format!("{summary}\n")
}

fn counted(summary: &Summary) -> TapCounts {
    let mut taps = summary.taps.clone();
    taps.retain(|_, count| *count != TapCount::default());
    taps
}

pub(super) fn container(node: u8, pod: u64) -> String {
    format!("{node}{pod}").repeat(32)
}

pub(super) fn pod_address(node: u8, pod: u64) -> IpAddr {
    format!("10.244.{node}.{}", 2 + pod).parse().unwrap()
}

pub(super) fn uplink_address(node: u8) -> IpAddr {
    format!("192.168.77.1{node}").parse().unwrap()
}

pub(super) fn mac(netns: u64) -> Mac {
    Mac([2, 0, 0, 0, 0, netns.to_le_bytes()[0]])
}

/// An Ethernet frame with a UDP packet of this IPv4 identification.
pub(super) fn frame(from: IpAddr, to: IpAddr, id: u16, receiver: Mac) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (from, to) else {
        panic!("IPv4");
    };
    let mut frame = Vec::new();
    frame.extend(receiver.0);
    frame.extend([2, 0, 0, 0, 0, 2, 8, 0]);
    frame.extend([0x45, 0, 0, 36]);
    frame.extend(id.to_be_bytes());
    frame.extend([0, 0, 64, 17, 0, 0]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend([0x13, 0x88, 0, 53, 0, 16, 0, 0]);
    frame.extend(*b"payload!");
    frame
}

/// The frame in VXLAN, as the uplink sees it.
pub(super) fn tunnelled(inner: &[u8], from: IpAddr, to: IpAddr) -> Vec<u8> {
    let mut outer = frame(from, to, 0, mac(1));
    outer.truncate(14 + 20);
    let len = |more: usize| {
        u16::try_from(more + 16 + inner.len())
            .unwrap()
            .to_be_bytes()
    };
    outer[16..18].copy_from_slice(&len(20));
    outer.extend([0x30, 0, 0x21, 0x18]);
    outer.extend(len(0));
    outer.extend([0, 0, 8, 0, 0, 0, 0, 0, 1, 0]);
    outer.extend(inner);
    outer
}

/// A small session of some packets that are delivered or die.
pub(super) fn small(how: How) -> Recorded {
    let mut tape = Tape::new(1, how, text());
    for number in 0..6 {
        tape.ping(number, if number == 3 { 2 } else { 5 });
        tape.tick(30_000_000);
    }
    tape.cluster(ClusterUpdate::Restart(Resource::Pods));
    tape.cluster(ClusterUpdate::Pod(cluster_pod("elsewhere", "10.244.9.2")));
    tape.cluster(ClusterUpdate::Node(ClusterNode {
        name: "worker9".into(),
        ..ClusterNode::default()
    }));
    tape.cluster(ClusterUpdate::Synced(Resource::Pods));
    tape.tick(1_000_000_000);
    tape.take_snapshot();
    tape.finish()
}

pub(super) fn cluster_pod(name: &str, address: &str) -> ClusterPod {
    ClusterPod {
        uid: format!("uid-{name}"),
        namespace: "default".into(),
        name: name.into(),
        node: Some("worker9".into()),
        addresses: vec![address.parse().unwrap()],
        phase_running: true,
        ..ClusterPod::default()
    }
}

/// What a replay showed.
pub(super) struct Replayed {
    pub(super) text: String,
    pub(super) taps: TapCounts,
    pub(super) damage: Vec<(PathBuf, Damage)>,
    pub(super) was_broken_off: bool,
}

/// Takes everything.
pub(super) struct All;

impl Select for All {
    fn wants(&mut self, _: &Event, _: &Pipeline) -> bool {
        true
    }

    fn is_over(&self, _: u64) -> bool {
        false
    }
}

pub(super) fn chain(files: &[PathBuf]) -> Chain {
    let mut files: VecDeque<_> = files.iter().cloned().collect();
    let first = files.pop_front().unwrap();
    Chain::ahead(Reader::open(&first, options()).unwrap(), options(), files).unwrap()
}

pub(super) fn replay(files: &[PathBuf], nodes: &[&str], output: Box<dyn Render>) -> Replayed {
    let origin = Origin {
        session: 0,
        nodes: 0..nodes.len(),
    };
    let stream = Stream::new(chain(files), origin, None);
    play(vec![stream], nodes, output)
}

pub(super) fn play(streams: Vec<Stream>, nodes: &[&str], output: Box<dyn Render>) -> Replayed {
    let options = DecodeOptions {
        vxlan_ports: Vec::new(),
        ..decode_options()
    };
    let mut pipeline = Pipeline::new(options, TIMEOUT_NS, None);
    let page = Page::default();
    pipeline.add(page.printer(output));
    let world = pipeline.world_mut();
    world.nodes = nodes.iter().map(|name| (*name).into()).collect();
    if streams.len() > 1 {
        world.silent = (0..nodes.len()).collect();
    }
    let mut merge = Merge::new(streams);
    while merge.step(&mut pipeline, &mut All, false).unwrap() != Step::Over {}
    let duration_ns = merge.finish(&mut pipeline);
    let summary = pipeline.end(duration_ns);
    let taps = counted(summary);
    let chains = || merge.streams().iter().map(Stream::chain);
    Replayed {
        text: page.text(&mut pipeline),
        taps,
        damage: chains().flat_map(|chain| chain.damage().to_vec()).collect(),
        was_broken_off: chains().any(Chain::was_broken_off),
    }
}

/// What a reader gives of some bytes.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// All items but events, and events without their bytes.
    pub(super) items: Vec<String>,
    /// Events with their bytes.
    pub(super) events: Vec<String>,
    pub(super) damage: Vec<Damage>,
    pub(super) unread: Unread,
}

pub(super) fn read(bytes: &[u8]) -> Given {
    try_read(bytes).unwrap()
}

/// [`read`] of what may not look like a capture any more.
pub(super) fn try_read(bytes: &[u8]) -> Result<Given, InputError> {
    let mut given = Given::default();
    let mut reader = Reader::of(bytes.to_vec(), options())?;
    for is_over in [false, true] {
        if is_over {
            reader.finish();
        }
        while let Some(item) = reader.next_item()? {
            if let (Item::Event, Some(event)) = (&item, reader.event()) {
                given.events.push(format!("{event:?}"));
            }
            given.items.push(in_order(item));
            given.damage.extend(reader.take_damage());
        }
    }
    given.damage.extend(reader.take_damage());
    given.unread = reader.unread().clone();
    Ok(given)
}

/// An item as text; sets have no order of their own.
pub(super) fn in_order(mut item: Item) -> String {
    let mut addresses = Vec::new();
    if let Item::Update(_, Update::Snapshot(snapshot)) = &mut item {
        addresses.extend(snapshot.addresses.drain());
        addresses.sort_by_key(|(address, _)| *address);
    }
    format!("{item:?}{addresses:?}")
}

/// Numbers as if random.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, end: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16;
        usize::try_from(number).unwrap() % end.max(1)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256).to_le_bytes()[0]).collect()
    }
}
