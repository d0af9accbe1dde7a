//! Keeps the taps in step with the scans of the nodes.
mod need;
mod report;
mod sockets;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use anyhow::Context as _;

use super::options::TraceOptions;
use crate::{
    cgroup::fs::CgroupFs,
    model::{
        origin::Origin,
        tap_point::{Role, TapPoint},
    },
    netns::NetNs,
    node::{discover::Scan, target::Target},
    packet::{FLANNEL_PORT, VxlanPorts},
    pipeline::Pipeline,
    probe::{
        AttachMethod, Probe, ProbeError,
        attacher::{self, Attacher, Report},
    },
    update::Update,
    world::World,
};
use need::{Need, Needs};
use sockets::Sockets;

/// The rank of interfaces that are needed less than all others.
const LATER: u8 = 16;

/// The taps, and the interfaces that refused theirs.
pub(super) struct Taps {
    pub(super) probe: Probe,
    attacher: Attacher,
    sockets: Sockets,
    method: AttachMethod,
    needs: Needs,
    /// UDP ports of VXLAN that were given.
    vxlan_ports: VxlanPorts,
    /// Interfaces that have taps, or are about to.
    taps: Vec<Tap>,
    /// Interfaces that could not be tapped, each reported once.
    refused: HashSet<(u64, u32)>,
    /// The maximum number of interfaces that were without taps or had partial ones at a time.
    missed: Missed,
    /// Whether the last scan had namespaces that cannot be opened.
    has_unopened: bool,
    /// The reason of a refusal, as long as no tap has been attached.
    refusal: Option<String>,
    was_attached: bool,
    /// Whether packets are followed; from then on each new tap is announced.
    have_started: bool,
}

struct Tap {
    number: u32,
    point: TapPoint,
    state: State,
    need: Need,
    /// Whether programs of other tools come before it.
    is_partial: bool,
}

/// How many interfaces packets pass unseen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missed {
    /// Interfaces that refused their taps.
    pub(super) refused: u64,
    /// Interfaces whose taps do not see all packets.
    pub(super) partial: u64,
    /// Whether namespaces, and so pods, could not be opened.
    pub(super) has_unopened: bool,
}

enum State {
    /// The tap waits for the kernel; `announce`: a notice follows.
    Attaching {
        announce: bool,
    },
    Attached,
    /// The interface was removed; `next` took its place and is tapped once the old taps are
    /// detached.
    Detaching {
        next: Option<Box<Target>>,
    },
}

/// Receives updates and collects notices for the user.
pub(super) struct Reporter<'a> {
    pub(super) pipeline: &'a mut Pipeline,
    pub(super) origin: &'a Origin,
    /// Grows by each notice.
    pub(super) notices: &'a mut Vec<String>,
}

impl Reporter<'_> {
    fn update(&mut self, update: &Update) {
        self.pipeline.apply(self.origin, update);
    }

    fn notice(&mut self, point: &TapPoint, what: &str) {
        let name = point_name(point, self.pipeline.world());
        self.notices.push(format!("{name} {what}"));
    }
}

impl Taps {
    /// `cgroup_fs`: none without cgroup v2.
    pub(super) fn new(
        mut probe: Probe,
        options: &TraceOptions,
        cgroup_fs: Option<Arc<CgroupFs>>,
    ) -> anyhow::Result<Self> {
        let method = options.method;
        let hooks = method.open(&mut probe)?;
        Ok(Self {
            probe,
            attacher: Attacher::spawn(hooks).context("failed to start a thread")?,
            sockets: Sockets::new(cgroup_fs),
            method,
            needs: Needs::new(&options.interfaces, options.asked.selector.as_ref()),
            vxlan_ports: options.vxlan_ports,
            taps: Vec::new(),
            refused: HashSet::new(),
            missed: Missed::default(),
            has_unopened: false,
            refusal: None,
            was_attached: false,
            have_started: false,
        })
    }

    /// How programs are attached.
    pub(super) fn method(&self) -> AttachMethod {
        self.method
    }

    /// Whether taps left behind ([`Self::leave`]) vanish with the process.
    pub(super) fn can_leave(&self) -> bool {
        self.attacher.can_leave()
    }

    /// Keeps the taps of a node attached where another tool can detach them.
    pub(super) fn watch(&self, node: &NetNs) -> anyhow::Result<()> {
        let watched = self.attacher.watch(node)?;
        watched.context("failed to listen to changes of traffic control")
    }

    /// Announces each new tap from now on.
    pub(super) fn begin(&mut self) {
        self.have_started = true;
    }

    /// Whether packets are followed.
    pub(super) fn have_started(&self) -> bool {
        self.have_started
    }

    /// The interfaces that have taps.
    pub(super) fn tap_points(&self) -> impl Iterator<Item = &TapPoint> {
        let attached = |tap: &&Tap| matches!(tap.state, State::Attached);
        self.taps.iter().filter(attached).map(|tap| &tap.point)
    }

    /// How many interfaces are to be tapped, and how many of them are not tapped yet.
    pub(super) fn attaching(&self) -> (usize, usize) {
        let attaching = |tap: &&Tap| matches!(tap.state, State::Attaching { .. });
        let left = self.taps.iter().filter(attaching).count();
        (self.taps.len(), left)
    }

    /// Whether an interface that is needed first, or one of `all`, is not tapped yet.
    pub(super) fn awaits_needed(&self, all: bool) -> bool {
        let is_needed = |tap: &Tap| all || tap.need == Need::First;
        let is_awaited = |tap: &Tap| matches!(tap.state, State::Attaching { .. });
        let mut taps = self.taps.iter();
        taps.any(|tap| is_needed(tap) && is_awaited(tap))
    }

    /// How many interfaces packets pass unseen by now: those that still wait for their
    /// taps, and the others.
    pub(super) fn unwatched(&mut self) -> (u64, Missed) {
        let partial = self.taps.iter().filter(|tap| tap.is_partial).count();
        let missed = Missed {
            refused: self.refused.len() as u64,
            partial: partial as u64,
            has_unopened: self.has_unopened,
        };
        self.missed.refused = self.missed.refused.max(missed.refused);
        self.missed.partial = self.missed.partial.max(missed.partial);
        self.missed.has_unopened |= missed.has_unopened;
        (self.attaching().1 as u64, missed)
    }

    /// The maximum number of interfaces that packets passed unseen at a time.
    pub(super) fn missed(&self) -> Missed {
        self.missed
    }

    /// The reason why nothing can be traced, if every interface refused its taps.
    pub(super) fn refusal(&self) -> Option<&str> {
        let is_hopeless = self.taps.is_empty() && !self.was_attached;
        self.refusal.as_deref().filter(|_| is_hopeless)
    }

    /// How many interfaces present at the start are not tapped yet.
    pub(super) fn left_of_start(&self) -> usize {
        let is_left = |tap: &&Tap| matches!(tap.state, State::Attaching { announce: false });
        self.taps.iter().filter(is_left).count()
    }

    /// The next report of attaching or detaching; none after the last.
    pub(super) async fn report(&mut self) -> Option<Report> {
        self.attacher.report().await
    }

    /// Leaves everything attached until its descriptors are closed.
    pub(super) fn leave(&self) {
        self.attacher.leave();
    }

    /// Begins to detach all taps; returns the number of interfaces.
    pub(super) fn detach_all(&mut self) -> usize {
        self.attacher.detach_all();
        self.taps.len() - self.attaching().1
    }

    /// Brings taps and names in step with a scan. New interfaces are attached later, which
    /// [`Self::apply_report`] learns.
    pub(super) fn apply(
        &mut self,
        scan: Scan,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), ProbeError> {
        let Scan {
            mut snapshot,
            targets,
            cgroups,
            cgroups_of,
            names: _,
            unsettled: _,
            unopened,
        } = scan;
        if !std::mem::replace(&mut self.has_unopened, unopened) && unopened {
            let hint = report::too_few_descriptors();
            let notice = format!("pods are not traced whose namespaces cannot be opened: {hint}");
            reporter.notices.push(notice);
        }
        // Sockets behind interfaces without taps are not watched.
        let has_pods = targets.iter().any(|t| t.point.role == Role::Pod);
        let cgroups = if has_pods { cgroups } else { BTreeSet::new() };
        self.sockets.watch(
            &cgroups,
            snapshot.has_v1_containers && has_pods,
            &mut self.probe,
            reporter.notices,
        );
        if snapshot.vxlan_ports.is_empty() {
            snapshot.vxlan_ports.push(FLANNEL_PORT);
        }
        self.probe.set_vxlan_ports(&snapshot.vxlan_ports)?;
        snapshot.vxlan_ports = self.vxlan_ports.with(&snapshot.vxlan_ports);
        sockets::mark_watched(&mut snapshot, &cgroups_of, &self.probe);
        snapshot.marks_kernel = true;
        reporter.update(&Update::Snapshot(Box::new(snapshot)));
        self.forget_removed(&targets, reporter);
        let known = self.taps.iter().map(Tap::key).zip(0..);
        let mut known: HashMap<_, usize> = known.collect();
        for target in targets {
            let key = point_key(&target.point);
            let next = self.taps.len();
            match known.get(&key) {
                Some(position) => self.taps[*position].renew(target, reporter),
                None => self.tap(target, reporter)?,
            }
            // A refused interface adds none.
            if self.taps.len() > next {
                known.insert(key, next);
            }
        }
        Ok(())
    }

    fn forget_removed(&mut self, targets: &[Target], reporter: &mut Reporter<'_>) {
        let present: HashSet<_> = targets.iter().map(|t| point_key(&t.point)).collect();
        self.refused.retain(|key| present.contains(key));
        for tap in &mut self.taps {
            let is_there = present.contains(&tap.key());
            // A pod may get the name of another one than those that were chosen.
            let need = self.needs.of(&tap.point, reporter.pipeline.world());
            if is_there && need != Need::Never {
                continue;
            }
            match &mut tap.state {
                State::Detaching { next } => *next = None,
                state => {
                    self.attacher.detach(tap.number);
                    if matches!(state, State::Attached) {
                        let what = match is_there {
                            true => "was not chosen, and is not traced any more",
                            false => "is gone",
                        };
                        reporter.notice(&tap.point, what);
                    }
                    *state = State::Detaching { next: None };
                    reporter.update(&Update::Removed { number: tap.number });
                }
            }
        }
    }

    /// Requests taps for an interface, unless it was refused before.
    fn tap(&mut self, target: Target, reporter: &mut Reporter<'_>) -> Result<(), ProbeError> {
        let Target {
            point,
            netns,
            device,
            packets: _,
        } = target;
        let need = self.needs.of(&point, reporter.pipeline.world());
        if need == Need::Never {
            return Ok(());
        }
        // If an earlier scan gave the namespace, the interface was refused then.
        let Some(netns) = netns.filter(|_| !self.refused.contains(&point_key(&point))) else {
            return Ok(());
        };
        let number = reporter.pipeline.world().tap_points.next_number();
        reporter.update(&Update::TapPoint {
            number,
            point: point.clone(),
        });
        let link_len = point.framing.link_len();
        if let Err(error) = self.probe.register(&netns, point.ifindex, number, link_len) {
            self.refuse(number, &point, error, reporter);
            return Ok(());
        }
        self.attacher.attach(attacher::Target {
            interface: number,
            netns,
            name: device,
            ifindex: point.ifindex,
            // A new pod's own interface comes first: only there is its name certain from
            // the first packet.
            rank: match point.role {
                Role::Pod if self.have_started => 0,
                role if need == Need::First => 1 + role.rank(),
                role => LATER + role.rank(),
            },
        });
        self.taps.push(Tap {
            number,
            point,
            state: State::Attaching {
                announce: self.have_started,
            },
            need,
            is_partial: false,
        });
        Ok(())
    }
}

impl Tap {
    fn key(&self) -> (u64, u32) {
        point_key(&self.point)
    }

    /// Updates an interface: it may get another name or MAC address, and the pod behind a
    /// veth becomes known after the veth.
    fn renew(&mut self, target: Target, reporter: &mut Reporter<'_>) {
        if let State::Detaching { next } = &mut self.state {
            // A later scan does not give the namespace again.
            if next.is_none() || target.netns.is_some() {
                *next = Some(Box::new(target));
            }
        } else if self.point != target.point {
            self.point = target.point;
            reporter.update(&Update::TapPoint {
                number: self.number,
                point: self.point.clone(),
            });
        }
    }
}

fn point_key(point: &TapPoint) -> (u64, u32) {
    (point.netns_id, point.ifindex)
}

fn point_name(point: &TapPoint, world: &World) -> String {
    format!("{} of {}", point.name, world.owner_of(point))
}
