//! Reads until there is nothing more, or enough was read.
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::Player;
use crate::{
    pipeline::Pipeline,
    replay::{
        cluster::Cluster,
        follow::{FOLLOW_PAUSE, newer_files},
        merge::{Merge, Step},
        pace::Pace,
    },
};

/// When a turn takes longer, a consumer waits for room on a disk, and what the nodes have sent
/// meanwhile may be still to be read.
const HELD_UP: Duration = Duration::from_millis(500);

impl Player<'_> {
    /// Reads until the files end or enough is read; sets `has_read` once anything was read.
    pub(super) fn read(
        &mut self,
        merge: &mut Merge,
        pipeline: &mut Pipeline,
        has_read: &mut bool,
    ) -> anyhow::Result<()> {
        if let Some(mut cluster) = self.cluster.take() {
            let read = self.read_live(&mut cluster, merge, pipeline);
            self.cluster = Some(cluster);
            *has_read = true;
            return read;
        }
        let mut pace = self.speed.map(Pace::new);
        while !pipeline.is_done() && !self.stop.is_set() {
            if *has_read && merge.would_wait() {
                pipeline.flush()?;
            }
            let step = merge.step(pipeline, &mut self.selection, self.may_grow)?;
            *has_read = true;
            match step {
                Step::Over => break,
                Step::At(ns) => {
                    if let Some(pace) = &mut pace
                        && let Some(pause) = pace.pause(ns)
                    {
                        pipeline.flush()?;
                        self.stop.sleep(pause)?;
                    }
                }
                Step::Waiting => {
                    pipeline.flush()?;
                    add_newer(merge);
                    self.stop.sleep(FOLLOW_PAUSE)?;
                }
            }
        }
        Ok(())
    }

    /// Reads what the agents stream until they end, are to end, or enough is read.
    fn read_live(
        &mut self,
        cluster: &mut Cluster,
        merge: &mut Merge,
        pipeline: &mut Pipeline,
    ) -> anyhow::Result<()> {
        while !pipeline.is_done() && !cluster.is_over() {
            let begun = Instant::now();
            if self.stop.is_set() || cluster.is_due() {
                cluster.end();
            }
            cluster.take_in(merge, pipeline);
            cluster.correct(merge, pipeline);
            let mut has_moved = false;
            let is_over = loop {
                match merge.step(pipeline, &mut self.selection, true)? {
                    Step::At(_) if pipeline.is_done() => break true,
                    Step::At(_) => has_moved = true,
                    Step::Over => break true,
                    Step::Waiting => break false,
                }
            };
            if is_over && (pipeline.is_done() || !cluster.take_in(merge, pipeline)) {
                break;
            }
            if !has_moved {
                cluster.show_state(merge);
                cluster.tell_ends(merge, pipeline);
                pipeline.flush()?;
                cluster.pause(&self.stop)?;
            }
            if begun.elapsed() > HELD_UP {
                merge.wait_anew();
            }
        }
        cluster.end();
        cluster.tell_ends(merge, pipeline);
        if !pipeline.is_done() {
            cluster.tell_unended(merge, pipeline);
        }
        Ok(())
    }
}

/// Adds the next files of sessions that rotate, if they exist by now.
fn add_newer(merge: &mut Merge) {
    for stream in merge.streams_mut() {
        let files: Vec<PathBuf> = newer_files(stream.chain());
        for file in files {
            stream.chain_mut().add(file);
        }
    }
}
