//! What has come of attaching and detaching.
use super::{Reporter, State, Tap, Taps, point_key};
use crate::{
    model::tap_point::TapPoint,
    probe::{Change, ProbeError, attacher::Report},
    text::sanitize::sanitize,
    update::Update,
};

/// What is said of an interface where others' filters come before ours.
const BEHIND: &str = "has another tool's program before podtrace's: packets that it drops \
                      or takes over are not seen there";

/// What is said of an interface where another tool has removed ours.
const RESTORED: &str = "was not traced for a moment: another tool had removed podtrace's tc \
                        filters, which are attached again";

impl Taps {
    /// Takes over what was attached to or detached from.
    pub(in crate::live) fn apply_report(
        &mut self,
        report: Report,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), ProbeError> {
        match report {
            Report::Attached {
                interface,
                is_behind,
            } => {
                if let Some(tap) = self.taps.iter_mut().find(|tap| tap.number == interface)
                    && let State::Attaching { announce } = tap.state
                {
                    tap.state = State::Attached;
                    self.was_attached = true;
                    if announce {
                        reporter.notice(&tap.point, "is traced now");
                    }
                    if is_behind {
                        reporter.notice(&tap.point, BEHIND);
                    }
                }
            }
            Report::Changed(number, change) => self.changed(number, change, reporter)?,
            Report::Swept(swept) => {
                let removed = swept.iter().filter(|swept| swept.removed > 0);
                let removed = removed.map(|swept| sanitize(&swept.to_string()));
                reporter.notices.extend(removed);
            }
            Report::Refused(number, error) => {
                // One that is gone meanwhile is detached from, which is told too.
                let is_it = |tap: &Tap| {
                    tap.number == number && matches!(tap.state, State::Attaching { .. })
                };
                if let Some(position) = self.taps.iter().position(is_it) {
                    let tap = self.taps.swap_remove(position);
                    self.probe.retire(number)?;
                    self.refuse(number, &tap.point, error, reporter);
                }
            }
            Report::Detached(number) => {
                if let Some(position) = self.taps.iter().position(|tap| tap.number == number) {
                    let tap = self.taps.swap_remove(position);
                    self.probe.retire(number)?;
                    if let State::Detaching { next: Some(target) } = tap.state {
                        self.tap(*target, reporter)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Another tool has changed what comes before a tap, or removed it.
    fn changed(
        &mut self,
        number: u32,
        change: Change,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), ProbeError> {
        // One that is gone meanwhile is detached from.
        let is_it = |tap: &Tap| tap.number == number && matches!(tap.state, State::Attached);
        let Some(position) = self.taps.iter().position(is_it) else {
            return Ok(());
        };
        match change {
            Change::Behind => reporter.notice(&self.taps[position].point, BEHIND),
            Change::Restored { .. } => reporter.notice(&self.taps[position].point, RESTORED),
            Change::Removed { error, .. } => {
                let tap = self.taps.swap_remove(position);
                self.probe.retire(number)?;
                self.refuse(number, &tap.point, error, reporter);
            }
        }
        Ok(())
    }

    /// An interface cannot be tapped: it is said once.
    pub(super) fn refuse(
        &mut self,
        number: u32,
        point: &TapPoint,
        error: ProbeError,
        reporter: &mut Reporter<'_>,
    ) {
        reporter.update(&Update::Removed { number });
        // With its pod: the next scan does not show it.
        if !error.is_vanished() {
            self.refused.insert(point_key(point));
            let hint = if error.is_out_of_descriptors() {
                "; two are taken for each interface: ulimit -n is too low"
            } else {
                ""
            };
            let reason = format!("{}{hint}", in_words(error));
            reporter.notice(point, &format!("is not traced: {reason}"));
            self.refusal.get_or_insert(reason);
        }
    }
}

pub(super) fn in_words(error: ProbeError) -> String {
    sanitize(&format!("{:#}", anyhow::Error::from(error)))
}
