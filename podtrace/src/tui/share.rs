//! Which paths of a busy live trace the screen gets: it cannot be read as fast as they come, and
//! putting them in words takes longer than tracing them.
use crate::{map::Map, packet::Protocol, path::Path};

/// For how long paths are counted together, in nanoseconds.
const TURN_NS: u64 = 100_000_000;
/// Upper bound of the paths of a kind in that time: several screens.
const TURN_PATHS: u32 = 500;

/// Paths that do not crowd out others, so that one ping shows in a flood, and so does what is lost
/// or matches what the user has typed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    protocol: Protocol,
    has_arrived: bool,
    is_wanted: bool,
}

/// How many of each kind the screen got in this turn.
#[derive(Default)]
pub(super) struct Shares {
    began_ns: u64,
    got: Map<Kind, u32>,
}

impl Shares {
    /// Whether the screen gets a path. `is_wanted`: whether the user looks for it.
    pub(super) fn has_room(&mut self, path: &Path, is_wanted: bool) -> bool {
        let now_ns = path.last_ns();
        if now_ns.saturating_sub(self.began_ns) >= TURN_NS {
            self.began_ns = now_ns;
            self.got.clear();
        }
        let kind = Kind {
            protocol: path.packet.protocol(),
            has_arrived: path.outcome.has_gone_on(),
            is_wanted,
        };
        let got = self.got.entry(kind).or_default();
        let has_room = *got < TURN_PATHS;
        *got += u32::from(has_room);
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::{Outcome, builder::tests::path};

    #[test]
    fn kinds_do_not_crowd_each_other_out() {
        let mut shares = Shares::default();
        let mut got = |ns: u64, outcome, is_wanted| {
            let mut path = path(1);
            path.outcome = outcome;
            for hop in &mut path.hops {
                hop.ts_ns = ns;
            }
            shares.has_room(&path, is_wanted)
        };
        let begin_ns = 3 * TURN_NS;
        for n in 0..1000 {
            let has_room = got(begin_ns + n, Outcome::Delivered, false);
            assert_eq!(has_room, n < u64::from(TURN_PATHS));
        }
        assert!(got(begin_ns, Outcome::NotSeenFurther, false));
        assert!(got(begin_ns, Outcome::Delivered, true));
        assert!(!got(begin_ns, Outcome::Delivered, false));
        assert!(got(begin_ns + TURN_NS, Outcome::Delivered, false));
    }
}
