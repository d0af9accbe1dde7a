//! The cluster's nodes by address.
use std::{collections::HashMap, net::IpAddr, sync::Arc};

use super::super::ClusterNode;
use crate::text::sanitize::sanitize;

/// Upper bound of the nodes kept; Kubernetes itself is built for 5000.
const MAX_NODES: usize = 20_000;

/// The nodes that are known, by name.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    nodes: HashMap<Arc<str>, Node>,
    by_address: HashMap<IpAddr, Vec<Arc<str>>>,
    not_kept: u64,
}

#[derive(Debug)]
struct Node {
    addresses: Vec<IpAddr>,
    pod_ranges: Vec<Range>,
    /// The list or change that reported it last.
    round: u64,
}

/// A range of addresses: those that begin as `base` does.
#[derive(Clone, Copy, Debug)]
struct Range {
    base: IpAddr,
    prefix_len: u8,
}

impl Nodes {
    /// Those whose names fit, with their addresses.
    pub(super) fn named<'a>(
        &'a self,
        fits: &'a dyn Fn(&str) -> bool,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a [IpAddr])> {
        let nodes = self.nodes.iter().filter(|(name, _)| fits(name));
        nodes.map(|(name, node)| (name, &node.addresses[..]))
    }

    /// Adds or updates a node.
    pub(super) fn insert(&mut self, node: &ClusterNode, round: u64) {
        let name = sanitize(&node.name);
        self.remove(&name);
        if self.nodes.len() >= MAX_NODES {
            self.not_kept += 1;
            return;
        }
        let name: Arc<str> = name.into();
        for address in &node.addresses {
            let names = self.by_address.entry(*address).or_default();
            names.push(Arc::clone(&name));
        }
        let ranges = node.pod_cidrs.iter();
        let kept = Node {
            addresses: node.addresses.clone(),
            pod_ranges: ranges.filter_map(|range| Range::parse(range)).collect(),
            round,
        };
        self.nodes.insert(name, kept);
    }

    /// Drops a node, by its printed name.
    pub(super) fn remove(&mut self, name: &str) {
        let Some(node) = self.nodes.remove(name) else {
            return;
        };
        for address in node.addresses {
            if let Some(names) = self.by_address.get_mut(&address) {
                names.retain(|other| other.as_ref() != name);
                if names.is_empty() {
                    self.by_address.remove(&address);
                }
            }
        }
    }

    /// Drops the nodes last reported in another round.
    pub(super) fn retain_round(&mut self, round: u64) {
        let missing = self.nodes.iter().filter(|(_, node)| node.round != round);
        let missing: Vec<_> = missing.map(|(name, _)| Arc::clone(name)).collect();
        for name in missing {
            self.remove(&name);
        }
    }

    /// The one node that has an address.
    pub(super) fn by_address(&self, address: IpAddr) -> Option<&Arc<str>> {
        match self.by_address.get(&address)?.as_slice() {
            [name] => Some(name),
            _ => None,
        }
    }

    /// The one node that has an address in the range of its pods.
    pub(super) fn by_pod_range(&self, address: IpAddr) -> Option<&Arc<str>> {
        let mut found = self.nodes.iter().filter(|(_, node)| {
            let mut ranges = node.pod_ranges.iter();
            ranges.any(|range| range.contains(address))
        });
        match (found.next(), found.next()) {
            (Some((name, _)), None) => Some(name),
            _ => None,
        }
    }

    /// The shared copy of a printed name.
    pub(super) fn name(&self, name: &str) -> Option<Arc<str>> {
        let (name, _) = self.nodes.get_key_value(name)?;
        Some(Arc::clone(name))
    }

    /// How many reports found no room.
    pub(super) fn not_kept(&self) -> u64 {
        self.not_kept
    }
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (base, prefix_len) = text.split_once('/')?;
        let base: IpAddr = base.parse().ok()?;
        let prefix_len = prefix_len.parse().ok()?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        (prefix_len <= most).then_some(Self { base, prefix_len })
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let differ = base.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= u32::from(self.prefix_len)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let differ = base.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= u32::from(self.prefix_len)
            }
            _ => false,
        }
    }
}
