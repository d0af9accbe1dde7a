//! Taps kept in step with what the looks at the nodes show.
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use crate::{
    identity::{cgroupfs::CgroupFs, directory::NamespaceInfo},
    news::{Look, News, Origin},
    node::{
        discover::{NamespaceLook, Snapshot},
        place::{Place, Role, Target},
    },
    output::sanitize::sanitize,
    pipeline::Pipeline,
    probe::{Probe, ProbeError},
    world::World,
};

/// What is tapped, and what could not be.
pub(super) struct Taps {
    pub(super) probe: Probe,
    cgroup_fs: Option<Arc<CgroupFs>>,
    /// Interfaces that have taps: number and place.
    tapped: Vec<(u32, Place)>,
    /// Interfaces that could not be tapped and were said to be so.
    refused: HashSet<(u64, u32)>,
    /// The same of cgroups.
    refused_cgroups: HashSet<String>,
    /// Whether it was said that sockets tell no containers.
    said_v1: bool,
}

impl Taps {
    /// `cgroup_fs`: none where there is no cgroup v2.
    pub(super) fn new(probe: Probe, cgroup_fs: Option<Arc<CgroupFs>>) -> Self {
        Self {
            probe,
            cgroup_fs,
            tapped: Vec::new(),
            refused: HashSet::new(),
            refused_cgroups: HashSet::new(),
            said_v1: false,
        }
    }

    /// The interfaces that have taps.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.tapped.iter().map(|(_, place)| place)
    }

    /// Brings taps and names in step with a look; what is to be said of it is
    /// added to `notices`.
    pub(super) fn apply(
        &mut self,
        snapshot: Snapshot,
        pipeline: &mut Pipeline,
        origin: &Origin,
        notices: &mut Vec<String>,
    ) -> Result<(), ProbeError> {
        let Snapshot {
            time,
            targets,
            namespaces,
            cgroups,
            addresses,
            subnets,
            has_v1_containers,
            vxlan_ports,
            names: _,
            unsettled: _,
        } = snapshot;
        let first = pipeline.world().places.next_number() == 0;
        let cgroups = uppermost(&cgroups);
        self.probe.retain_cgroups(&cgroups);
        for cgroup in &cgroups {
            self.watch_sockets(cgroup, notices);
        }
        if has_v1_containers && !self.said_v1 {
            self.said_v1 = true;
            let notice =
                "containers that send and receive unknown: they have no cgroup v2 of their own";
            notices.push(notice.into());
        }
        if !vxlan_ports.is_empty() {
            self.probe.set_vxlan_ports(&vxlan_ports)?;
        }
        let look = Look {
            time,
            namespaces: namespaces.into_iter().map(|look| self.info(look)).collect(),
            addresses,
            held_since: Vec::new(),
            subnets,
            vxlan_ports,
            has_v1_containers,
            watches_sockets: self.probe.cgroups().next().is_some(),
        };
        pipeline.tell(origin, &News::Look(Box::new(look)));
        self.forget_gone(&targets, pipeline, origin, notices)?;
        let known: HashSet<_> = self.places().map(place_key).collect();
        // A pod's own first: only there its name is certain from the first packet.
        let (own, others): (Vec<_>, Vec<_>) = targets
            .into_iter()
            .partition(|target| target.place.role == Role::Pod);
        for target in own.into_iter().chain(others) {
            if known.contains(&place_key(&target.place)) {
                self.renew(&target.place, pipeline, origin);
            } else {
                self.tap(target, pipeline, origin, notices, !first);
            }
        }
        Ok(())
    }

    fn forget_gone(
        &mut self,
        targets: &[Target],
        pipeline: &mut Pipeline,
        origin: &Origin,
        notices: &mut Vec<String>,
    ) -> Result<(), ProbeError> {
        let present: HashSet<_> = targets.iter().map(|t| place_key(&t.place)).collect();
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.tapped)
            .into_iter()
            .partition(|(_, place)| present.contains(&place_key(place)));
        self.tapped = kept;
        for (number, place) in gone {
            self.probe.forget(number)?;
            notices.push(format!("{} is gone", place_name(&place, pipeline.world())));
            pipeline.tell(origin, &News::Gone { number });
        }
        Ok(())
    }

    /// An interface gets another name or MAC address, and what a veth leads to
    /// becomes known after the veth.
    fn renew(&mut self, place: &Place, pipeline: &mut Pipeline, origin: &Origin) {
        let tapped = self
            .tapped
            .iter_mut()
            .find(|(_, old)| place_key(old) == place_key(place));
        if let Some((number, old)) = tapped
            && old != place
        {
            old.clone_from(place);
            let number = *number;
            let place = place.clone();
            pipeline.tell(origin, &News::Place { number, place });
        }
    }

    /// Taps an interface; one that cannot be tapped is said once and left.
    fn tap(
        &mut self,
        target: Target,
        pipeline: &mut Pipeline,
        origin: &Origin,
        notices: &mut Vec<String>,
        say: bool,
    ) {
        let Target {
            place,
            netns,
            device,
        } = target;
        let key = place_key(&place);
        // An earlier look has given the namespace: it was refused then.
        let Some(netns) = netns.filter(|_| !self.refused.contains(&key)) else {
            return;
        };
        let number = pipeline.world().places.next_number();
        let news = News::Place {
            number,
            place: place.clone(),
        };
        pipeline.tell(origin, &news);
        match self.probe.attach(
            &netns,
            &device,
            place.ifindex,
            number,
            place.framing.link_len(),
        ) {
            Ok(()) => {
                if say {
                    let name = place_name(&place, pipeline.world());
                    notices.push(format!("{name} is traced now"));
                }
                self.tapped.push((number, place));
            }
            Err(error) => {
                self.refused.insert(key);
                // With its pod: the next look does not show it.
                if error.is_vanished() {
                    return;
                }
                let error = in_words(error);
                let name = place_name(&place, pipeline.world());
                notices.push(format!("{name} is not traced: {error}"));
            }
        }
    }

    fn watch_sockets(&mut self, cgroup: &str, notices: &mut Vec<String>) {
        let Some(cgroup_fs) = &self.cgroup_fs else {
            return;
        };
        let is_watched = self.probe.cgroups().any(|watched| watched == cgroup);
        if is_watched || self.refused_cgroups.contains(cgroup) {
            return;
        }
        let directory = cgroup_fs.directory(cgroup);
        if let Err(error) = self.probe.attach_cgroup(cgroup, &directory) {
            self.refused_cgroups.insert(cgroup.to_owned());
            notices.push(format!("receiving containers unknown: {}", in_words(error)));
        }
    }

    fn info(&self, look: NamespaceLook) -> NamespaceInfo {
        let NamespaceLook { mut info, cgroups } = look;
        info.watched = !cgroups.is_empty()
            && cgroups
                .iter()
                .all(|cgroup| self.probe.cgroups().any(|above| is_within(cgroup, above)));
        info
    }
}

/// Those that are not within another one: a watch of both would see the
/// lower one's sockets twice.
fn uppermost(cgroups: &BTreeSet<String>) -> BTreeSet<String> {
    let is_below = |cgroup: &String| {
        let mut others = cgroups.iter();
        others.any(|other| other != cgroup && is_within(cgroup, other))
    };
    cgroups
        .iter()
        .filter(|cgroup| !is_below(cgroup))
        .cloned()
        .collect()
}

fn is_within(cgroup: &str, above: &str) -> bool {
    cgroup
        .strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn place_key(place: &Place) -> (u64, u32) {
    (place.netns_cookie, place.ifindex)
}

fn place_name(place: &Place, world: &World) -> String {
    format!("{} of {}", place.name, place.owner(&world.directory))
}

fn in_words(error: ProbeError) -> String {
    sanitize(&format!("{:#}", anyhow::Error::from(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_within_others_are_left_out() {
        let all = ["/a", "/a/b", "/ab", "/c/kubepods", "/c/kubepods/x"];
        let kept = uppermost(&all.map(String::from).into());
        assert!(kept.iter().eq(["/a", "/ab", "/c/kubepods"]));
    }
}
