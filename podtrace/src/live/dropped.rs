//! The packets that the kernel drops, in a session.
use super::Tracer;
use crate::{
    probe::{ProbeError, drops::Drops},
    text::count::counted,
    update::Update,
};

impl Tracer {
    /// Takes over what the kernel has dropped by now: before paths end that it is about.
    pub(super) fn take_drops(&mut self) {
        let drops = self.drops.as_mut().map(Drops::take).unwrap_or_default();
        if !drops.is_empty() {
            self.update(&Update::Drops { drops });
        }
    }

    /// Reports how many packets the kernel dropped beyond those that it has told of one by one.
    pub(super) fn report_untold(&mut self) -> Result<(), ProbeError> {
        let counts = self.drops.as_ref().map(Drops::counts).transpose()?;
        let all = counts.unwrap_or_default().into_iter();
        let untold = all.filter(|(_, (_, untold))| *untold > 0);
        let lines = untold.map(|(reason, (all, untold))| {
            let packets = counted(all, "packet");
            format!("{reason}: the kernel dropped {packets}, too many to tell of {untold} of them")
        });
        self.notify(lines.collect());
        Ok(())
    }
}
