//! Blocks of pcapng files and records of pcap files, one by one.
use std::{io, sync::Arc};

use bytes::Bytes;

use super::{
    Kind, More, PACKET, REJECT_MAX, Reader, SIMPLE_PACKET,
    items::{self, Item},
    packet::{self, Described, LinkType},
};
use crate::{
    model::left_out::Reason,
    packet::key_payload,
    session::format::{
        ENHANCED_PACKET, ENTRY_BLOCK, Entry, FORMAT, INTERFACE_DESCRIPTION, INTERFACE_STATISTICS,
        InterfaceCounts, NAME_RESOLUTION, SECTION_HEADER, SectionInfo,
    },
    update::Update,
};

/// Number of the tap point of a pcap file.
const CAPTURE: u32 = 0;

/// What is read of a block.
enum Read {
    /// It is in [`Reader::event`]; with the index of its interface, where it says so.
    Event(Option<u32>),
    Section(Option<SectionInfo>),
    Interface(Described),
    Counts(InterfaceCounts),
    Entry(Entry),
    LeftOut(Reason),
    UnreadEntry,
    Nothing,
}

impl Reader {
    /// Reads one block of a pcapng file.
    pub(super) fn block(&mut self) -> io::Result<More> {
        let Kind::Pcapng(frames) = &mut self.kind else {
            return Ok(More::End);
        };
        let Some(frame) = frames.next_block()? else {
            return Ok(More::End);
        };
        self.is_capture = true;
        let keep = self.options.keep_captured;
        let section = self.section.as_ref();
        // Each block of podtrace's own is sealed; a newer one may write others.
        let is_own = section.is_some_and(|info| info.format <= FORMAT);
        let read = match frame.kind {
            ENHANCED_PACKET | PACKET => {
                let (interfaces, event) = (&self.interfaces, &mut self.event);
                packet::read_event(&frame, interfaces, &self.decode, keep, is_own, event)
                    .map(|seen| seen.map_or_else(Read::LeftOut, Read::Event))
            }
            SECTION_HEADER => items::section(&frame).map(Read::Section),
            INTERFACE_DESCRIPTION => {
                let node = Arc::clone(&self.name);
                packet::interface(&frame, node, &mut self.captures, is_own).map(Read::Interface)
            }
            INTERFACE_STATISTICS => items::statistics(&frame, is_own)
                .map(|counts| counts.map_or(Read::Nothing, Read::Counts)),
            ENTRY_BLOCK => items::entry(&frame, is_own)
                .map(|entry| entry.map_or(Read::UnreadEntry, Read::Entry)),
            NAME_RESOLUTION => items::names(&frame, is_own).map(|()| Read::Nothing),
            SIMPLE_PACKET => items::other(is_own).map(|()| Read::LeftOut(Reason::NoTime)),
            _ => items::other(is_own || !self.has_header).map(|()| Read::Nothing),
        };
        self.has_header |= frame.kind == SECTION_HEADER;
        let (kind, offset, len) = (frame.kind, frame.offset, frame.bytes.len() as u64);
        let is_behind_damage = offset != self.end;
        if is_behind_damage {
            // A snapshot may have been among what was skipped.
            self.snapshots.clear();
        }
        self.end = offset + len;
        match read {
            Ok(read) => Ok(self.take(read, (offset, len))),
            Err(wrong) if len <= REJECT_MAX && (is_behind_damage || !frames.goes_on()) => {
                frames.reject(len, wrong);
                self.end = offset;
                Ok(More::Queued)
            }
            Err(wrong) => {
                frames.pass_over(offset, len, wrong);
                self.forget(kind);
                Ok(More::Queued)
            }
        }
    }

    /// What is not known any more when a block of that type is damaged.
    fn forget(&mut self, kind: u32) {
        if matches!(kind, SECTION_HEADER | ENTRY_BLOCK) {
            self.snapshots.clear();
        }
        if kind == SECTION_HEADER {
            self.interfaces.clear();
        }
    }

    /// `at`: where the block begins, and its length.
    fn take(&mut self, read: Read, at: (u64, u64)) -> More {
        match read {
            Read::Event(place) => return More::Item(self.place(place)),
            Read::Counts(counts) => return More::Item(Item::Counts(counts)),
            Read::Entry(entry) => return self.entry(entry),
            Read::Section(section) => {
                self.forget(SECTION_HEADER);
                self.plain_header = section.is_none().then_some(at);
                self.section.clone_from(&section);
                if let Some(info) = section {
                    self.epoch_ns = info.epoch_ns;
                    let fits = key_payload(info.snaplen);
                    self.decode.key_payload = self.options.key_payload.min(fits);
                    return More::Item(Item::Section(info));
                }
            }
            Read::Interface((index, interface, mut update)) => {
                let is_place = !interface.names_places;
                packet::put(&mut self.interfaces, index, interface);
                if is_place && self.is_new_point(&update) {
                    update.make_safe();
                    return More::Item(Item::here(update));
                }
            }
            Read::LeftOut(reason) => self.unread.packets.add(reason, 1),
            Read::UnreadEntry => self.unread.entries += 1,
            Read::Nothing => {}
        }
        More::Queued
    }

    /// Whether the update is of a tap point that was not handed out yet.
    fn is_new_point(&mut self, update: &Update) -> bool {
        matches!(update, Update::TapPoint { number, .. } if self.known.insert(*number))
    }

    /// Takes over an entry; its times become UTC.
    fn entry(&mut self, entry: Entry) -> More {
        if let (Kind::Pcapng(frames), Some((offset, len))) =
            (&mut self.kind, self.plain_header.take())
        {
            frames.damaged(offset, len, "a section header without its checksum");
        }
        if let (
            None,
            Entry::Clock {
                monotonic_ns,
                utc_ns,
            },
        ) = (&self.section, &entry)
        {
            // As good as what the damaged header said.
            self.epoch_ns = utc_ns.saturating_sub_unsigned(*monotonic_ns);
        }
        let Some(item) = items::item(entry, self.epoch_ns, &mut self.snapshots) else {
            return More::Queued;
        };
        if let Item::Update(_, update) = &item {
            self.is_new_point(update);
        }
        if let Some(ports) = item.vxlan_ports() {
            self.decode.vxlan_ports.clone_from(ports);
        }
        More::Item(item)
    }

    /// Reads one packet of a pcap file.
    pub(super) fn record(&mut self) -> io::Result<More> {
        let Kind::Pcap(capture) = &mut self.kind else {
            return Ok(More::End);
        };
        let link = capture.link;
        if self.captures == 0 && !link.is_ok_and(LinkType::names_places) {
            self.captures = 1;
            return Ok(More::Item(self.captured_at(CAPTURE, "capture", 0)));
        }
        let Some(captured) = capture.next_packet()? else {
            return Ok(More::End);
        };
        let link = match link {
            Ok(link) => link,
            Err(reason) => {
                self.unread.packets.add(reason, 1);
                return Ok(More::Queued);
            }
        };
        let decoded = link.decode(captured.data, captured.wire_len, &self.decode);
        let data = if self.options.keep_captured {
            Bytes::copy_from_slice(captured.data)
        } else {
            Bytes::new()
        };
        let place = link.place_of(captured.data);
        let event = packet::bare_event(CAPTURE, captured.ts_ns, decoded, captured.wire_len, data);
        self.event = Some(event);
        Ok(More::Item(self.place(place)))
    }
}
