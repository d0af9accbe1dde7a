//! The results of attaching and detaching.
use super::{Reporter, State, Tap, Taps, point_key};
use crate::{
    model::tap_point::TapPoint,
    probe::{Change, ProbeError, attacher::Report},
    text::sanitize::sanitize,
    update::Update,
};

/// The notice for an interface where other filters come before podtrace's.
const BEHIND: &str = "has another tool's program before podtrace's: packets that it drops \
                      or takes over are not seen there";

/// The notice for an interface where another tool has removed podtrace's.
const RESTORED: &str = "was not traced for a moment: another tool had removed podtrace's tc \
                        filters, which are attached again";

impl Taps {
    /// Applies a report of attaching or detaching.
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
                // An interface removed meanwhile is being detached, which has a report of
                // its own.
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
        // An interface removed meanwhile is being detached.
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

    /// Notes that an interface cannot be tapped, and reports it once.
    pub(super) fn refuse(
        &mut self,
        number: u32,
        point: &TapPoint,
        error: ProbeError,
        reporter: &mut Reporter<'_>,
    ) {
        reporter.update(&Update::Removed { number });
        // A vanished interface went with its pod: the next scan does not show it.
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
