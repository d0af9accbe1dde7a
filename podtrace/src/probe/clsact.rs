//! Attaching by clsact, for kernels without TCX.
//!
//! The kernel keeps a filter of clsact when the process that added it dies. So we attach a
//! stub, which calls the tap through an array of programs. Only we hold that array: the kernel
//! empties it when our last descriptor of it is closed, for whatever reason, and the stub then
//! does nothing. The stub is recognised by its name and handle, and removed at the next start
//! or by `podtrace cleanup`.
//!
//! Nothing of other tools is touched: a qdisc is removed only if podtrace added it and it has
//! no filter of another tool.
mod filter;
mod netlink;
mod qdisc;
mod sweep;

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd},
        unix::ffi::OsStrExt as _,
    },
};

use nix::net::if_::if_indextoname;
use podtrace_ebpf::record::Direction;
use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcBpfFlags, TcFilterBpfOption, TcHandle, TcHeader, TcMessage, TcOption},
};
use thiserror::Error;

use self::{
    filter::{ALL_PROTOCOLS, Filter, NAME, Owner, handle, hook, in_way_before, priority_among},
    netlink::{Netlink, code},
    qdisc::{delete_qdisc, filters, has_chains, has_qdisc, qdisc, remove_qdisc},
};
#[doc(hidden)]
pub use filter::is_ours;
pub use sweep::{Swept, sweep, sweep_all};

use crate::text::escape::shown;

/// The directions that clsact has hooks for.
const DIRECTIONS: [Direction; 2] = [Direction::Egress, Direction::Ingress];
/// How many handles are tried to find a free one.
const HANDLES_MAX: u32 = 64;
/// How often attaching is retried.
const TRIES_MAX: u32 = 3;

/// Why attaching to an interface failed.
#[derive(Debug, Error)]
pub enum ClsactError {
    /// The kernel refused something.
    #[error("failed to {0}")]
    Refused(&'static str, #[source] io::Error),
    /// Another qdisc is in clsact's place, and is not replaced.
    #[error("it has a qdisc {0} in the place of clsact, which is left alone")]
    Foreign(String),
    /// Another tool keeps removing our filters.
    #[error("another tool has removed podtrace's tc filters again and again")]
    Removed,
}

impl ClsactError {
    /// Whether the error comes from a qdisc that was added or removed meanwhile.
    fn is_of_moment(&self) -> bool {
        let Self::Refused(_, error) = self else {
            return false;
        };
        matches!(
            code(error),
            Some(libc::EINVAL | libc::ENOENT | libc::EEXIST)
        )
    }
}

/// The state of our filters at an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FilterState {
    /// They are attached; the filters that come before them, in words.
    Attached(Vec<String>),
    /// At least one of them was removed.
    Removed,
    /// The interface was removed.
    NoInterface,
}

/// A stub to attach.
pub(super) struct Stub<'a> {
    pub(super) direction: Direction,
    pub(super) program: BorrowedFd<'a>,
    pub(super) name: &'static str,
}

/// Our filters at an interface.
#[derive(Clone, Debug)]
pub(super) struct Attached {
    ifindex: u32,
    filters: Vec<Ours>,
    /// Whether podtrace added the qdisc.
    made: bool,
    /// The filters before ours, in words.
    pub(super) before: Vec<String>,
}

/// A filter of ours.
#[derive(Clone, Copy, Debug)]
struct Ours {
    hook: TcHandle,
    priority: u16,
    handle: u32,
}

/// Attaches stubs to an interface of the calling thread's namespace in this order, or none of
/// them.
///
/// # Errors
/// When the interface was removed, has another qdisc in the place of clsact, or the kernel
/// refuses.
pub(super) fn attach(ifindex: u32, stubs: &[Stub<'_>]) -> Result<Attached, ClsactError> {
    let mut netlink = Netlink::open().map_err(refused("open netlink"))?;
    let mut tries = 0..TRIES_MAX;
    loop {
        let mut attached = Attached {
            ifindex,
            filters: Vec::new(),
            made: false,
            before: Vec::new(),
        };
        match attached.add_all(&mut netlink, stubs) {
            Ok(()) => return Ok(attached),
            Err(error) => {
                attached.remove(&mut netlink);
                // Another podtrace may have ended meanwhile and removed its qdisc.
                if tries.next().is_none() || !error.is_of_moment() {
                    return Err(error);
                }
            }
        }
    }
}

/// Detaches existing filters from interfaces of the calling thread's namespace.
///
/// # Errors
/// When there is no netlink socket.
pub(super) fn detach<'a>(
    attached: impl IntoIterator<Item = &'a Attached>,
) -> Result<(), ClsactError> {
    let mut netlink = Netlink::open().map_err(refused("open netlink"))?;
    for attached in attached {
        attached.remove(&mut netlink);
    }
    Ok(())
}

/// The state of our filters at an interface of the calling thread's namespace.
///
/// # Errors
/// When the kernel does not answer.
pub(super) fn state(attached: &Attached) -> io::Result<FilterState> {
    let mut netlink = Netlink::open()?;
    let mut before = Vec::new();
    for ours in &attached.filters {
        let there = filters(&mut netlink, attached.ifindex, ours.hook)?;
        let Some(position) = there.iter().position(|filter| ours.is(filter)) else {
            return Ok(unless_interface_removed(attached, FilterState::Removed));
        };
        // The kernel lists them in the order in which packets reach them.
        let others = there[..position].iter().filter(|other| other.is_in_way());
        before.extend(others.map(|other| other.in_words(ours.hook)));
    }
    Ok(unless_interface_removed(
        attached,
        FilterState::Attached(before),
    ))
}

/// The kernel lists nothing for an interface that was removed.
fn unless_interface_removed(attached: &Attached, state: FilterState) -> FilterState {
    match name_of(attached.ifindex) {
        Some(_) => state,
        None => FilterState::NoInterface,
    }
}

impl Attached {
    /// The interface's index.
    pub(super) fn ifindex(&self) -> u32 {
        self.ifindex
    }

    fn add_all(&mut self, netlink: &mut Netlink, stubs: &[Stub<'_>]) -> Result<(), ClsactError> {
        let mut stubs = stubs;
        if !has_qdisc(netlink, self.ifindex)?
            && let [first, others @ ..] = stubs
            && self.begin(netlink, first)?
        {
            stubs = others;
        }
        stubs.iter().try_for_each(|stub| self.add(netlink, stub))
    }

    /// Adds the qdisc together with its first filter, which marks podtrace as its maker: the
    /// qdisc never exists without that. Returns false if another process added one meanwhile.
    fn begin(&mut self, netlink: &mut Netlink, stub: &Stub<'_>) -> Result<bool, ClsactError> {
        let ours = Ours {
            hook: hook(stub.direction),
            priority: priority_among(&[]),
            handle: handle(true, std::process::id()),
        };
        let qdisc = RouteNetlinkMessage::NewQueueDiscipline(qdisc(self.ifindex));
        let filter = ours.message(self.ifindex, Some(stub));
        let [made, added] = netlink
            .create_all([qdisc, filter])
            .map_err(refused("add the clsact qdisc"))?;
        self.made = made.is_ok();
        if added.is_ok() {
            self.filters.push(ours);
        }
        match (made, added) {
            (Ok(()), Ok(())) => Ok(true),
            (Ok(()), Err(error)) => Err(refused("add a filter")(error)),
            (Err(error), _) if code(&error) == Some(libc::EEXIST) => {
                // An added filter would wrongly mark the qdisc as ours.
                self.remove(netlink);
                self.filters.clear();
                Ok(false)
            }
            (Err(error), _) => Err(refused("add the clsact qdisc")(error)),
        }
    }

    fn add(&mut self, netlink: &mut Netlink, stub: &Stub<'_>) -> Result<(), ClsactError> {
        let hook = hook(stub.direction);
        let there = filters(netlink, self.ifindex, hook).map_err(refused("list filters"))?;
        self.made |= there.iter().any(Filter::marks_own_qdisc);
        let is_dead = |filter: &Filter| matches!(filter.owner(), Ok(Owner::Dead));
        let (dead, others): (Vec<_>, Vec<_>) = there.into_iter().partition(is_dead);
        let priority = priority_among(&others);
        let before = in_way_before(&others, priority);
        self.before
            .extend(before.map(|filter| filter.in_words(hook)));
        let first = std::process::id();
        for number in first..first + HANDLES_MAX {
            let ours = Ours {
                hook,
                priority,
                handle: handle(self.made, number),
            };
            match netlink.create(ours.message(self.ifindex, Some(stub))) {
                Ok(()) => {
                    self.filters.push(ours);
                    // Comes last, so that a filter always marks the maker of the qdisc.
                    for filter in &dead {
                        remove_filter(netlink, self.ifindex, hook, filter);
                    }
                    return Ok(());
                }
                Err(error) if code(&error) == Some(libc::EEXIST) => {}
                Err(error) => return Err(refused("add a filter")(error)),
            }
        }
        Err(refused("add a filter")(io::ErrorKind::AlreadyExists.into()))
    }

    /// A filter that was removed already, with its interface or by another tool, is no error;
    /// one that the kernel refuses to remove does nothing once we have ended.
    fn remove(&self, netlink: &mut Netlink) {
        // The qdisc goes with its filters: it never exists without one that marks its maker.
        if self.made && self.is_alone(netlink) && delete_qdisc(netlink, self.ifindex) {
            return;
        }
        let mut was_there = false;
        for ours in &self.filters {
            was_there |= netlink.remove(ours.message(self.ifindex, None)).is_ok();
        }
        if self.made && was_there {
            remove_qdisc(netlink, self.ifindex);
        }
    }

    /// Whether there are only filters of ours. Without any, the qdisc may belong to another
    /// process by now.
    fn is_alone(&self, netlink: &mut Netlink) -> bool {
        let mut are_there = false;
        let are_others_there = DIRECTIONS.iter().any(|direction| {
            let hook = hook(*direction);
            let is_ours = |filter: &Filter| {
                let mut ours = self.filters.iter().filter(|ours| ours.hook == hook);
                ours.any(|ours| ours.is(filter) || ours.holds(filter))
            };
            let there = filters(netlink, self.ifindex, hook);
            are_there |= there.as_ref().is_ok_and(|there| !there.is_empty());
            !there.is_ok_and(|there| there.iter().all(is_ours))
                || has_chains(netlink, self.ifindex, hook)
        });
        are_there && !are_others_there
    }
}

impl Ours {
    /// Whether a filter of its hook is this one.
    fn is(self, filter: &Filter) -> bool {
        (self.priority, self.handle) == (filter.priority, filter.handle) && filter.is_ours()
    }

    /// Whether a filter of its hook is the entry for all filters of its priority.
    fn holds(self, filter: &Filter) -> bool {
        self.priority == filter.priority && !filter.is_filter()
    }

    /// The request to add the filter with that stub, or to remove it.
    fn message(self, ifindex: u32, stub: Option<&Stub<'_>>) -> RouteNetlinkMessage {
        let header = TcHeader {
            index: ifindex.cast_signed(),
            handle: self.handle.into(),
            parent: self.hook,
            info: u32::from(self.priority) << 16 | u32::from(ALL_PROTOCOLS),
            ..TcHeader::default()
        };
        let mut attributes = vec![TcAttribute::Kind("bpf".into())];
        let Some(stub) = stub else {
            let message = TcMessage::from_parts(header, attributes);
            return RouteNetlinkMessage::DelTrafficFilter(message);
        };
        let options = [
            TcFilterBpfOption::ProgFd(stub.program.as_raw_fd().cast_unsigned()),
            TcFilterBpfOption::ProgName(format!("{NAME}{}", stub.name)),
            TcFilterBpfOption::Flags(TcBpfFlags::DirectAction),
        ];
        attributes.push(TcAttribute::Options(options.map(TcOption::Bpf).into()));
        RouteNetlinkMessage::NewTrafficFilter(TcMessage::from_parts(header, attributes))
    }
}

/// Removes a filter of podtrace; returns whether it existed.
fn remove_filter(netlink: &mut Netlink, ifindex: u32, hook: TcHandle, filter: &Filter) -> bool {
    let ours = Ours {
        hook,
        priority: filter.priority,
        handle: filter.handle,
    };
    netlink.remove(ours.message(ifindex, None)).is_ok()
}

/// The name of an interface of the calling thread's namespace; none if it was removed.
pub(super) fn name_of(ifindex: u32) -> Option<String> {
    let name = if_indextoname(ifindex).ok()?;
    // nix takes libc's failure, a null pointer, for success with an empty name.
    (!name.is_empty()).then(|| shown(OsStr::from_bytes(name.to_bytes())))
}

/// Whether the kernel answered that there is no such interface.
pub(super) fn is_missing_interface(error: &io::Error) -> bool {
    matches!(code(error), Some(libc::ENODEV | libc::ENXIO))
}

fn refused(what: &'static str) -> impl FnOnce(io::Error) -> ClsactError {
    move |source| ClsactError::Refused(what, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No interface has this index.
    const NO_SUCH_INDEX: u32 = i32::MAX.cast_unsigned();

    #[test]
    fn removed_interface_has_no_name() {
        assert_eq!(name_of(1).as_deref(), Some("lo"));
        assert_eq!(name_of(NO_SUCH_INDEX), None);
    }

    #[test]
    fn filters_go_with_their_interface_and_were_not_removed() {
        let stands = |ifindex| {
            let filters = DIRECTIONS.map(|direction| Ours {
                hook: hook(direction),
                priority: 1,
                handle: handle(true, 1),
            });
            state(&Attached {
                ifindex,
                filters: filters.into(),
                made: true,
                before: Vec::new(),
            })
        };
        assert_eq!(stands(NO_SUCH_INDEX).unwrap(), FilterState::NoInterface);
        assert_eq!(stands(1).unwrap(), FilterState::Removed);
    }
}
