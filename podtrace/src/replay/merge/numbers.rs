//! Maps the numbers of one session to unique numbers among all sessions.
use std::{ops::Range, sync::Arc};

use crate::{
    map::Map,
    model::{event::Event, origin::Origin, snapshot::Holder},
    pipeline::OTHERS,
    update::Update,
};

/// Upper bound of the runtimes of a session, which keeps their numbers distinct.
const RUNTIMES: usize = 1000;

/// Renumbers the items of a session.
pub(in crate::replay) struct Numbers {
    origin: Origin,
    /// Numbers of tap points by their numbers in the session.
    tap_points: Map<u32, u32>,
}

impl Numbers {
    /// `origin`: the numbers of the session, or of the first merged one, and of its nodes.
    pub(in crate::replay) fn new(origin: Origin) -> Self {
        Self {
            origin,
            tap_points: Map::default(),
        }
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(super) fn set_nodes(&mut self, nodes: Range<usize>) {
        self.origin.nodes = nodes;
    }

    /// The number of a node, by its number in the session. A file can contain any number: the
    /// result is one of the session's.
    fn node(&self, number: usize) -> usize {
        let nodes = &self.origin.nodes;
        let last = nodes.end.saturating_sub(1).max(nodes.start);
        nodes.start.saturating_add(number).min(last)
    }

    /// The origin of an update of one of the file's sessions.
    pub(in crate::replay) fn origin_of(&self, recorded: &Origin) -> Origin {
        let Range { start, end } = self.origin.nodes;
        let nodes = if recorded.nodes.is_empty() {
            start..end
        } else {
            let within = |number: usize| start.saturating_add(number).min(end);
            within(recorded.nodes.start)..within(recorded.nodes.end)
        };
        Origin {
            session: self.origin.session.saturating_add(recorded.session),
            nodes,
        }
    }

    /// The number of a runtime, by its number in the session.
    fn runtime(&self, number: usize) -> usize {
        let first = self.origin.session.saturating_mul(RUNTIMES);
        first.saturating_add(number)
    }

    /// The number of a tap point, by its number in the session.
    pub(super) fn point(&self, number: u32) -> Option<u32> {
        self.tap_points.get(&number).copied()
    }

    /// The numbers of all its tap points.
    pub(super) fn tap_points(&self) -> impl Iterator<Item = u32> {
        self.tap_points.values().copied()
    }

    /// Renumbers an event; returns false if its tap point was never recorded.
    pub(super) fn event(&self, event: &mut Event) -> bool {
        let Some(number) = self.point(event.interface) else {
            return false;
        };
        event.interface = number;
        event.cgroup = self.origin.global_id(event.cgroup);
        true
    }

    /// Renumbers an update; `next`: the number for a new tap point. Returns false if the
    /// update names a tap point that was never recorded.
    pub(in crate::replay) fn update(&mut self, update: &mut Update, next: u32) -> bool {
        let id = |id: u64| self.origin.global_id(id);
        let renumber = |holder: &mut Holder| {
            holder.node = self.node(holder.node);
            holder.netns = holder.netns.map(id);
        };
        match update {
            Update::TapPoint { number, point } => {
                point.node = self.node(point.node);
                point.netns_id = id(point.netns_id);
                point.leads_to = point.leads_to.map(id);
                *number = *self.tap_points.entry(*number).or_insert(next);
            }
            Update::Removed { number } => match self.point(*number) {
                Some(known) => *number = known,
                None => return false,
            },
            Update::Snapshot(snapshot) => {
                for info in &mut snapshot.namespaces {
                    info.id = id(info.id);
                    info.node = self.node(info.node);
                }
                let addresses = std::mem::take(&mut snapshot.addresses).into_iter();
                snapshot.addresses = addresses
                    .map(|(address, mut holder)| {
                        renumber(&mut holder);
                        (address, holder)
                    })
                    .collect();
                for (_, holder, _) in &mut snapshot.held_since {
                    renumber(holder);
                }
            }
            Update::Pods { runtime, pods, .. } => {
                *runtime = self.runtime(*runtime);
                for pod in pods {
                    pod.netns_id = pod.netns_id.map(id);
                }
            }
            Update::Runtime { runtime, node } => {
                *runtime = self.runtime(*runtime);
                *node = node.map(|node| self.node(node));
            }
            Update::Translations { node, netns, .. } => {
                *node = self.node(*node);
                *netns = id(*netns);
            }
            Update::Drops { drops } => {
                for drop in drops {
                    drop.netns = id(drop.netns);
                }
            }
            Update::Ruleset(ruleset) => {
                let ruleset = Arc::make_mut(ruleset);
                ruleset.netns = id(ruleset.netns);
            }
            Update::Cgroups { new, .. } => {
                for new in new {
                    new.id = id(new.id);
                }
            }
            Update::Loss(loss) => {
                for tap in &mut loss.taps {
                    // A tap point that was never recorded has no name.
                    tap.interface = self.point(tap.interface).unwrap_or(OTHERS);
                }
            }
            Update::Topology(topology) => {
                for facts in &mut topology.facts {
                    let facts = Arc::make_mut(facts);
                    facts.node = self.node(facts.node);
                    facts.map_netns(id);
                }
            }
            Update::Start(_)
            | Update::Cluster { .. }
            | Update::Changes { .. }
            | Update::Sampling { .. }
            | Update::Attaching { .. }
            | Update::Notice { .. } => {}
        }
        true
    }
}
