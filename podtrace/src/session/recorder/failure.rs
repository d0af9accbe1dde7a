//! Handles reports and failures of the files of a recording.
use std::{
    thread,
    time::{Duration, Instant},
};

use podtrace_ebpf::record::Direction;

use super::{PATIENCE, Recorder};
use crate::{
    model::loss::LostSpan,
    session::{
        files::{Chunk, Closed, EventCounts, Report, SessionFiles},
        format::Entry,
        progress::Progress,
    },
    text::{count::counted, escape::shown, sanitize::sanitize},
};

/// Pause between two checks of the queue at the end.
const ROOM_PAUSE: Duration = Duration::from_millis(2);

impl Recorder {
    /// Events that were not recorded so far.
    #[must_use]
    pub fn not_recorded(&self) -> u64 {
        self.counts.not_recorded_in_all()
    }

    pub(super) fn show_progress(&self) {
        self.progress.set(Progress {
            events: self.counts.recorded_in_all(),
            not_recorded: self.not_recorded(),
            bytes: self.files.as_ref().map_or(0, SessionFiles::written),
            files: self.files_begun,
            deleted: self.files_deleted,
            file: self.file.clone(),
        });
    }

    /// Processes the reports of the files; returns notices.
    pub(super) fn take_reports(&mut self) -> Vec<String> {
        let reports = self
            .files
            .as_ref()
            .map_or_else(Vec::new, |files| files.reports());
        self.take_all(reports)
    }

    fn take_all(&mut self, reports: Vec<Report>) -> Vec<String> {
        let mut notices = Vec::new();
        for report in reports {
            match report {
                Report::Opened { path } => {
                    self.files_begun += 1;
                    self.file = Some(path);
                }
                Report::Deleted { .. } => self.files_deleted += 1,
                Report::NotDeleted(error) => notices.push(format!("recording: {error}")),
                // A patient recording has nothing to retry for.
                Report::Failed(error) if self.is_patient || error.is_final() => {
                    self.has_failed = true;
                    self.failure.get_or_insert_with(|| error.into());
                }
                Report::Failed(error) => {
                    self.break_off();
                    self.failing_ns = Some(self.now_ns);
                    let again = if error.is_at_limit() {
                        ""
                    } else {
                        " (tried again every second)"
                    };
                    notices.push(format!(
                        "recording stopped, tracing goes on: {error}{again}"
                    ));
                }
                Report::Resumed { path } => {
                    self.failing_ns = None;
                    self.is_behind = true;
                    notices.push(format!("recording again: {}", shown(path)));
                }
                Report::NotWritten(events) => self.take_back(&events),
            }
        }
        for notice in &mut notices {
            *notice = sanitize(notice);
        }
        notices
    }

    /// Stops writing until a section begins: waiting events are not recorded.
    pub(super) fn break_off(&mut self) {
        let mut lost = self.take_chunk(Chunk::default()).events;
        for chunk in std::mem::take(&mut self.waiting) {
            lost.add_all(&chunk.events);
        }
        self.waiting_bytes = 0;
        self.take_back(&lost);
        self.counts.report_again();
    }

    fn take_back(&mut self, events: &EventCounts) {
        for (interface, direction, events) in events.iter() {
            let tap = (interface, direction);
            self.counts.take_back(tap, events);
            self.note_missed(events);
            *self.section.dropped.entry(tap).or_default() += events;
        }
    }

    /// Counts events of now that are not recorded.
    pub(super) fn miss(&mut self, tap: (u32, Direction), events: u64) {
        self.counts.not_recorded(tap, events);
        self.note_missed(events);
    }

    fn note_missed(&mut self, events: u64) {
        let now_ns = self.now_ns;
        let missed = self.missed.get_or_insert(LostSpan {
            from_ns: now_ns,
            to_ns: now_ns,
            events: 0,
        });
        missed.to_ns = now_ns;
        missed.events += events;
    }

    /// Writes when events were not recorded, before anything that came later.
    pub(super) fn write_missed(&mut self) {
        if let Some(missed) = self.missed.take() {
            self.write(&Entry::NotRecorded(missed));
        }
    }

    /// Reports how many more events were not recorded.
    pub(super) fn report_not_recorded(&mut self) -> Option<String> {
        let all = self.counts.not_recorded_in_all();
        let more = all - self.reported_not_recorded;
        if more > 0 {
            self.reported_not_recorded = all;
            self.reported_ns = self.now_ns;
        }
        let reason = if self.failing_ns.is_some() {
            "the recording has stopped"
        } else {
            "the disk is too slow, or was full"
        };
        (more > 0).then(|| format!("{} not recorded: {reason}", counted(more, "event")))
    }

    /// Gives a slow disk time to take the waiting chunks.
    pub(super) fn wait_for_room(&mut self, deadline: Instant) {
        loop {
            self.send_waiting();
            let is_failing = self.files.as_ref().is_none_or(SessionFiles::is_failing);
            if self.waiting.is_empty() || is_failing || Instant::now() >= deadline {
                return;
            }
            thread::sleep(ROOM_PAUSE);
        }
    }

    /// Writes the rest; returns notices.
    pub(super) fn close(&mut self) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        self.wait_for_room(deadline);
        let Some(files) = self.files.take() else {
            return Vec::new();
        };
        let mut waiting = EventCounts::default();
        for chunk in std::mem::take(&mut self.waiting) {
            waiting.add_all(&chunk.events);
        }
        self.take_back(&waiting);
        let mut closed = files.close(deadline.saturating_duration_since(Instant::now()));
        let reports = match &mut closed {
            Ok(closed) => std::mem::take(&mut closed.reports),
            Err(error) => {
                self.take_back(&error.not_written);
                std::mem::take(&mut error.reports)
            }
        };
        let mut notices = self.take_all(reports);
        if self.has_failed {
            return Vec::new();
        }
        notices.extend(self.report_not_recorded());
        let closing = match closed {
            Ok(closed) => self.totals(&closed),
            Err(error) => error.to_string(),
        };
        notices.push(sanitize(&closing));
        notices
    }

    /// The totals of the recording in words, once all reports are processed: only then it is
    /// known what the files hold.
    fn totals(&self, closed: &Closed) -> String {
        if let Some(path) = &closed.kept {
            return format!("nothing is recorded: {} stays as it was", shown(path));
        }
        let path = closed.last.as_ref();
        let path = path.map_or_else(String::new, |path| format!(": {}", shown(path)));
        let files = match closed.files {
            0 | 1 => String::new(),
            many => format!(
                " in {many} files ({} of them deleted again)",
                closed.deleted
            ),
        };
        format!(
            "recorded {}, {} not recorded, {}{files}{path}",
            counted(self.counts.recorded_in_all(), "event"),
            self.not_recorded(),
            counted(closed.bytes, "byte")
        )
    }
}
