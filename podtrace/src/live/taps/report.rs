//! The results of attaching and detaching.
use std::collections::BTreeSet;

use nix::sys::resource::{Resource, getrlimit};

use super::{Reporter, State, Tap, Taps, point_key};
use crate::{
    model::tap_point::TapPoint,
    probe::{Change, ProbeError, attacher::Report},
    text::sanitize::sanitize,
    update::Update,
};

/// The notice for an interface where another tool has removed podtrace's.
const RESTORED: &str = "was not traced for a moment: another tool had removed podtrace's tc \
                        filters, which are attached again";

impl Taps {
    /// The pods that the interfaces which still wait for their taps are of or lead to; none if others
    /// are among them.
    pub(in crate::live) fn waiting_pods(&self) -> Option<BTreeSet<u64>> {
        let is_waiting = |tap: &&Tap| matches!(tap.state, State::Attaching { .. });
        let waiting = self.taps.iter().filter(is_waiting);
        waiting.map(|tap| tap.point.nearest_pod()).collect()
    }

    /// Applies a report of attaching or detaching.
    pub(in crate::live) fn apply_report(
        &mut self,
        report: Report,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), ProbeError> {
        match report {
            Report::Attached { interface, before } => {
                if let Some(tap) = self.taps.iter_mut().find(|tap| tap.number == interface)
                    && let State::Attaching { announce } = tap.state
                {
                    tap.state = State::Attached;
                    self.was_attached = true;
                    if announce {
                        reporter.notice(&tap.point, "is traced now");
                    }
                    if !before.is_empty() {
                        reporter.notice(&tap.point, &behind(&before));
                    }
                    tap.is_partial = !before.is_empty();
                }
            }
            Report::Changed(number, change) => self.changed(number, change, reporter)?,
            Report::Swept(swept) => {
                let removed = swept.iter().filter(|swept| swept.removed > 0);
                let removed = removed.map(|swept| sanitize(&swept.to_string()));
                reporter.notices.extend(removed);
            }
            Report::Refused(number, error) => {
                // An interface removed meanwhile is being detached, which has its own report.
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

    /// Applies a change of the programs before a tap, or the removal of a tap, by another
    /// tool.
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
            Change::Order { before, .. } => {
                let tap = &mut self.taps[position];
                tap.is_partial = !before.is_empty();
                let notice = if tap.is_partial {
                    behind(&before)
                } else {
                    "is traced in full again: no other tool's program comes before podtrace's"
                        .into()
                };
                reporter.notice(&tap.point, &notice);
            }
            Change::Restored { .. } => reporter.notice(&self.taps[position].point, RESTORED),
            Change::Removed { error, .. } => {
                let tap = self.taps.swap_remove(position);
                self.probe.retire(number)?;
                self.refuse(number, &tap.point, error, reporter);
            }
        }
        Ok(())
    }

    /// Records that an interface cannot be tapped, and reports it once.
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
                format!("; {}", too_few_descriptors())
            } else {
                String::new()
            };
            let reason = format!("{}{hint}", in_words(error));
            reporter.notice(point, &format!("is not traced: {reason}"));
            self.refusal.get_or_insert(reason);
        }
    }
}

/// The notice for an interface where others' programs come before podtrace's.
fn behind(before: &[String]) -> String {
    format!(
        "is traced in part: other tools' programs come before podtrace's ({}), and packets \
         that end there are not seen",
        before.join("; ")
    )
}

/// The limit to raise if descriptors run out.
pub(super) fn too_few_descriptors() -> String {
    // The soft limit is already at its maximum.
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard);
    format!(
        "podtrace may have {limit} files open, and takes two for each interface: raise the \
         hard limit (ulimit -Hn; LimitNOFILE= of a service)"
    )
}

pub(super) fn in_words(error: ProbeError) -> String {
    sanitize(&format!("{:#}", anyhow::Error::from(error)))
}
