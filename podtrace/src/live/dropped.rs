//! Receives the packets that the kernel drops.
use anyhow::Context as _;
use tokio::sync::mpsc;

use crate::{
    model::drop::KernelDrop,
    probe::drops::{DropReader, Drops},
    text::count::counted,
};

/// The packets that the kernel drops; none if nobody wants to know, or the kernel does not tell.
pub(super) struct DropFeed(Option<(DropReader, mpsc::Receiver<Vec<KernelDrop>>)>);

impl DropFeed {
    /// Starts to read.
    ///
    /// # Errors
    /// When the reader cannot be started.
    pub(super) fn start(drops: Option<Drops>) -> anyhow::Result<Self> {
        let reader = drops.map(DropReader::spawn).transpose();
        Ok(Self(reader.context("failed to start the reader of drops")?))
    }

    /// The next packets; none once all were read after a stop, or if there is no source.
    pub(super) async fn next(&mut self) -> Option<Vec<KernelDrop>> {
        let (_, received) = self.0.as_mut()?;
        received.recv().await
    }

    /// Those that wait.
    pub(super) fn waiting(&mut self) -> Option<Vec<KernelDrop>> {
        let (_, received) = self.0.as_mut()?;
        received.try_recv().ok()
    }

    /// How many packets the kernel dropped beyond those that it has told of one by one, in a line
    /// for each reason; everything was read.
    ///
    /// # Errors
    /// When the reader has ended early.
    pub(super) fn untold(&mut self) -> anyhow::Result<Vec<String>> {
        let Some((reader, _)) = self.0.take() else {
            return Ok(Vec::new());
        };
        let drops = reader.join().context("failed to read the drops")?;
        let mut lines = Vec::new();
        for (reason, (all, untold)) in drops.counts()? {
            if untold > 0 {
                lines.push(format!(
                    "{reason}: the kernel dropped {}, too many to tell of {untold} of them",
                    counted(all, "packet")
                ));
            }
        }
        Ok(lines)
    }

    /// Ends once everything was read.
    pub(super) fn stop(&self) {
        if let Some((reader, _)) = &self.0 {
            reader.stop();
        }
    }
}
