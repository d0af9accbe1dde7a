//! Attaching by clsact, where there is no TCX.
//!
//! The kernel keeps a filter of clsact when the process that made it dies. So what is
//! attached is a stub, which calls the tap through an array of programs that only we
//! hold: the kernel empties it when our last descriptor of it is closed, however we
//! end, and what is left does nothing. It is known by its name and handle, and removed
//! at the next start or by `podtrace cleanup`.
//!
//! Nothing of others is touched: a qdisc is removed only if podtrace has made it and
//! nobody else's filter is there.
mod filter;
mod netlink;
mod qdisc;
mod sweep;
mod watch;

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
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
pub use sweep::{Swept, sweep, sweep_all};
pub(super) use watch::watch;

/// Those that clsact has hooks for.
const DIRECTIONS: [Direction; 2] = [Direction::Egress, Direction::Ingress];
/// Handles that are tried until one is free.
const HANDLES_MAX: u32 = 64;
/// How often it is tried to attach once more.
const TRIES_MAX: u32 = 3;

/// Why an interface could not be attached to.
#[derive(Debug, Error)]
pub enum ClsactError {
    /// The kernel refused something.
    #[error("failed to {0}")]
    Refused(&'static str, #[source] io::Error),
    /// What is in clsact's place is not replaced.
    #[error("it has a qdisc {0} in the place of clsact, which is left alone")]
    Foreign(String),
    /// Another tool does not let ours be.
    #[error("another tool has removed podtrace's tc filters again and again")]
    Removed,
}

impl ClsactError {
    /// Whether the qdisc has gone or come while something was done in it.
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

/// How filters of ours stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Among others: which come before them, in words.
    There(Vec<String>),
    /// One of them, at least, is not there any more.
    Removed,
    /// The interface is not there any more.
    Gone,
}

/// A stub to attach.
pub(super) struct Stub<'a> {
    pub(super) direction: Direction,
    pub(super) program: BorrowedFd<'a>,
    pub(super) name: &'static str,
}

/// What is attached to an interface.
#[derive(Clone, Debug)]
pub(super) struct Attached {
    ifindex: u32,
    filters: Vec<Ours>,
    /// Whether podtrace has made the qdisc.
    made: bool,
    /// What comes before ours, in words.
    pub(super) before: Vec<String>,
}

/// A filter of ours.
#[derive(Clone, Copy, Debug)]
struct Ours {
    hook: TcHandle,
    priority: u16,
    handle: u32,
}

/// Attaches stubs to an interface of the calling thread's namespace in this order, or
/// none of them.
///
/// # Errors
/// When the interface is gone, has another qdisc in the place of clsact, or the kernel
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
                // Another podtrace may have ended meanwhile, and taken its qdisc along.
                if tries.next().is_none() || !error.is_of_moment() {
                    return Err(error);
                }
            }
        }
    }
}

/// Detaches from interfaces of the calling thread's namespace, as far as they are there.
///
/// # Errors
/// When netlink cannot be had.
pub(super) fn detach<'a>(
    attached: impl IntoIterator<Item = &'a Attached>,
) -> Result<(), ClsactError> {
    let mut netlink = Netlink::open().map_err(refused("open netlink"))?;
    for attached in attached {
        attached.remove(&mut netlink);
    }
    Ok(())
}

/// How filters of ours stand at an interface of the calling thread's namespace.
///
/// # Errors
/// When the kernel does not tell.
pub(super) fn standing(attached: &Attached) -> io::Result<Standing> {
    let mut netlink = Netlink::open()?;
    let mut before = Vec::new();
    for ours in &attached.filters {
        let there = filters(&mut netlink, attached.ifindex, ours.hook)?;
        let Some(position) = there.iter().position(|filter| ours.is(filter)) else {
            return Ok(standing_unless_gone(attached, Standing::Removed));
        };
        // The kernel lists them in the order in which packets come to them.
        let others = there[..position].iter().filter(|other| other.is_in_way());
        before.extend(others.map(|other| other.in_words(ours.hook)));
    }
    Ok(standing_unless_gone(attached, Standing::There(before)))
}

/// The kernel lists nothing for an interface that is gone.
fn standing_unless_gone(attached: &Attached, standing: Standing) -> Standing {
    match if_indextoname(attached.ifindex) {
        Ok(_) => standing,
        Err(_) => Standing::Gone,
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

    /// Makes the qdisc with the first filter in it, which tells that podtrace has made it:
    /// at no moment is it there without. False if another has made one meanwhile.
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
                // What was added tells what is not so.
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
        self.made |= there.iter().any(Filter::tells_made);
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
                    // Last: at no moment is there none that tells who has made the qdisc.
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

    /// What is gone already, with its interface or by somebody else, is no error; and
    /// what the kernel refuses to remove does nothing once we have ended.
    fn remove(&self, netlink: &mut Netlink) {
        // With the qdisc its filters go: it is never there without one that tells whose
        // it is.
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

    /// Whether there are filters of ours, and nobody else's. Without ours the qdisc may be
    /// another's by now.
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
    /// Whether that one of its hook is it.
    fn is(self, filter: &Filter) -> bool {
        (self.priority, self.handle) == (filter.priority, filter.handle) && filter.looks_ours()
    }

    /// Whether that one of its hook holds it together with others of its priority.
    fn holds(self, filter: &Filter) -> bool {
        self.priority == filter.priority && !filter.is_filter()
    }

    /// The request to add it with that stub, or to remove it.
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

/// Removes a filter of podtrace's; whether it was there.
fn remove_filter(netlink: &mut Netlink, ifindex: u32, hook: TcHandle, filter: &Filter) -> bool {
    let ours = Ours {
        hook,
        priority: filter.priority,
        handle: filter.handle,
    };
    netlink.remove(ours.message(ifindex, None)).is_ok()
}

/// Whether the kernel's answer is that there is no such interface.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(code(error), Some(libc::ENODEV | libc::ENXIO))
}

fn refused(what: &'static str) -> impl FnOnce(io::Error) -> ClsactError {
    move |source| ClsactError::Refused(what, source)
}
