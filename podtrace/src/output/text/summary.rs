//! The summary: what became of the packets, and where events are missing.
use std::fmt::Write as _;

use podtrace_ebpf::record::Direction;

use super::Text;
use crate::{
    model::tap::TapCount,
    output::paint::{LOSS, NUMBER, PLAIN},
    path::{
        Outcome,
        summary::{NotShown, Summary},
    },
    text::count::counted,
    world::World,
};

/// Outcomes of packets that the network, or podtrace, has lost.
const LOSSES: [Outcome; 4] = [
    Outcome::NotSeenFurther,
    Outcome::Dropped,
    Outcome::EventsLost,
    Outcome::Loop,
];

impl Text {
    pub(super) fn summary_lines(
        &self,
        out: &mut String,
        summary: &Summary,
        not_shown: &NotShown,
        world: &World,
    ) {
        out.push('\n');
        let packets = counted(summary.packets, "packet");
        self.painter().paint(out, NUMBER, &packets);
        for (number, count) in summary.outcomes.into_iter().enumerate() {
            let is_loss = LOSSES.iter().any(|loss| loss.index() == number);
            let name = Outcome::NAMES[number].replace('_', " ");
            self.part(out, count > 0, is_loss, &format!("{count} {name}"));
        }
        let Summary {
            incomplete,
            unreadable,
            not_recorded,
            ..
        } = *summary;
        let NotShown {
            packets,
            events: _,
            notices,
        } = *not_shown;
        let left_out = summary.left_out.total();
        for (count, words) in [
            (incomplete, format!("{incomplete} incomplete")),
            (
                unreadable,
                counted(unreadable, "event") + " with unreadable headers",
            ),
            (
                left_out,
                counted(left_out, "packet") + " of the files left out",
            ),
            (packets, counted(packets, "packet") + " not shown"),
            (notices, counted(notices, "notice") + " not shown"),
        ] {
            self.part(out, count > 0, false, &words);
        }
        let total = summary.total();
        out.push_str("\nevents: ");
        let style = if total.missing() > 0 { LOSS } else { PLAIN };
        self.painter().paint(out, style, &total.in_words());
        let words = format!("{not_recorded} not recorded");
        self.part(out, not_recorded > 0, true, &words);
        out.push('\n');
        for ((interface, direction), tap) in &summary.taps {
            if tap.missing() > 0 || !tap.is_conserved() {
                self.tap(out, *interface, *direction, tap, world);
            }
        }
    }

    /// Appends ` · ` and words about something, if there is any of it.
    fn part(&self, out: &mut String, is_any: bool, is_loss: bool, words: &str) {
        if is_any {
            out.push_str(" · ");
            self.painter()
                .paint(out, if is_loss { LOSS } else { PLAIN }, words);
        }
    }

    /// Appends a line for a tap where events are missing.
    fn tap(
        &self,
        out: &mut String,
        interface: u32,
        direction: Direction,
        tap: &TapCount,
        world: &World,
    ) {
        let name = world.tap_points.get(interface).map_or_else(
            || "all others".to_owned(),
            |point| format!("{} {}", world.owner_of(point), point.name),
        );
        let _ = write!(
            out,
            "  {name} {}: {} seen, {} emitted",
            direction.as_str(),
            tap.seen,
            tap.emitted
        );
        for (count, what, style) in [
            (tap.filtered, "filtered", PLAIN),
            (tap.lost_ring, "lost (ring full)", LOSS),
            (tap.undecodable, "undecodable", LOSS),
            (tap.unrecorded, "not recorded", LOSS),
        ] {
            if count > 0 {
                out.push_str(", ");
                self.painter().paint(out, style, &format!("{count} {what}"));
            }
        }
        out.push('\n');
    }
}
