//! The clsact qdisc of an interface, and its content.
use std::io;

use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcHandle, TcHeader, TcMessage},
};

use super::{
    ClsactError, DIRECTIONS,
    filter::{Filter, hook},
    netlink::{Netlink, code},
    refused,
};

pub(super) const KIND: &str = "clsact";

/// Whether there is a clsact qdisc.
///
/// # Errors
/// When another qdisc is in its place, or the kernel does not answer.
pub(super) fn has_qdisc(netlink: &mut Netlink, ifindex: u32) -> Result<bool, ClsactError> {
    // The kernel rejects a request that names another kind than the existing one.
    let mut question = qdisc(ifindex);
    question.attributes.clear();
    let there = match netlink.get(RouteNetlinkMessage::GetQueueDiscipline(question)) {
        Ok(there) => there.and_then(|there| Filter::parse(&there)),
        // There is none, or only the default.
        Err(error) if matches!(code(&error), Some(libc::ENOENT | libc::EINVAL)) => None,
        Err(error) => return Err(refused("inspect a qdisc")(error)),
    };
    match there.map(|there| there.kind) {
        Some(kind) if kind != KIND => Err(ClsactError::Foreign(kind)),
        there => Ok(there.is_some()),
    }
}

/// Removes the qdisc if it is empty.
pub(super) fn remove_qdisc(netlink: &mut Netlink, ifindex: u32) -> bool {
    let is_empty = DIRECTIONS.iter().all(|direction| {
        let hook = hook(*direction);
        let there = filters(netlink, ifindex, hook);
        there.is_ok_and(|there| there.is_empty()) && !has_chains(netlink, ifindex, hook)
    });
    is_empty && delete_qdisc(netlink, ifindex)
}

/// Removes the qdisc with its content.
pub(super) fn delete_qdisc(netlink: &mut Netlink, ifindex: u32) -> bool {
    let request = RouteNetlinkMessage::DelQueueDiscipline(qdisc(ifindex));
    netlink.remove(request).is_ok()
}

/// The clsact qdisc of an interface, as in requests.
pub(super) fn qdisc(ifindex: u32) -> TcMessage {
    let header = TcHeader {
        index: ifindex.cast_signed(),
        handle: TcHandle {
            major: TcHandle::CLSACT.major,
            minor: 0,
        },
        parent: TcHandle::CLSACT,
        ..TcHeader::default()
    };
    TcMessage::from_parts(header, vec![TcAttribute::Kind(KIND.into())])
}

/// The filters at a hook, and the entries of their priorities.
pub(super) fn filters(
    netlink: &mut Netlink,
    ifindex: u32,
    hook: TcHandle,
) -> io::Result<Vec<Filter>> {
    let question = question(ifindex, hook);
    let there = netlink.dump(RouteNetlinkMessage::GetTrafficFilter, &question)?;
    Ok(there
        .iter()
        .filter_map(|there| Filter::parse(there))
        .collect())
}

/// Whether another tool has added chains at a hook, which may be empty.
pub(super) fn has_chains(netlink: &mut Netlink, ifindex: u32, hook: TcHandle) -> bool {
    let question = question(ifindex, hook);
    let there = netlink.dump(RouteNetlinkMessage::GetTrafficChain, &question);
    // The kernel lists a chain in the form of a filter.
    there.is_ok_and(|there| {
        let mut chains = there.iter().filter_map(|chain| Filter::parse(chain));
        chains.any(|chain| chain.chain != 0)
    })
}

fn question(ifindex: u32, hook: TcHandle) -> TcMessage {
    let header = TcHeader {
        index: ifindex.cast_signed(),
        parent: hook,
        ..TcHeader::default()
    };
    TcMessage::from_parts(header, Vec::new())
}
