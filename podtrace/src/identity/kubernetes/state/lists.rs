//! The state of the lists of each resource.
use super::super::Resource;

/// The lists of all resources.
#[derive(Debug, Default)]
pub(super) struct Lists([List; Resource::ALL.len()]);

/// The state of the lists of one resource.
#[derive(Debug, Default)]
pub(super) struct List {
    /// How many have begun.
    pub(super) round: u64,
    /// When the last one began.
    pub(super) began_ns: u64,
    pub(super) outage: Option<Outage>,
}

/// An outage of a resource.
#[derive(Debug)]
pub(super) struct Outage {
    pub(super) since_ns: u64,
    pub(super) reason: String,
}

impl Lists {
    pub(super) fn of(&self, resource: Resource) -> &List {
        &self.0[resource as usize]
    }

    pub(super) fn of_mut(&mut self, resource: Resource) -> &mut List {
        &mut self.0[resource as usize]
    }
}

impl List {
    /// A list begins.
    pub(super) fn restart(&mut self, now_ns: u64) {
        self.round += 1;
        self.began_ns = now_ns;
    }

    /// Records an outage. A repeated report belongs to the same one.
    pub(super) fn begin_outage(&mut self, reason: String, now_ns: u64) {
        let known = self.outage.as_ref();
        let since_ns = known.map_or(now_ns, |outage| outage.since_ns);
        self.outage = Some(Outage { since_ns, reason });
    }
}
