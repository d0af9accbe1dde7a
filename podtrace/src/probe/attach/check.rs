//! Whether what we have attached by clsact is still there: other tools may remove it, or
//! put theirs before it.
use std::collections::HashMap;

use nix::net::if_::if_indextoname;

use super::{Attached, Hooks, in_namespaces};
use crate::probe::{
    ProbeError,
    clsact::{self, ClsactError, Standing},
};

/// How often filters that others remove are attached again to an interface: whoever does
/// it more often means it.
const RESTORES_MAX: u8 = 3;

/// What has become of what was attached to an interface.
#[derive(Debug)]
pub enum Change {
    /// Others' filters come before ours now, and may end the chain there.
    Behind,
    /// Another tool had removed ours, which are attached again.
    Restored {
        /// When they were removed, in nanoseconds of CLOCK_MONOTONIC.
        since_ns: u64,
    },
    /// Another tool has removed ours, which are not attached any more.
    Removed {
        /// When, in nanoseconds of CLOCK_MONOTONIC.
        since_ns: u64,
        /// Why they are not.
        error: ProbeError,
    },
}

impl Hooks {
    /// Looks at all that is attached by clsact, and attaches again what is not there any
    /// more; what has changed since that time, by number of the interface.
    pub fn check(&mut self, since_ns: u64) -> Vec<(u32, Change)> {
        let mut by_netns: HashMap<_, Vec<u32>> = HashMap::new();
        for (number, attached) in &self.attached {
            if let Attached::Clsact(filters) = attached {
                by_netns.entry(filters.netns).or_default().push(*number);
            }
        }
        let mut changes = Vec::new();
        in_namespaces(by_netns, |netns, numbers| {
            let _ = netns.run(|| {
                for number in numbers {
                    if let Some(change) = self.check_here(number, &netns.name, since_ns) {
                        changes.push((number, change));
                    }
                }
            });
        });
        changes
    }

    /// Looks at an interface of the calling thread's namespace, which has that name.
    fn check_here(&mut self, number: u32, netns: &str, since_ns: u64) -> Option<Change> {
        let Some(Attached::Clsact(filters)) = self.attached.get_mut(&number) else {
            return None;
        };
        // One that does not answer is looked at when the next one changes.
        match clsact::standing(&filters.attached).ok()? {
            Standing::First => {
                filters.attached.is_behind = false;
                None
            }
            Standing::Behind => {
                let was_behind = std::mem::replace(&mut filters.attached.is_behind, true);
                (!was_behind).then_some(Change::Behind)
            }
            Standing::Removed => Some(self.restore_here(number, netns, since_ns)),
            Standing::Gone => None,
        }
    }

    fn restore_here(&mut self, number: u32, netns: &str, since_ns: u64) -> Change {
        let Some(Attached::Clsact(mut filters)) = self.attached.remove(&number) else {
            return Change::Restored { since_ns };
        };
        let ifindex = filters.attached.ifindex();
        let name = if_indextoname(ifindex).unwrap_or_default();
        let _ = clsact::detach([&filters.attached]);
        let again = if filters.restored == RESTORES_MAX {
            Err(ClsactError::Removed)
        } else {
            self.clsact_here(ifindex)
        };
        match again {
            Ok(attached) => {
                filters.attached = attached;
                filters.restored += 1;
                self.attached.insert(number, Attached::Clsact(filters));
                Change::Restored { since_ns }
            }
            Err(source) => Change::Removed {
                since_ns,
                error: ProbeError::Clsact {
                    operation: format!("stay attached to {} in {netns}", name.to_string_lossy()),
                    source,
                },
            },
        }
    }
}
