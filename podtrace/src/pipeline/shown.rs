//! Which packets a pipeline shows, and how many it has shown.
use std::sync::Arc;

use super::{Pipeline, chosen::Scope};
use crate::{
    filter::Filter, model::left_out::LeftOut, packet::Packet, path::summary::NotShown,
    select::Selector,
};

/// The packets that are asked for; all by default.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// What packets have to match.
    pub filter: Option<Arc<Filter>>,
    /// Whether of these only the hops are shown that match.
    pub only_matching: bool,
    /// Whether control traffic is filtered.
    pub no_control: bool,
    /// Which packets are shown beside that.
    pub selector: Option<Arc<Selector>>,
}

impl Asked {
    /// Whether some packets are left out.
    #[must_use]
    pub fn is_part(&self) -> bool {
        self.filter.is_some() || self.selector.is_some() || self.no_control
    }
}

impl Pipeline {
    /// Records that only some of the usual interfaces are watched.
    pub fn set_partial_view(&mut self) {
        self.builder.set_partial_view();
    }

    /// Records that not all packets were traced.
    pub fn set_sampled(&mut self) {
        self.builder.set_sampled();
    }

    /// Records that several sessions trace one packet of so many, and tell whenever they trace
    /// another share.
    pub fn set_common_share(&mut self, share: u32) {
        self.builder.set_common_share(share);
    }

    /// The smallest share of the packets that a session has traced so far: one in so many.
    #[must_use]
    pub fn least_share(&self, session: usize) -> u32 {
        self.builder.least_share(session)
    }

    /// Records that only some packets were recorded.
    pub fn set_selected(&mut self) {
        self.builder.set_selected();
    }

    /// Records the packets of the files that gave no event.
    pub fn record_left_out(&mut self, left_out: LeftOut) {
        self.summary.left_out = left_out;
    }

    /// Whether a socket did not answer who asked it for a connection.
    #[must_use]
    pub fn has_unanswered_syns(&self) -> bool {
        self.summary.unanswered_syns > 0
    }

    /// Shows only the packets that are asked for. Whether an event matches the filter was told when
    /// it was decoded.
    pub fn show_only(&mut self, asked: &Asked) {
        let scope = match asked.only_matching {
            true => Scope::Hops,
            false => Scope::Packets,
        };
        self.chosen.expression = asked.filter.is_some().then_some(scope);
        self.chosen.selector.clone_from(&asked.selector);
        self.filters_control = asked.no_control;
    }

    /// Whether it is control traffic that is filtered.
    pub(super) fn is_filtered(&self, packet: &Packet) -> bool {
        self.filters_control && packet.is_control()
    }

    /// Whether only some packets are shown, or some of their hops.
    #[must_use]
    pub fn shows_part(&self) -> bool {
        self.filters_control || self.chosen.is_part()
    }

    /// Why packets may not have been seen, or were not recorded, if there is a reason for the whole
    /// session.
    #[must_use]
    pub fn unrecorded(&self) -> Option<&'static str> {
        self.builder.unseen()
    }

    /// Why packets may not have been seen or shown, if there is a reason for the whole session.
    pub(super) fn unseen(&self) -> Option<&'static str> {
        if self.shows_part() {
            return Some("only some packets were asked for");
        }
        self.builder.unseen()
    }

    /// Remembers the numbers of the last packets shown, so many of them; only where some
    /// are asked for.
    pub fn remember_last(&mut self, packets: u64) {
        self.last_shown.packets = packets;
    }

    /// The first of the remembered numbers.
    #[must_use]
    pub fn first_of_last(&self) -> Option<u64> {
        self.last_shown.first()
    }

    /// Shows only packets from this number on.
    pub fn show_from(&mut self, packet: u64) {
        self.show_from = packet;
    }

    /// Nanoseconds from the first event of the packets to show to the last.
    #[must_use]
    pub fn shown_ns(&self) -> u64 {
        self.span_ns
            .map_or(0, |(first_ns, last_ns)| last_ns - first_ns)
    }

    /// Whether all requested packets were shown, or a consumer has failed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.has_shown_all() || self.consumers.has_failed()
    }

    /// Whether all requested packets were shown.
    pub(super) fn has_shown_all(&self) -> bool {
        self.count.is_some_and(|count| {
            let not_shown = self.not_shown().packets;
            self.summary.packets.saturating_sub(not_shown) >= count
        })
    }

    /// Items that the consumers left out.
    #[must_use]
    pub fn not_shown(&self) -> NotShown {
        self.consumers.not_shown()
    }
}
