//! What dead podtraces have left.
use std::io;

use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    tc::{TcHeader, TcMessage},
};

use super::{
    DIRECTIONS, KIND, filter::{Filter, Owner, hook}, filters, netlink::Netlink, remove_dead, remove_qdisc,
};

/// What was found at an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// The interface.
    pub ifindex: u32,
    /// How many dead filters of podtrace were removed.
    pub removed: usize,
    /// Whether the clsact qdisc that podtrace had made was removed too.
    pub has_removed_qdisc: bool,
    /// How many filters of running podtraces were left.
    pub alive: usize,
}

/// Removes what dead podtraces have left at the interfaces of the calling thread's
/// namespace; tells of interfaces where there was something of a podtrace's.
///
/// # Errors
/// When the kernel does not list its qdiscs.
pub fn sweep() -> io::Result<Vec<Swept>> {
    let mut netlink = Netlink::open()?;
    let question = TcMessage::from_parts(TcHeader::default(), Vec::new());
    let qdiscs = netlink.dump(RouteNetlinkMessage::GetQueueDiscipline, &question)?;
    let interfaces = qdiscs.iter().filter_map(|qdisc| {
        // A qdisc is told of like a filter.
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

/// An interface that goes meanwhile has nothing left.
fn sweep_interface(netlink: &mut Netlink, ifindex: u32) -> Swept {
    let mut swept = Swept {
        ifindex,
        removed: 0,
        has_removed_qdisc: false,
        alive: 0,
    };
    let mut made = false;
    for direction in DIRECTIONS {
        let hook = hook(direction);
        let Ok(there) = filters(netlink, ifindex, hook) else {
            continue;
        };
        made |= there.iter().any(Filter::tells_made);
        let is_alive = |filter: &&Filter| matches!(filter.owner(), Ok(Owner::Alive));
        swept.alive += there.iter().filter(is_alive).count();
        swept.removed += remove_dead(netlink, ifindex, hook, &there);
    }
    swept.has_removed_qdisc = made && swept.removed > 0 && remove_qdisc(netlink, ifindex);
    swept
}
