//! Checks whether our filters are still attached: other tools may remove them, or add filters
//! before them.
use std::mem;

use super::{Clsact, Filters, in_namespaces};
use crate::probe::{
    Change, ProbeError,
    clsact::{self, ClsactError, FilterState},
};

/// How often removed filters are attached again to an interface: a tool that removes them more
/// often does so on purpose.
const RESTORES_MAX: u8 = 3;

impl Clsact {
    /// Checks all attachments and restores missing ones. Returns the changes since that time,
    /// by interface number.
    pub(super) fn check_all(&mut self, since_ns: u64) -> Vec<(u32, Change)> {
        // Taken out, as restoring needs the programs.
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

    /// Checks an interface of the calling thread's namespace, which has that name.
    fn check_here(&mut self, filters: &mut Filters, netns: &str, since_ns: u64) -> Option<Change> {
        // If there is no answer, the next change leads to the next check.
        match clsact::state(&filters.attached).ok()? {
            FilterState::Attached(mut before) => {
                before.extend(self.before_by_tcx(filters.attached.ifindex()));
                let known = mem::replace(&mut filters.attached.before, before.clone());
                (known != before).then_some(Change::Order { since_ns, before })
            }
            FilterState::Removed => self.restore_here(filters, netns, since_ns),
            FilterState::NoInterface => None,
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
