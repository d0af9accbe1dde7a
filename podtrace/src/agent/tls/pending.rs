//! Connections that have not shown who they are yet: whoever reaches the port can open them.
use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
};

use tokio::task::AbortHandle;

/// How many there are at a time at most.
pub(super) const PENDING_MAX: usize = 256;

/// Connections whose handshake is under way, the oldest first.
#[derive(Default)]
pub(super) struct Pending(VecDeque<(IpAddr, AbortHandle)>);

impl Pending {
    /// Makes room for another: where there is none, the oldest of the address that has most goes.
    /// One that is honest takes milliseconds. Returns the address that was cut off, if one was.
    pub(super) fn make_room(&mut self) -> Option<IpAddr> {
        if self.0.len() < PENDING_MAX {
            return None;
        }
        self.0.retain(|(_, handshake)| !handshake.is_finished());
        if self.0.len() < PENDING_MAX {
            return None;
        }
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for (from, _) in &self.0 {
            *counts.entry(*from).or_default() += 1;
        }
        let (most, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        let oldest = self.0.iter().position(|(from, _)| *from == most)?;
        let (from, handshake) = self.0.remove(oldest)?;
        handshake.abort();
        Some(from)
    }

    pub(super) fn push(&mut self, from: IpAddr, handshake: AbortHandle) {
        self.0.push_back((from, handshake));
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn who_has_most_makes_room() {
        let (crowd, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut all = Pending::default();
        let honest = tokio::spawn(pending::<()>());
        all.push(other, honest.abort_handle());
        let mut handshakes = Vec::new();
        for _ in 0..3 * PENDING_MAX {
            all.make_room();
            let handshake = tokio::spawn(pending::<()>());
            all.push(crowd, handshake.abort_handle());
            handshakes.push(handshake);
        }
        assert!(!honest.is_finished());
        assert_eq!(all.0.len(), PENDING_MAX);
        let last = handshakes.split_off(handshakes.len() - (PENDING_MAX - 1));
        for handshake in handshakes {
            assert!(handshake.await.unwrap_err().is_cancelled());
        }
        assert!(last.iter().all(|handshake| !handshake.is_finished()));
        // What is over leaves room by itself.
        last.iter().for_each(tokio::task::JoinHandle::abort);
        for handshake in last {
            let _ = handshake.await;
        }
        assert_eq!(all.make_room(), None);
    }
}
