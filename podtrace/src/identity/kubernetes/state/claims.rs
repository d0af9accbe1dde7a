//! Claims to addresses, now and a moment ago.
use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// How long a claim that has ended is remembered for late packets.
pub(super) const REMEMBER_NS: u64 = 60_000_000_000;
/// Upper bound of the remembered ends of claims.
pub(super) const MAX_RELEASED: usize = 100_000;

/// A claim of `T` from a time on, in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug)]
pub(super) struct Claim<T> {
    pub(super) of: T,
    from_ns: u64,
    /// When it ended; none while it holds.
    until_ns: Option<u64>,
}

impl<T> Claim<T> {
    pub(super) fn is_live(&self) -> bool {
        self.until_ns.is_none()
    }

    pub(super) fn held_at(&self, at_ns: u64) -> bool {
        self.from_ns <= at_ns && self.until_ns.is_none_or(|until_ns| at_ns < until_ns)
    }
}

/// The claims to each `K`.
#[derive(Debug)]
pub(super) struct Claims<K, T> {
    pub(super) by_key: HashMap<K, Vec<Claim<T>>>,
    /// The ends of claims, the oldest first.
    pub(super) released: VecDeque<(u64, K)>,
}

impl<K, T> Default for Claims<K, T> {
    fn default() -> Self {
        Self {
            by_key: HashMap::new(),
            released: VecDeque::new(),
        }
    }
}

impl<K: Copy + Eq + Hash, T> Claims<K, T> {
    /// Begins a claim.
    pub(super) fn begin(&mut self, key: K, of: T, from_ns: u64) {
        let claim = Claim {
            of,
            from_ns,
            until_ns: None,
        };
        // There is nearly always this claim only.
        let claims = self.by_key.entry(key);
        claims.or_insert_with(|| Vec::with_capacity(1)).push(claim);
    }

    /// All remembered claims.
    pub(super) fn to(&self, key: &K) -> impl Iterator<Item = &Claim<T>> {
        self.by_key.get(key).into_iter().flatten()
    }

    /// The claims that hold.
    pub(super) fn live_mut(&mut self, key: &K) -> impl Iterator<Item = &mut Claim<T>> {
        let claims = self.by_key.get_mut(key).into_iter().flatten();
        claims.filter(|claim| claim.is_live())
    }

    /// Ends the claims that hold and for which `is_meant` is true.
    pub(super) fn end(&mut self, key: K, at_ns: u64, is_meant: impl Fn(&T) -> bool) {
        let claims = self.by_key.get_mut(&key).into_iter().flatten();
        for claim in claims.filter(|claim| claim.is_live() && is_meant(&claim.of)) {
            claim.until_ns = Some(at_ns);
            self.released.push_back((at_ns, key));
        }
    }

    /// Drops claims that ended too long ago, or too many of them.
    pub(super) fn forget(&mut self, now_ns: u64) {
        while let Some((at_ns, key)) = self.released.front().copied() {
            if self.released.len() <= MAX_RELEASED && at_ns + REMEMBER_NS > now_ns {
                return;
            }
            self.released.pop_front();
            if let Some(claims) = self.by_key.get_mut(&key) {
                claims.retain(|claim| claim.until_ns.is_none_or(|until_ns| until_ns > at_ns));
                if claims.is_empty() {
                    self.by_key.remove(&key);
                }
            }
        }
    }
}
