//! A path where only the hops that match the filter are shown.
use super::Path;

impl Path {
    /// Whether it matches the filter at one hop at least.
    #[must_use]
    pub(crate) fn matches(&self) -> bool {
        self.hops.iter().any(|hop| hop.matches)
    }

    /// Leaves only the hops that match, and what is said of these. Without the others, the path
    /// is incomplete: no time is measured by it.
    pub(crate) fn keep_matching(&mut self) {
        let kept: Vec<bool> = self.hops.iter().map(|hop| hop.matches).collect();
        if !kept.contains(&false) {
            return;
        }
        self.incomplete = true;
        // Where a hop is then, or the next one that is left.
        let moved = |hop: usize| kept.iter().take(hop).filter(|kept| **kept).count();
        self.translations.retain_mut(|translation| {
            let is_shown = kept.iter().skip(translation.hop).any(|kept| *kept);
            translation.hop = moved(translation.hop);
            is_shown
        });
        if let Some(late_of) = &mut self.late_of {
            late_of.hops = moved(late_of.hops);
        }
        if let Some(circle) = &mut self.circle {
            circle.hop = moved(circle.hop);
        }
        if let Some(refusal) = &mut self.refusal {
            refusal.hops = moved(refusal.hops);
        }
        let mut all = kept.iter();
        self.segments
            .retain(|_| all.next().copied().unwrap_or(true));
        self.hops.retain(|hop| hop.matches);
    }
}

#[cfg(test)]
mod tests {
    use crate::path::{
        Segments, Translation,
        builder::tests::path,
        refusal::{Reason, Refusal},
    };

    #[test]
    fn what_is_said_of_hops_moves_with_them() {
        let mut path = path(1);
        let hop = path.hops[0].clone();
        let ends = path.packet.ends().unwrap();
        path.hops = (0..5)
            .map(|ts_ns| super::super::Hop {
                ts_ns,
                matches: ts_ns % 2 == 1,
                ..hop.clone()
            })
            .collect();
        path.segments = (0..5)
            .map(|packets| Segments {
                packets,
                segments: None,
                bytes: 0,
            })
            .collect();
        path.translations = [1, 2, 4]
            .map(|hop| Translation {
                hop,
                before: ends,
                after: ends,
            })
            .to_vec();
        let refusal = |hops| Refusal {
            packet: 2,
            by: "10.244.1.1".parse().unwrap(),
            at: None,
            ts_ns: 9,
            reason: Reason::Reset,
            carried: None,
            hops,
        };
        path.refusal = Some(Box::new(refusal(4)));
        assert!(path.matches());
        path.keep_matching();
        assert_eq!(path.refusal.as_deref(), Some(&refusal(2)));
        let times: Vec<_> = path.hops.iter().map(|hop| hop.ts_ns).collect();
        assert_eq!(times, [1, 3]);
        let packets: Vec<_> = path.segments.iter().map(|seen| seen.packets).collect();
        assert_eq!(packets, [1, 3]);
        // The last is shown by no hop that is left.
        let hops: Vec<_> = path.translations.iter().map(|one| one.hop).collect();
        assert_eq!(hops, [0, 1]);
    }
}
