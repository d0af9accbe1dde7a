//! Records the updates and events of a pipeline as a session.
//!
//! It encodes on the pipeline's thread and never waits: another thread writes the files,
//! behind a bounded queue. Events without room in it are counted by tap as not recorded. After
//! each failure a new section begins, which repeats the whole state.
mod chunks;
mod counts;
mod description;
mod failure;
mod interfaces;
mod section;
mod sections;
mod state_log;

use std::{collections::VecDeque, io, path::PathBuf, time::Duration};

use super::{
    files::{Begins, Chunk, SessionFiles},
    format::{Entry, SectionEnd, SectionInfo, Tick},
    progress::SharedProgress,
};
use crate::{
    model::{
        event::Event,
        loss::{LostSpan, Missing},
        origin::Origin,
        tap::TapCounts,
    },
    packet::link,
    update::Update,
    world::World,
};
use counts::RecordedCounts;
pub use description::{Description, Key, SOCKETS};
use section::Section;
use state_log::StateLog;

/// A chunk of this many bytes is handed on.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// Additional room for the block that fills the chunk.
pub(crate) const ROOM_BYTES: usize = 16 << 10;
/// Upper bound of the bytes that wait here while the queue of the files is full; beyond it
/// events are not recorded.
pub(crate) const WAITING_MAX: usize = 2 << 20;
/// How often a failed recording is tried again, in nanoseconds.
const RETRY_NS: u64 = 1_000_000_000;
/// How often statistics are written while something changes, in nanoseconds.
const STATISTICS_NS: u64 = 1_000_000_000;
/// How often both clocks are written, in nanoseconds.
const CLOCK_NS: u64 = 10_000_000_000;
/// Upper bound of the statistics of one tap point at the end of a section, in bytes.
const STATISTICS_BYTES: u64 = 2_048;
/// Upper bound of a packet's size in addition to its captured bytes.
const PACKET_BYTES: usize = 512;
/// Room for the description of an interface, in bytes.
const DESCRIPTION_BYTES: usize = 1_024;
/// Before the first packet, interface descriptions may take one in this many parts of a file
/// of limited size; the remaining interfaces are described when packets come.
const HEAD_SHARE: u64 = 4;
/// How long the end waits for a disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// Options of a recording: its headers, and when it changes files.
#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// Header of the first section.
    pub info: SectionInfo,
    /// Name and release of the kernel.
    pub kernel: String,
    /// The command line.
    pub command: String,
    /// Upper bound of the bytes of a file, before compression.
    pub rotate_bytes: Option<u64>,
    /// Upper bound of the time that a file covers, in nanoseconds.
    pub rotate_ns: Option<u64>,
    /// Upper bound of the time until recorded data is handed to the files, in nanoseconds.
    pub flush_ns: u64,
    /// Whether ticks go on while there are no packets: somebody waits for the time.
    pub ticks_always: bool,
    /// The interfaces known in advance.
    pub outline: Outline,
}

/// The known interfaces of a recording before it begins.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// Link layer of the file, by its LINKTYPE_ number; none for that of the first
    /// interface. Packets of other layers become Ethernet frames in a file of those.
    pub link: Option<u16>,
    /// Interfaces to describe before anything else, by fixed names.
    pub descriptions: Vec<Description>,
    /// Whether the recording has no other interfaces.
    pub is_part: bool,
}

impl Outline {
    /// The outline of a live session: all packets are Ethernet frames.
    #[must_use]
    pub fn ethernet() -> Self {
        Self {
            link: Some(link::ETHERNET),
            ..Self::default()
        }
    }
}

/// A session being recorded.
pub struct Recorder {
    options: RecorderOptions,
    /// None once it is closed.
    files: Option<SessionFiles>,
    state_log: StateLog,
    section: Section,
    counts: RecordedCounts,
    /// The file being written, once it has content.
    file: Option<PathBuf>,
    /// The chunk being filled.
    chunk: Chunk,
    /// Chunks that the queue has no room for yet.
    waiting: VecDeque<Chunk>,
    waiting_bytes: usize,
    /// Bytes of the file being written, before compression.
    file_bytes: u64,
    file_since_ns: u64,
    /// Time of the last event or tick.
    now_ns: u64,
    flushed_ns: u64,
    statistics_ns: u64,
    clock_ns: u64,
    /// Since when writing fails, or when it was last retried.
    failing_ns: Option<u64>,
    names_changed: bool,
    /// Whether the API has reported names since names were last written.
    cluster_changed: bool,
    missing: Missing,
    reported_not_recorded: u64,
    reported_ns: u64,
    /// Events that were not recorded since the last written one.
    missed: Option<LostSpan>,
    /// Whether updates were not written, so that a section has to begin.
    is_behind: bool,
    /// Whether it waits for a slow disk, and fails at the first error.
    is_patient: bool,
    /// Whether it has failed for good.
    has_failed: bool,
    /// The failure, until it is handed out.
    failure: Option<io::Error>,
    files_begun: u64,
    files_deleted: u64,
    progress: SharedProgress,
}

impl Recorder {
    /// Records into these files. `now_ns`: the time on the clock of the events.
    #[must_use]
    pub fn new(options: RecorderOptions, files: SessionFiles, now_ns: u64) -> Self {
        let state_log = StateLog::new(options.info.sessions);
        let mut recorder = Self {
            options,
            state_log,
            section: Section::default(),
            counts: RecordedCounts::default(),
            file: None,
            chunk: Chunk::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            file_bytes: 0,
            file_since_ns: now_ns,
            now_ns,
            flushed_ns: now_ns,
            statistics_ns: now_ns,
            clock_ns: 0,
            failing_ns: None,
            names_changed: false,
            cluster_changed: false,
            missing: Missing::default(),
            files: Some(files),
            reported_not_recorded: 0,
            reported_ns: 0,
            missed: None,
            is_behind: false,
            is_patient: false,
            has_failed: false,
            failure: None,
            files_begun: 0,
            files_deleted: 0,
            progress: SharedProgress::default(),
        };
        recorder.begin(Begins::File, &World::default());
        recorder
    }

    /// Makes it wait for a slow disk, and fail if nothing can be written: the recording is
    /// made from files, which can wait and be read again.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.is_patient = true;
        self
    }

    /// Makes it show its progress there.
    #[must_use]
    pub fn shown_by(mut self, progress: SharedProgress) -> Self {
        self.progress = progress;
        self
    }

    /// Records an update that `world` has applied.
    pub fn update(&mut self, origin: &Origin, update: &Update, world: &World) {
        let entry = self.state_log.record(origin, update);
        match (update, &entry) {
            // A cluster reports thousands of pods one by one, so their names are written
            // later.
            (Update::Cluster { .. }, _) => self.cluster_changed = true,
            (
                Update::Changes { .. }
                | Update::Sampling { .. }
                | Update::Attaching { .. }
                | Update::Loss(_)
                | Update::Topology(_)
                | Update::Notice { .. },
                _,
            )
            | (_, Entry::SnapshotAgain { .. }) => {}
            _ => self.names_changed = true,
        }
        self.append_update(&entry, world);
        // Until the head is handed on, it can take more interfaces.
        if self.section.interfaces.head_len() == 0 {
            self.hand_on_full(world);
        }
    }

    /// Retires a tap point that was removed long ago: its counts are final.
    pub fn retire(&mut self, number: u32, world: &World) {
        if !self.is_broken_off() {
            self.close_head(world);
            let counts = self.counts.since(number, true);
            let times = (self.utc(self.file_since_ns), self.utc(self.now_ns));
            let out = &mut self.chunk.bytes;
            self.section.statistics(out, number, &counts, world, times);
            self.hand_on_full(world);
        }
        self.counts.take_events(&mut self.chunk.events);
        self.counts.retire(number);
        self.section.retire(number);
    }

    /// Records one hop of packet number `packet`.
    pub fn event(&mut self, event: &Event, packet: u64, world: &World) {
        self.now_ns = self.now_ns.max(event.ts_ns);
        self.options.info.packets = self.options.info.packets.max(packet);
        let tap = (event.interface, event.direction);
        if self.is_broken_off() || self.waiting_bytes > WAITING_MAX {
            *self.section.dropped.entry(tap).or_default() += 1;
            self.miss(tap, 1);
            return;
        }
        self.write_missed();
        if !self.section.is_introduced {
            self.introduce(world);
        }
        self.rotate_if_due(event.captured.len(), world);
        let utc_ns = self.utc(event.ts_ns);
        let out = &mut self.chunk.bytes;
        if self.section.packet(out, event, packet, world, utc_ns) {
            self.counts.recorded(tap);
        } else {
            self.miss(tap, 1);
        }
        self.hand_on_full(world);
    }

    /// Records how many events were lost between two times.
    pub fn loss(&mut self, lost: LostSpan) {
        self.append(&Entry::Loss(lost));
    }

    /// Advances the time; returns notices. `missing`: events that did not reach the
    /// recorder; `taps`: all counts.
    pub fn tick(
        &mut self,
        now_ns: u64,
        missing: Missing,
        taps: &TapCounts,
        world: &World,
    ) -> Vec<String> {
        self.now_ns = self.now_ns.max(now_ns);
        for (tap, more) in self.counts.take(taps) {
            *self.section.dropped.entry(tap).or_default() += more;
        }
        let mut notices = self.take_reports();
        if self.has_failed {
            return notices;
        }
        self.show_progress();
        if self.now_ns.saturating_sub(self.reported_ns) >= RETRY_NS {
            notices.extend(self.report_not_recorded());
        }
        self.missing = Missing {
            lost: missing.lost,
            not_recorded: missing.not_recorded + self.counts.not_recorded_in_all(),
        };
        if let Some(since_ns) = self.failing_ns {
            if self.now_ns.saturating_sub(since_ns) >= RETRY_NS {
                self.begin(Begins::Section, world);
                self.failing_ns = Some(self.now_ns);
                self.hand_on(world);
            }
            return notices;
        }
        if self.is_behind {
            if !self.files.as_ref().is_some_and(SessionFiles::has_room) {
                return notices;
            }
            self.is_behind = false;
            self.begin(Begins::Section, world);
        }
        self.introduce(world);
        self.rotate_if_due(0, world);
        let (lost, not_recorded) = self.recorded_missing();
        self.write_missed();
        self.write(&Entry::Tick(Tick {
            now_ns,
            lost,
            not_recorded,
        }));
        if self.now_ns.saturating_sub(self.statistics_ns) >= STATISTICS_NS {
            self.names_changed |= std::mem::take(&mut self.cluster_changed);
            self.statistics(false, world);
        }
        if self.now_ns.saturating_sub(self.clock_ns) >= CLOCK_NS {
            self.clock();
        }
        if self.now_ns.saturating_sub(self.flushed_ns) >= self.options.flush_ns {
            self.hand_on(world);
        }
        self.send_waiting();
        notices
    }

    /// Whether [`Self::tick`] has events to hand on, or somebody waits for it.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        if self.options.ticks_always {
            return !self.has_failed;
        }
        let has_events = self.counts.has_events() || !self.chunk.events.is_empty();
        has_events || !self.waiting.is_empty()
    }

    /// Whether the recording has failed for good.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Hands out the failure.
    ///
    /// # Errors
    /// The failure, the first time.
    pub fn take_failure(&mut self) -> io::Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Closes the recording; returns notices.
    pub fn finish(&mut self, taps: &TapCounts, duration_ns: u64, world: &World) -> Vec<String> {
        self.counts.take(taps);
        let mut notices = self.take_reports();
        if self.is_broken_off() {
            self.begin(Begins::Section, world);
        }
        self.introduce(world);
        self.names_changed |= self.cluster_changed;
        self.rotate_if_due(0, world);
        self.describe(world);
        self.statistics(true, world);
        let out = &mut self.chunk.bytes;
        self.section.interfaces.stand_in(out);
        self.clock();
        self.write_missed();
        self.write(&Entry::End(SectionEnd {
            continues: false,
            duration_ns,
        }));
        self.hand_on(world);
        notices.extend(self.close());
        self.show_progress();
        notices
    }
}
