//! Names that may still come.
use super::Identities;

/// How long a new namespace or cgroup waits for its name, in nanoseconds: a runtime reports
/// it within milliseconds.
pub const NAME_WAIT_NS: u64 = 1_000_000_000;

impl Identities {
    /// Whether anything new may still receive its name: a quick answer for the many packets
    /// of a quiet node.
    #[must_use]
    pub fn is_waiting(&self, now_ns: u64) -> bool {
        let newest_ns = self.newest_ns.max(self.sockets.newest_ns());
        !self.is_steady() || now_ns.saturating_sub(newest_ns) < NAME_WAIT_NS
    }

    /// Whether the namespace is so new that its addresses may still come.
    #[must_use]
    pub fn is_new(&self, netns: u64, now_ns: u64) -> bool {
        self.namespaces
            .get(&netns)
            .is_some_and(|known| now_ns.saturating_sub(known.first_ns) < NAME_WAIT_NS)
    }

    /// Whether the namespace's name may still come.
    #[must_use]
    pub fn awaits_pod(&self, netns: u64, now_ns: u64) -> bool {
        if self.known_pod(netns).is_some() {
            return false;
        }
        let node = self.namespaces.get(&netns).map(|known| known.info.node);
        node.is_some_and(|node| self.is_fed(node)) && self.is_new(netns, now_ns)
    }

    /// Whether the socket owner's name may still come.
    #[must_use]
    pub fn awaits_socket(&self, cgroup: u64, now_ns: u64) -> bool {
        let since = self.sockets.awaited_since(cgroup, &self.pods);
        !self.runtimes.is_empty()
            && since.is_some_and(|since| now_ns.saturating_sub(since) < NAME_WAIT_NS)
    }

    fn is_fed(&self, node: usize) -> bool {
        self.runtimes.values().any(|served| *served == node)
    }
}
