//! Begins and ends sections, and writes their repeated state.
use super::{
    DESCRIPTION_BYTES, HEAD_SHARE, Key, PACKET_BYTES, Recorder, RecorderOptions, STATISTICS_BYTES,
    section::Section,
};
use crate::{
    clock::both_ns,
    model::loss::Missing,
    session::{
        block,
        files::Begins,
        format::{Entry, SectionEnd},
    },
    world::World,
};

impl Recorder {
    pub(super) fn utc(&self, ts_ns: u64) -> u64 {
        ts_ns.saturating_add_signed(self.options.info.epoch_ns)
    }

    /// Whether nothing is written until a section begins.
    pub(super) fn is_broken_off(&self) -> bool {
        self.failing_ns.is_some() || self.is_behind
    }

    /// Writes an entry, unless the section is broken off: the next one repeats it.
    pub(super) fn append(&mut self, entry: &Entry) {
        if !self.is_broken_off() {
            self.write(entry);
        }
    }

    pub(super) fn write(&mut self, entry: &Entry) {
        block::entry(&mut self.chunk.bytes, entry);
    }

    /// The events lost or not recorded so far, and how many of them were not recorded.
    pub(super) fn recorded_missing(&self) -> (u64, u64) {
        let Missing { lost, not_recorded } = self.missing;
        (lost.saturating_add(not_recorded), not_recorded)
    }

    /// Begins a section that repeats the whole state.
    pub(super) fn begin(&mut self, begins: Begins, world: &World) {
        self.chunk.begins = begins;
        let (lost, not_recorded) = self.recorded_missing();
        self.options.info.lost = lost;
        self.options.info.not_recorded = not_recorded;
        let RecorderOptions {
            info,
            kernel,
            command,
            outline,
            ..
        } = &self.options;
        // All packets of a file have one link layer.
        let link = outline.link.or(self.section.interfaces.link());
        let section = Section::begin(info, (kernel, command), link);
        let before = std::mem::replace(&mut self.section, section);
        self.section.dropped = before.dropped;
        let interfaces = &mut self.section.interfaces;
        for description in &outline.descriptions {
            interfaces.fix(description.clone());
        }
        if outline.is_part {
            interfaces.close();
        }
        self.options.info.section += 1;
        self.clock();
        for entry in self.state_log.entries(world, self.now_ns) {
            self.write(&entry);
        }
        self.write(&Entry::Ready);
        self.names_changed = true;
        if begins == Begins::File {
            self.file_bytes = 0;
            self.file_since_ns = self.now_ns;
        }
        self.introduce(world);
    }

    /// Describes the known interfaces, once there are any: before the first packet, so that
    /// they stand at the begin of the section.
    pub(super) fn introduce(&mut self, world: &World) {
        if self.section.is_introduced || !self.options.outline.descriptions.is_empty() {
            return;
        }
        let mut numbers = self.state_log.tap_points().peekable();
        if numbers.peek().is_none() {
            return;
        }
        self.section.is_introduced = true;
        let share = |max: u64| usize::try_from(max / HEAD_SHARE).unwrap_or(usize::MAX);
        let max = self.options.rotate_bytes.map_or(usize::MAX, share);
        let interfaces = &mut self.section.interfaces;
        for number in numbers {
            let sockets = has_sockets(number, world).then_some(true);
            for sockets in [Some(false), sockets].into_iter().flatten() {
                interfaces.introduce(Key { number, sockets }, world);
            }
            if interfaces.head_len() > max {
                return;
            }
        }
    }

    /// Moves the head of the section to the begin of the chunk.
    pub(super) fn close_head(&mut self, world: &World) {
        self.introduce(world);
        if let Some(mut head) = self.section.interfaces.take_head() {
            head.reserve_exact(self.chunk.bytes.len());
            head.append(&mut self.chunk.bytes);
            self.chunk.bytes = head;
        }
    }

    /// Writes names that have changed, and begins another file if this one has reached its limit.
    pub(super) fn rotate_if_due(&mut self, captured: usize, world: &World) {
        self.take_names(world);
        if self.is_due(captured) {
            self.rotate(world);
            self.take_names(world);
        }
    }

    /// Whether another file is to begin before a packet of so many captured bytes.
    fn is_due(&self, captured: usize) -> bool {
        if self.options.rotate_bytes.is_none() && self.options.rotate_ns.is_none() {
            return false;
        }
        let is_long = |max: u64| self.now_ns.saturating_sub(self.file_since_ns) >= max;
        let is_due = self.is_full(captured) || self.options.rotate_ns.is_some_and(is_long);
        // A file without packets does not rotate.
        is_due && self.section.interfaces.used() > 0
    }

    /// Whether the file has no room for a packet of so many captured bytes.
    fn is_full(&self, captured: usize) -> bool {
        let interfaces = self.section.interfaces.used();
        let head = self.section.interfaces.head_len();
        let next = head + self.chunk.bytes.len() + captured + PACKET_BYTES;
        let bytes = self.file_bytes + next as u64 + interfaces * STATISTICS_BYTES;
        self.options.rotate_bytes.is_some_and(|max| bytes > max)
    }

    /// Writes the entry of an update, in the next file if this one has no room for it. That one
    /// begins with the whole state, so it may say the same twice.
    pub(super) fn append_update(&mut self, entry: &Entry, world: &World) {
        if self.is_broken_off() {
            return;
        }
        let begin = self.chunk.bytes.len();
        self.write(entry);
        if self.is_due(0) {
            let entry = self.chunk.bytes.split_off(begin);
            self.rotate(world);
            self.chunk.bytes.extend_from_slice(&entry);
        }
    }

    pub(super) fn rotate(&mut self, world: &World) {
        self.statistics(false, world);
        self.counts.close_section();
        self.write(&Entry::End(SectionEnd {
            continues: true,
            duration_ns: 0,
        }));
        self.hand_on(world);
        self.begin(Begins::File, world);
    }

    /// Writes names that have changed since the last packet.
    fn take_names(&mut self, world: &World) {
        if std::mem::take(&mut self.names_changed) {
            self.section.renew_names(world);
            let out = &mut self.chunk.bytes;
            self.section.resolve(out, &self.state_log, world);
        }
    }

    /// Describes every interface, even those without packets, as far as the file has room.
    pub(super) fn describe(&mut self, world: &World) {
        for number in self.state_log.tap_points() {
            if self.is_full(DESCRIPTION_BYTES) {
                return;
            }
            let out = &mut self.chunk.bytes;
            let key = Key {
                number,
                sockets: false,
            };
            self.section.interfaces.describe(out, key, world);
        }
    }

    pub(super) fn statistics(&mut self, is_end: bool, world: &World) {
        self.statistics_ns = self.now_ns;
        let changed = self.counts.take_changed();
        let tap_points = if is_end {
            self.counts.tap_points()
        } else {
            changed
        };
        let times = (self.utc(self.file_since_ns), self.utc(self.now_ns));
        for point in tap_points {
            let counts = self.counts.since(point, is_end);
            let out = &mut self.chunk.bytes;
            self.section.statistics(out, point, &counts, world, times);
        }
    }

    pub(super) fn clock(&mut self) {
        self.clock_ns = self.now_ns;
        // A replay's clock is UTC already.
        if self.options.info.epoch_ns == 0 {
            return;
        }
        // Without the clocks there is nothing to write.
        if let Ok((monotonic_ns, utc_ns)) = both_ns() {
            self.write(&Entry::Clock {
                monotonic_ns,
                utc_ns,
            });
        }
    }
}

/// Whether a tap point may have watched sockets behind it.
fn has_sockets(number: u32, world: &World) -> bool {
    let is_end = world
        .tap_points
        .get(number)
        .is_some_and(|point| point.leads_to.is_none() && !point.is_port);
    is_end && !world.watching.is_empty()
}
