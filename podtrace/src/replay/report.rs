//! Reports, at the end of a replay, what the files lack.
use super::merge::{Merge, Stream};
use crate::{
    model::left_out::{LeftOut, Reason},
    pipeline::Pipeline,
    session::{chain::Chain, input::named},
    text::{count::counted, sanitize::sanitize},
};

/// Upper bound of the places of damage reported one by one.
const DAMAGE_MAX: usize = 20;

/// The result of a replay.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// Events lost or not recorded.
    pub(crate) missing: u64,
    /// Places where a file is damaged.
    pub(crate) damaged: usize,
    /// Packets that gave no event.
    pub(crate) left_out: u64,
    /// Events beyond those that were counted when they were recorded.
    pub(crate) surplus: u64,
    /// Recordings without an end: what they lost last is not known.
    pub(crate) broken_off: usize,
    /// Whether it ended before everything was read, without that being requested.
    pub(crate) is_interrupted: bool,
    /// Whether none of the packets that there were was shown.
    pub(crate) is_empty: bool,
    /// Why nothing was in the part of the files that was asked for, though there were packets.
    pub(crate) missed: Option<String>,
}

impl Played {
    /// Whether everything was read and nothing is missing.
    pub(crate) fn is_whole(&self) -> bool {
        let faults = [self.missing, self.surplus, self.left_out];
        faults == [0; 3] && self.damaged == 0 && self.broken_off == 0
    }

    /// The result if nothing was read.
    pub(super) fn interrupted() -> Self {
        Self {
            is_interrupted: true,
            ..Self::default()
        }
    }
}

/// The packets of link layers that are not decoded, in words.
pub(super) fn undecoded(merge: &Merge) -> Option<String> {
    let mut left_out = LeftOut::default();
    for stream in merge.streams() {
        left_out.add_all(&stream.chain().unread().packets);
    }
    let of_link = |(reason, packets): (Reason, u64)| match reason {
        Reason::LinkType(_) | Reason::OtherLinkType => {
            Some(format!("{} {reason}", counted(packets, "packet")))
        }
        Reason::NoTime | Reason::NoInterface => None,
    };
    let words: Vec<_> = left_out.iter().filter_map(of_link).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// Reports what the files lack. `is_interrupted`: whether they were not read to the end.
pub(super) fn report(merge: &Merge, is_interrupted: bool, pipeline: &mut Pipeline) -> Played {
    let chains = || merge.streams().iter().map(Stream::chain);
    let damaged = report_damage(chains(), pipeline);
    let (twice, between) = merge.held_twice();
    if twice > 0 {
        let events = counted(twice, "event");
        pipeline.notice(&format!(
            "{events} that two recordings of a node hold were taken once"
        ));
    }
    if between > 0 {
        let events = counted(between, "event");
        pipeline.notice(&format!(
            "{events} were left out where one recording of a node takes over from another: nothing tells whether both hold them"
        ));
    }
    let mut left_out = LeftOut::default();
    let (mut surplus, mut broken_off) = (0, 0);
    for stream in merge.streams() {
        let chain = stream.chain();
        let unread = chain.unread();
        let file = named(chain.path());
        if stream.surplus() > 0 {
            surplus += stream.surplus();
            let events = counted(stream.surplus(), "event");
            pipeline.notice(&format!(
                "{file}: {events} more than were recorded: other programs have put some in twice"
            ));
        }
        for (reason, packets) in unread.packets.iter() {
            let packets = counted(packets, "packet");
            pipeline.notice(&format!("{file}: {packets} left out: {reason}"));
        }
        left_out.add_all(&unread.packets);
        if unread.entries > 0 {
            pipeline.notice(&format!(
                "{} left out: of a newer podtrace",
                counted(unread.entries, "entry")
            ));
        }
        let repeated = chain.repeated();
        if repeated > 0 {
            let sections = counted(repeated, "section");
            pipeline.notice(&format!("{file}: {sections} left out: read before"));
        }
        if chain.was_broken_off() && !is_interrupted {
            broken_off += 1;
            pipeline.notice(&format!(
                "{file} ends without a closing block: what was lost in its last moments is not known"
            ));
        }
    }
    let total = left_out.total();
    pipeline.record_left_out(left_out);
    Played {
        damaged,
        left_out: total,
        surplus,
        broken_off,
        ..Played::default()
    }
}

/// Reports the damage; returns the number of damaged places.
fn report_damage<'a>(chains: impl Iterator<Item = &'a Chain>, pipeline: &mut Pipeline) -> usize {
    let (mut damaged, mut reported) = (0, 0);
    for chain in chains {
        for (path, damage) in chain.damage().iter().take(DAMAGE_MAX - reported) {
            reported += 1;
            let text = format!(
                "{} is damaged: {}, {} from byte {} on {} skipped",
                named(path),
                damage.reason,
                counted(damage.len, "byte"),
                damage.offset,
                if damage.len == 1 { "was" } else { "were" }
            );
            pipeline.notice(&sanitize(&text));
        }
        damaged += chain.damaged();
    }
    if damaged > reported {
        pipeline.notice(&format!("{} more places are damaged", damaged - reported));
    }
    damaged
}
