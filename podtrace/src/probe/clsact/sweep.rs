//! Removes the leftovers of dead podtraces.
use std::io;

use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    tc::{TcHeader, TcMessage},
};

use crate::{
    netns::{NetNs, candidates::candidates},
    text::{count::counted, escape::shown},
};

use super::{
    DIRECTIONS,
    filter::{Filter, Owner, hook},
    name_of,
    netlink::Netlink,
    qdisc::{KIND, delete_qdisc, filters, has_chains},
    remove_filter,
};

/// The leftovers found at an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Its name, or its index if it was removed.
    pub interface: String,
    /// The path of its namespace; empty for the caller's.
    pub netns: String,
    /// How many dead filters of podtrace were removed.
    pub removed: usize,
    /// Whether the clsact qdisc that podtrace had made was removed too.
    pub has_removed_qdisc: bool,
    /// How many filters of running podtraces were left.
    pub alive: usize,
}

/// Removes the leftovers of dead podtraces in every network namespace that has a name or a
/// process; returns the interfaces that had filters of a podtrace. Skips a namespace that
/// cannot be entered, as it has just ended.
#[must_use]
pub fn sweep_all() -> Vec<Swept> {
    let mut all = Vec::new();
    for candidate in candidates() {
        let netns = NetNs::open(&candidate.path);
        let Ok(Ok(Ok(mut swept))) = netns.map(|netns| netns.run(sweep)) else {
            continue;
        };
        for swept in &mut swept {
            swept.netns = shown(&candidate.path);
        }
        all.extend(swept);
    }
    all
}

/// Removes the leftovers of dead podtraces at the interfaces of the calling thread's
/// namespace; returns the interfaces that had filters of a podtrace.
///
/// # Errors
/// When the kernel does not list its qdiscs.
pub fn sweep() -> io::Result<Vec<Swept>> {
    let mut netlink = Netlink::open()?;
    let question = TcMessage::from_parts(TcHeader::default(), Vec::new());
    let qdiscs = netlink.dump(RouteNetlinkMessage::GetQueueDiscipline, &question)?;
    let interfaces = qdiscs.iter().filter_map(|qdisc| {
        // The kernel lists a qdisc in the form of a filter.
        let kind = Filter::parse(qdisc)?.kind;
        let index = TcHeader::parse(qdisc).ok()?.index;
        (kind == KIND).then(|| index.cast_unsigned())
    });
    let interfaces: Vec<_> = interfaces.collect();
    let swept = interfaces.into_iter();
    Ok(swept
        .map(|ifindex| sweep_interface(&mut netlink, ifindex))
        .filter(|swept| swept.removed + swept.alive > 0)
        .collect())
}

/// An interface that is removed meanwhile has no leftovers.
fn sweep_interface(netlink: &mut Netlink, ifindex: u32) -> Swept {
    let mut swept = Swept {
        interface: name_of(ifindex).unwrap_or_else(|| format!("#{ifindex}")),
        netns: String::new(),
        removed: 0,
        has_removed_qdisc: false,
        alive: 0,
    };
    let (mut made, mut is_all_dead) = (false, true);
    let mut dead = Vec::new();
    for direction in DIRECTIONS {
        let hook = hook(direction);
        let Ok(there) = filters(netlink, ifindex, hook) else {
            is_all_dead = false;
            continue;
        };
        made |= there.iter().any(Filter::marks_own_qdisc);
        is_all_dead &= !has_chains(netlink, ifindex, hook);
        for filter in there.iter().filter(|filter| filter.is_filter()) {
            match filter.owner() {
                Ok(Owner::Dead) => dead.push((hook, filter.clone())),
                Ok(Owner::Alive) => swept.alive += 1,
                Ok(Owner::Other) | Err(_) => is_all_dead = false,
            }
        }
    }
    is_all_dead &= swept.alive == 0;
    // The qdisc goes with its filters: it never exists without one that marks its maker.
    if made && is_all_dead && !dead.is_empty() && delete_qdisc(netlink, ifindex) {
        swept.removed = dead.len();
        swept.has_removed_qdisc = true;
        return swept;
    }
    for (hook, filter) in &dead {
        swept.removed += usize::from(remove_filter(netlink, ifindex, *hook, filter));
    }
    swept
}

impl std::fmt::Display for Swept {
    /// In words, without the filters that are left alone.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            interface,
            netns,
            removed,
            has_removed_qdisc,
            alive: _,
        } = self;
        f.write_str(&counted(*removed as u64, "dead tc filter"))?;
        if *has_removed_qdisc {
            f.write_str(" and the clsact qdisc")?;
        }
        write!(
            f,
            " of an earlier podtrace removed from {interface} in {netns}"
        )
    }
}
