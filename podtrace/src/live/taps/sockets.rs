//! The sockets of pods: watched by cgroup.
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::report::in_words;
use crate::{cgroup::fs::CgroupFs, model::snapshot::Snapshot, probe::Probe};

/// The cgroups whose sockets are watched, and those that refused it.
pub(super) struct Sockets {
    cgroup_fs: Option<Arc<CgroupFs>>,
    /// Cgroups that could not be watched, each reported once.
    refused: HashSet<String>,
    /// Whether the notice that sockets do not show containers here was given.
    reported_v1: bool,
}

impl Sockets {
    /// `cgroup_fs`: none without cgroup v2.
    pub(super) fn new(cgroup_fs: Option<Arc<CgroupFs>>) -> Self {
        Self {
            cgroup_fs,
            refused: HashSet::new(),
            reported_v1: false,
        }
    }

    /// Watches these cgroups and no others; adds its notices to `notices`.
    pub(super) fn watch(
        &mut self,
        cgroups: &BTreeSet<String>,
        has_v1_containers: bool,
        probe: &mut Probe,
        notices: &mut Vec<String>,
    ) {
        let cgroups = uppermost(cgroups);
        probe.retain_cgroups(&cgroups);
        for cgroup in &cgroups {
            self.watch_one(cgroup, probe, notices);
        }
        if has_v1_containers && !self.reported_v1 {
            self.reported_v1 = true;
            let notice =
                "containers that send and receive unknown: they have no cgroup v2 of their own";
            notices.push(notice.into());
        }
    }

    fn watch_one(&mut self, cgroup: &str, probe: &mut Probe, notices: &mut Vec<String>) {
        let Some(cgroup_fs) = &self.cgroup_fs else {
            return;
        };
        let is_watched = probe.cgroups().any(|watched| watched == cgroup);
        if is_watched || self.refused.contains(cgroup) {
            return;
        }
        let directory = cgroup_fs.directory(cgroup);
        if let Err(error) = probe.attach_cgroup(cgroup, &directory) {
            self.refused.insert(cgroup.to_owned());
            notices.push(format!("receiving containers unknown: {}", in_words(error)));
        }
    }
}

/// Marks the namespaces whose sockets are watched. `cgroups_of`: the cgroups of the
/// processes in each.
pub(super) fn mark_watched(
    snapshot: &mut Snapshot,
    cgroups_of: &HashMap<u64, BTreeSet<String>>,
    probe: &Probe,
) {
    let is_watched = |cgroup: &String| probe.cgroups().any(|above| is_within(cgroup, above));
    for info in &mut snapshot.namespaces {
        info.watched = cgroups_of
            .get(&info.id)
            .is_some_and(|cgroups| !cgroups.is_empty() && cgroups.iter().all(is_watched));
    }
    snapshot.watches_sockets = probe.cgroups().next().is_some();
}

/// The cgroups that are not inside another one: a watch on both would see the lower one's
/// sockets twice.
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
