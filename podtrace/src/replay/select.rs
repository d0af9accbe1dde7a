//! Selects events of the files.
use std::collections::BTreeSet;

use anyhow::bail;
use jiff::{Timestamp, tz::TimeZone};
use podtrace_ebpf::record::Direction;

use crate::{
    clock::nanos,
    model::{
        event::Event,
        tap_name::TapName,
        tap_point::{Role, TapPoint},
    },
    pipeline::Pipeline,
    replay::{
        merge::Select,
        options::{Moment, PlayerOptions, Span},
    },
    text::names::{list, listed},
    world::World,
};

/// Selects a time span and interfaces.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pub(super) interfaces: Vec<TapName>,
    /// The numbers of the only selected interface, without its sockets.
    pub(super) vantage: Option<BTreeSet<u32>>,
    pub(super) since: Option<Moment>,
    pub(super) until: Option<Moment>,
    pub(super) first: Option<Span>,
    /// Whether a tap point has matched.
    pub(super) has_matched: bool,
    /// Time of the first packet.
    pub(super) begin_ns: Option<u64>,
    /// Time of the last packet so far, selected or not.
    pub(super) last_ns: u64,
    /// Whether a packet was in the selected time.
    pub(super) is_time_met: bool,
    /// Whether a packet was selected.
    pub(super) is_met: bool,
    /// The selected time; known from the first packet on.
    pub(super) from_ns: u64,
    pub(super) until_ns: Option<u64>,
}

impl Selection {
    /// The selection that the options describe.
    ///
    /// # Errors
    /// When nothing can be in the selected time.
    pub(super) fn of(args: &PlayerOptions) -> anyhow::Result<Self> {
        let is_empty = match (args.since, args.until) {
            (Some(Moment::Utc(since)), Some(Moment::Utc(until))) => since >= until,
            (Some(Moment::AfterBegin(since)), Some(Moment::AfterBegin(until))) => since >= until,
            _ => false,
        };
        if is_empty {
            bail!(
                "nothing is both after --since and before --until: --since has to be earlier\nhint: \
                 --since +10s --until +20s"
            );
        }
        Ok(Self {
            interfaces: args.interfaces.clone(),
            since: args.since,
            until: args.until,
            first: args.first,
            ..Self::default()
        })
    }

    /// Records the time of the first packet.
    fn begin(&mut self, ts_ns: u64) {
        self.begin_ns = Some(ts_ns);
        if let Some(since) = self.since {
            self.from_ns = self.from_ns.max(since.absolute_ns(ts_ns));
        }
        let until = self.until.map(|until| until.absolute_ns(ts_ns));
        let first = match self.first {
            Some(Span::Time(span)) => {
                // The span within the selected time.
                Some(self.from_ns.max(ts_ns).saturating_add(nanos(span)))
            }
            _ => None,
        };
        self.until_ns = [until, first].into_iter().flatten().min();
    }

    /// Whether only some tap points are selected.
    pub(super) fn is_part(&self) -> bool {
        !self.interfaces.is_empty() || self.vantage.is_some()
    }

    /// The reason why no packet was selected, if there were any.
    pub(super) fn missed(&self, world: &World) -> Option<String> {
        let begin_ns = self.begin_ns.filter(|_| !self.is_met)?;
        if self.is_time_met {
            return self.missed_interfaces(world);
        }
        let has_more = self.is_over(self.last_ns);
        let (begin, last) = (local(begin_ns), local(self.last_ns));
        let span = if has_more {
            format!("the first packet of the recording is of {begin}")
        } else {
            format!("the packets of the recording are of {begin} to {last}")
        };
        let from = (self.from_ns > 0).then(|| format!(" from {} on", local(self.from_ns)));
        let until = self.until_ns.map(|ns| format!(" until {}", local(ns)));
        Some(format!(
            "no packet is in the time selected,{}{}: {span}",
            from.unwrap_or_default(),
            until.unwrap_or_default()
        ))
    }

    /// The existing interfaces, if the selected ones had no packets.
    fn missed_interfaces(&self, world: &World) -> Option<String> {
        let first = self.interfaces.first()?;
        let points =
            (0..world.tap_points.next_number()).filter_map(|number| world.tap_points.get(number));
        let points: Vec<_> = points.collect();
        let mut fitting = points.iter();
        let others = if fitting.any(|point| is_chosen(&self.interfaces, point, world)) {
            String::new()
        } else {
            let names = points.iter().map(|point| &*point.name);
            format!(": there is {}", listed(names, Some(&first.to_string())))
        };
        let given: Vec<_> = self.interfaces.iter().map(ToString::to_string).collect();
        Some(format!("no packet was seen at {}{others}", list(&given)))
    }

    /// Whether the event's tap point is selected.
    fn wants_tap_point(&self, event: &Event, point: &TapPoint, world: &World) -> bool {
        let chosen = self.interfaces.is_empty() || is_chosen(&self.interfaces, point, world);
        let is_there = |numbers: &BTreeSet<u32>| {
            // Every packet of a loopback interface is sent there and received again.
            let is_twice = match event.direction {
                Direction::Socket => true,
                Direction::Egress => point.role == Role::Loopback,
                Direction::Ingress | Direction::Unknown => false,
            };
            numbers.contains(&event.interface) && !is_twice
        };
        chosen && self.vantage.as_ref().is_none_or(is_there)
    }
}

impl Select for Selection {
    fn wants(&mut self, event: &Event, pipeline: &Pipeline) -> bool {
        if self.begin_ns.is_none() {
            self.begin(event.ts_ns);
        }
        self.last_ns = self.last_ns.max(event.ts_ns);
        let in_time = event.ts_ns >= self.from_ns
            && self.until_ns.is_none_or(|until_ns| event.ts_ns < until_ns);
        self.is_time_met |= in_time;
        if !in_time || !self.is_part() {
            self.is_met |= in_time;
            return in_time;
        }
        let world = pipeline.world();
        let point = world.tap_points.get(event.interface);
        let wanted = point.is_some_and(|point| self.wants_tap_point(event, point, world));
        self.has_matched |= wanted;
        self.is_met |= wanted;
        wanted
    }

    fn is_over(&self, ts_ns: u64) -> bool {
        self.until_ns.is_some_and(|until_ns| ts_ns >= until_ns)
    }
}

/// Whether one of the names means an interface.
pub(super) fn is_chosen(names: &[TapName], point: &TapPoint, world: &World) -> bool {
    let mut names = names.iter();
    names.any(|name| name.fits(&point.name, || world.owner_of(point)))
}

/// A time as local time of day.
fn local(ns: u64) -> String {
    let time = Timestamp::from_nanosecond(ns.into()).unwrap_or(Timestamp::MAX);
    let time = time.to_zoned(TimeZone::system());
    time.strftime("%F %T%.6f").to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn spans_count_from_what_is_wanted() {
        let mut selection = Selection {
            since: Some(Moment::AfterBegin(Duration::from_secs(10))),
            first: Some(Span::Time(Duration::from_secs(5))),
            ..Selection::default()
        };
        selection.begin(1_000_000_000_000);
        assert_eq!(selection.from_ns, 1_010_000_000_000);
        assert_eq!(selection.until_ns, Some(1_015_000_000_000));
        assert!(!selection.is_over(1_014_999_999_999));
        assert!(selection.is_over(1_015_000_000_000));
    }

    #[test]
    fn earlier_end_limits_the_selection() {
        let mut selection = Selection {
            until: Some(Moment::Utc(7_000_000_000)),
            first: Some(Span::Time(Duration::from_secs(5))),
            ..Selection::default()
        };
        selection.begin(1_000_000_000);
        assert_eq!(selection.until_ns, Some(6_000_000_000));
    }
}
