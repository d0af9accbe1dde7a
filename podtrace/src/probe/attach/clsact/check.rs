//! Whether what we have attached by clsact is still there: other tools may remove it, or
//! put theirs before it.
use std::mem;

use super::{Clsact, Filters, in_namespaces};
use crate::probe::{
    Change, ProbeError,
    clsact::{self, ClsactError, Standing},
};

/// How often filters that others remove are attached again to an interface: whoever does
/// it more often means it.
const RESTORES_MAX: u8 = 3;

impl Clsact {
    /// Looks at all that is attached, and attaches again what is not there any more; what
    /// has changed since that time, by number of the interface.
    pub(super) fn check_all(&mut self, since_ns: u64) -> Vec<(u32, Change)> {
        // Apart: to attach again takes the programs.
        let mut all = mem::take(&mut self.attached);
        let there = all.iter_mut();
        let there = there.map(|(number, filters)| (filters.netns, (*number, filters)));
        let mut changes = Vec::new();
        in_namespaces(there, |netns, there| {
            for (number, filters) in there {
                let change = self.check_here(filters, &netns.name, since_ns);
                changes.extend(change.map(|change| (number, change)));
            }
        });
        for (number, change) in &changes {
            if matches!(change, Change::Removed { .. }) {
                all.remove(number);
            }
        }
        self.attached = all;
        changes
    }

    /// Looks at an interface of the calling thread's namespace, which has that name.
    fn check_here(&mut self, filters: &mut Filters, netns: &str, since_ns: u64) -> Option<Change> {
        // One that does not answer is looked at when the next one changes.
        match clsact::standing(&filters.attached).ok()? {
            Standing::There(mut before) => {
                before.extend(self.before_by_tcx(filters.attached.ifindex()));
                let known = mem::replace(&mut filters.attached.before, before.clone());
                (known != before).then_some(Change::Order { since_ns, before })
            }
            Standing::Removed => self.restore_here(filters, netns, since_ns),
            Standing::Gone => None,
        }
    }

    /// None if the interface vanishes meanwhile: the next scan shows that.
    fn restore_here(
        &mut self,
        filters: &mut Filters,
        netns: &str,
        since_ns: u64,
    ) -> Option<Change> {
        let ifindex = filters.attached.ifindex();
        let name = clsact::name_of(ifindex)?;
        let _ = clsact::detach([&filters.attached]);
        let again = if filters.restored == RESTORES_MAX {
            Err(ClsactError::Removed)
        } else {
            self.attach_here(ifindex)
        };
        match again {
            Ok(attached) => {
                filters.attached = attached;
                filters.restored += 1;
                Some(Change::Restored { since_ns })
            }
            Err(source) => {
                let operation = format!("stay attached to {name} in {netns}");
                let error = ProbeError::Clsact { operation, source };
                (!error.is_vanished()).then_some(Change::Removed { since_ns, error })
            }
        }
    }
}
