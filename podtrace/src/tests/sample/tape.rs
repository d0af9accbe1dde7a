//! A session under way, which is recorded.
use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
};

use bytes::Bytes;
use podtrace_ebpf::{
    config::Counters, config::TapCounters, record::CGROUP_NONE, record::Direction,
};
use tempfile::TempDir;

use super::*;
use crate::{
    identity::kubernetes::ClusterUpdate,
    model::{
        event::Event,
        loss::LostBy,
        origin::Origin,
        pod::{Container, Pod},
        snapshot::{CgroupPath, Holder, NamespaceInfo, NewCgroup, Snapshot, SnapshotTime},
        tap_point::{Role, TapPoint},
    },
    output::render::Render,
    packet::{Framing, Packet},
    pipeline::Pipeline,
    session::{
        files::{FileOptions, Keep, SessionFiles, Target},
        format::{FORMAT, SectionInfo},
        recorder::{Outline, Recorder, RecorderOptions},
    },
    update::Update,
    world::fixture::tap_point,
};

/// How to record.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    pub(crate) rotate_bytes: Option<u64>,
    pub(crate) zstd: bool,
    /// Whether it tells when its taps begin to take packets.
    pub(crate) tells_start: bool,
    /// Whether the disk has no room.
    pub(crate) is_full: bool,
}

/// A session under way.
pub(crate) struct Tape {
    pub(crate) pipeline: Pipeline,
    pub(crate) now_ns: u64,
    begin_ns: u64,
    pub(crate) tap_points: Vec<TapPoint>,
    counters: BTreeMap<u32, TapCounters>,
    node: u8,
    directory: TempDir,
    page: Page,
    snapshots: u64,
}

/// The recording of a session, and its live output.
pub(crate) struct Recorded {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) text: String,
    /// What the recording said at its end.
    pub(crate) closing: Option<String>,
    pub(crate) taps: TapCounts,
    /// Removed with it.
    _directory: TempDir,
}

impl Recorded {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let files = self.files.iter().map(|file| std::fs::read(file).unwrap());
        files.collect::<Vec<_>>().concat()
    }
}

impl Tape {
    /// A session of a node with two pods; the numbers of two such nodes are the
    /// same, but for addresses.
    pub(crate) fn new(node: u8, how: How, output: Box<dyn Render>) -> Self {
        Self::run(node, how, output, (1, BEGIN_NS, 0))
    }

    /// One of several sessions of a node: its number, when it begins, and by how much its
    /// measurement of the clock's zero is later.
    pub(crate) fn run(
        node: u8,
        how: How,
        output: Box<dyn Render>,
        (run, begin_ns, zero_ns): (u8, u64, i64),
    ) -> Self {
        let directory = TempDir::new().unwrap();
        let name = if how.zstd { "s.pcapng.zst" } else { "s.pcapng" };
        let target = if how.is_full {
            "/dev/full".into()
        } else {
            directory.path().join(name)
        };
        let files = SessionFiles::open(FileOptions {
            target: Target::Path(target),
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
            session: match run {
                1 => format!("session-{node}"),
                _ => format!("session-{node}-{run}"),
            },
            sessions: 1,
            nodes: vec![node_name(node)],
            epoch_ns: EPOCH_NS + zero_ns,
            snaplen: SNAPLEN,
            hop_timeout_ns: TIMEOUT_NS,
            tells_start: how.tells_start,
            ..SectionInfo::default()
        };
        let options = RecorderOptions {
            info,
            kernel: "Linux 6.12".into(),
            command: "podtrace trace".into(),
            rotate_bytes: how.rotate_bytes,
            rotate_ns: None,
            flush_ns: 10_000_000,
            ticks_always: false,
            outline: Outline::ethernet(),
        };
        let recorder = Recorder::new(options, files, begin_ns);
        let mut pipeline = Pipeline::new(decode_options(), TIMEOUT_NS, None);
        let page = Page::default();
        pipeline.add(Box::new(recorder));
        pipeline.add(page.printer(output));
        let world = pipeline.world_mut();
        world.nodes = vec![node_name(node).into()];
        world.epoch_ns = EPOCH_NS.into();
        let mut tape = Self {
            pipeline,
            now_ns: begin_ns,
            begin_ns,
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

    pub(crate) fn update(&mut self, update: &Update) {
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
    pub(crate) fn add_place(&mut self, name: &str, netns: u64, leads_to: Option<u64>, role: Role) {
        let point = TapPoint {
            node_name: node_name(self.node).into(),
            in_pod: netns != 1,
            mac: Some(mac(netns)),
            ..tap_point(name, netns, leads_to, role)
        };
        let number = self.pipeline.world().tap_points.next_number();
        self.tap_points.push(point.clone());
        self.update(&Update::TapPoint { number, point });
    }

    pub(crate) fn rename(&mut self, number: u32) {
        let point = &mut self.tap_points[number as usize];
        point.name = format!("{}x", point.name).into();
        let point = point.clone();
        self.update(&Update::TapPoint { number, point });
    }

    pub(crate) fn take_snapshot(&mut self) {
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

    /// Reports the runtime's pods, of this number.
    pub(crate) fn pods(&mut self, count: u64) {
        let pods = (0..count).map(|pod| self.pod(pod)).collect();
        self.report(pods);
    }

    /// A pod of the node.
    pub(crate) fn pod(&self, pod: u64) -> Pod {
        let node = self.node;
        Pod {
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
        }
    }

    /// Reports these pods as all of the runtime's.
    pub(crate) fn report(&mut self, pods: Vec<Pod>) {
        let ts_ns = self.now_ns;
        self.update(&Update::Pods {
            runtime: 0,
            pods,
            ts_ns,
        });
    }

    pub(crate) fn cgroups(&mut self, forgets: bool) {
        let node = self.node;
        let path = |pod| CgroupPath::At(format!("/kubepods/pod{pod}/{}", container(node, pod)));
        let new = (0..2).map(|pod| NewCgroup {
            id: 11 + pod,
            ts_ns: self.now_ns,
            path: path(pod),
            members: None,
        });
        let new = new.collect();
        self.update(&Update::Cgroups { forgets, new });
    }

    pub(crate) fn cluster(&mut self, update: ClusterUpdate) {
        let ts_ns = self.now_ns;
        self.update(&Update::Cluster { update, ts_ns });
    }

    /// One event of a frame.
    pub(crate) fn event(
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
            payload: None,
            vlan_tci,
            matches: true,
            captured: Bytes::copy_from_slice(frame),
            link: framing.link(),
            number: 0,
        };
        self.count(interface, direction, |counters| counters.seen += 1);
        self.pipeline.take_lost(&self.lost());
        self.pipeline.join(&event);
        self.now_ns += 1_000;
    }

    /// Counts at a tap.
    pub(crate) fn count(
        &mut self,
        interface: u32,
        direction: Direction,
        count: impl FnOnce(&mut Counters),
    ) {
        count(&mut self.counters.entry(interface).or_default()[direction as usize]);
    }

    /// The losses counted so far.
    fn lost(&self) -> LostBy {
        let lost = self.counters.values().flatten().map(|one| one.lost);
        LostBy {
            until_ns: self.now_ns,
            read_ns: self.now_ns,
            records: lost.sum(),
        }
    }

    /// Time passes.
    pub(crate) fn tick(&mut self, ns: u64) {
        self.now_ns += ns;
        self.pipeline.take_lost(&self.lost());
        self.pipeline.count(&self.counters);
        self.pipeline.tick(self.now_ns);
    }

    /// A packet from one pod to the other, or beyond.
    pub(crate) fn ping(&mut self, number: u16, hops: usize) {
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

    pub(crate) fn finish(mut self) -> Recorded {
        let duration_ns = self.now_ns - self.begin_ns;
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
            closing: self.page.closing(),
            taps,
            _directory: self.directory,
        }
    }
}
