//! Interfaces of a session that have no taps, and times of which packets are missing.
use super::Stream;
use crate::{model::origin::Origin, pipeline::Pipeline, update::Update};

impl Stream {
    /// Records that the session's packets of that time are not all there: what was not captured,
    /// is damaged or left out is not lost.
    pub(in super::super) fn watches_nothing(
        &self,
        from_ns: u64,
        to_ns: u64,
        pipeline: &mut Pipeline,
    ) {
        self.begins_to_miss(from_ns, pipeline);
        self.state_untapped(self.untapped_here(), (from_ns, to_ns), pipeline);
    }

    /// Records that the session's packets are not all there from that time on.
    pub(in super::super) fn begins_to_miss(&self, from_ns: u64, pipeline: &mut Pipeline) {
        self.state_untapped((1, 0, 0), (from_ns, from_ns), pipeline);
    }

    /// The interfaces without a tap: to come, refused, partial.
    pub(in super::super) fn untapped_here(&self) -> (u64, u64, u64) {
        let known = self.untapped.get(&self.numbers.origin().session);
        known.copied().unwrap_or_default()
    }

    /// Records that no other session watches its interfaces any more.
    pub(in super::super) fn watch_alone(&self, now_ns: u64, pipeline: &mut Pipeline) {
        self.state_untapped(self.untapped_here(), (now_ns, now_ns), pipeline);
    }

    fn state_untapped(
        &self,
        (left, refused, partial): (u64, u64, u64),
        (since_ns, ts_ns): (u64, u64),
        pipeline: &mut Pipeline,
    ) {
        let update = Update::Attaching {
            left,
            refused,
            partial,
            pods: Vec::new(),
            since_ns: Some(since_ns),
            begun_ns: None,
            ts_ns,
        };
        pipeline.apply(self.numbers.origin(), &update);
    }

    /// Notes the interfaces without a tap. What a section repeats is no news.
    pub(super) fn note_untapped(&mut self, origin: &Origin, update: &mut Update) {
        if let Update::Attaching {
            left,
            refused,
            partial,
            since_ns,
            begun_ns,
            ts_ns,
            ..
        } = update
        {
            let now = (*left, *refused, *partial);
            let known = self.untapped.insert(origin.session, now);
            if known == Some(now) {
                since_ns.get_or_insert(*ts_ns);
            } else if known.is_none() && self.is_merged {
                // Before it began, it left nothing out.
                let first_ns = self.first_ns.or_else(|| self.tapped_ns());
                let first_ns = first_ns.unwrap_or(*ts_ns);
                begun_ns.get_or_insert(first_ns.min(*ts_ns));
            }
        }
    }
}
