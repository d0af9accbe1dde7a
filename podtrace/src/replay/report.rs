//! What a replay reports at its end: what the files lack, in words.
use super::merge::{Merge, Stream};
use crate::{
    model::left_out::LeftOut,
    pipeline::Pipeline,
    session::{chain::Chain, input::named},
    text::sanitize::sanitize,
};

/// Upper bound of the places of damage reported one by one.
const DAMAGE_MAX: usize = 20;

/// The result of a replay.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// Events lost.
    pub(crate) lost: u64,
    /// Places where a file is damaged.
    pub(crate) damaged: usize,
    /// Packets that gave no event.
    pub(crate) left_out: u64,
    /// Whether it ended before all was read, and was not meant to.
    pub(crate) is_interrupted: bool,
}

impl Played {
    /// Whether everything was read and nothing is missing.
    pub(crate) fn is_whole(&self) -> bool {
        self.lost == 0 && self.damaged == 0 && self.left_out == 0
    }

    /// The result where nothing was read.
    pub(super) fn interrupted() -> Self {
        Self {
            is_interrupted: true,
            ..Self::default()
        }
    }
}

/// Reports what the files lack. `is_interrupted`: whether they were not read to the end.
/// Returns at how many places they are damaged, and how many packets gave no event.
pub(super) fn report(merge: &Merge, is_interrupted: bool, pipeline: &mut Pipeline) -> (usize, u64) {
    let chains = || merge.streams().iter().map(Stream::chain);
    let damaged = report_damage(chains(), pipeline);
    let mut left_out = LeftOut::default();
    for chain in chains() {
        let unread = chain.unread();
        let file = named(chain.path());
        for (reason, packets) in unread.packets.iter() {
            let s = if packets == 1 { "" } else { "s" };
            pipeline.notice(&format!("{file}: {packets} packet{s} left out: {reason}"));
        }
        left_out.add_all(&unread.packets);
        if unread.entries > 0 {
            pipeline.notice(&format!(
                "{} entries left out: of a newer podtrace",
                unread.entries
            ));
        }
        let repeated = chain.repeated();
        if repeated > 0 {
            let s = if repeated == 1 { "" } else { "s" };
            pipeline.notice(&format!(
                "{file}: {repeated} section{s} left out: read before"
            ));
        }
        if chain.was_broken_off() && !is_interrupted {
            pipeline.notice(&format!(
                "{file} ends without a closing block: what was lost in its last moments is not known"
            ));
        }
    }
    let total = left_out.total();
    pipeline.note_left_out(left_out);
    (damaged, total)
}

/// Reports the damage; returns at how many places.
fn report_damage<'a>(chains: impl Iterator<Item = &'a Chain>, pipeline: &mut Pipeline) -> usize {
    let (mut damaged, mut reported) = (0, 0);
    for chain in chains {
        for (path, damage) in chain.damage().iter().take(DAMAGE_MAX - reported) {
            reported += 1;
            let text = format!(
                "{} is damaged: {}, {} bytes from byte {} on were skipped",
                named(path),
                damage.reason,
                damage.len,
                damage.offset
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
