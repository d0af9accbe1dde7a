//! What agents leave out, so that the console can read the rest.
use super::Feed;
use crate::{
    agent::Budget,
    pipeline::Pipeline,
    text::{names::list, sanitize::sanitize},
};

/// The budget of a trace, and what came of it.
pub(super) struct Spending {
    pub(super) budget: Budget,
    /// Whether it was told that it holds.
    is_told: bool,
}

impl Spending {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            budget,
            is_told: false,
        }
    }

    /// Tells once that nodes sample.
    pub(super) fn tell(&mut self, feeds: &[Feed], pipeline: &mut Pipeline) {
        if !self.is_told && sampled(feeds, pipeline).next().is_some() {
            self.is_told = true;
            pipeline.notice(&format!(
                "there is more than {}: nodes leave packets out, which are unknown, not lost",
                self.budget.in_words()
            ));
        }
    }

    /// Tells how much each node has left out at most.
    pub(super) fn sum_up(&self, feeds: &[Feed], pipeline: &mut Pipeline) {
        let mut sampled: Vec<_> = sampled(feeds, pipeline).collect();
        if sampled.is_empty() {
            return;
        }
        sampled.sort_by_key(|(share, _)| std::cmp::Reverse(*share));
        let shares = sampled.iter().map(|(share, feed)| {
            let nodes = feed.info.nodes.join("+");
            format!("{nodes} down to 1 in {share} packets")
        });
        let shares: Vec<_> = shares.collect();
        pipeline.notice(&sanitize(&format!(
            "sampled to stay below {}: {}",
            self.budget.in_words(),
            list(&shares)
        )));
    }
}

/// The nodes that have traced less than what was asked for, and their smallest shares.
fn sampled<'a>(feeds: &'a [Feed], pipeline: &Pipeline) -> impl Iterator<Item = (u32, &'a Feed)> {
    let least = feeds
        .iter()
        .enumerate()
        .map(|(number, feed)| (pipeline.least_share(number), feed));
    least.filter(|(share, feed)| *share > feed.info.sample.max(1))
}
