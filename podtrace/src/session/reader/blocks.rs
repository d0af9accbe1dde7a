//! Blocks of pcapng files and records of pcap files, one by one.
use std::{io, sync::Arc};

use bytes::Bytes;
use podtrace_ebpf::record::Direction;

use super::{
    Kind, More, PACKET, REJECT_MAX, Reader, SIMPLE_PACKET, UNNAMED, VXLAN_PORTS,
    items::{self, Item},
    link_type::LinkType,
    packet::{self, Described, Reading, Seen},
    passed_over::{PassedOver, Tap},
};
use crate::{
    model::{left_out::Reason, tap_point::TapPoint},
    packet::{Beside, FLANNEL_PORT, key_payload},
    session::format::{
        ENHANCED_PACKET, ENTRY_BLOCK, Entry, FORMAT, INTERFACE_DESCRIPTION, INTERFACE_STATISTICS,
        InterfaceCounts, NAME_RESOLUTION, SECTION_HEADER, SectionInfo,
    },
    update::Update,
};

/// Number of the tap point of a pcap file.
const CAPTURE: u32 = 0;

/// The content of a block. What is large and rare is boxed: packets are moved without it.
enum Read {
    /// The event is in [`Reader::event`]; with the index of its interface, if it states one.
    Event(Option<u32>),
    /// One that is passed over: its time and its tap.
    PassedOver(u64, Tap),
    Section(Option<Box<SectionInfo>>),
    Interface(Box<Described>),
    Counts(Box<InterfaceCounts>),
    Entry(Box<Entry>),
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
        if let Some(beside) = &mut self.beside
            && frame.kind != ENHANCED_PACKET
        {
            beside.extend_from_slice(frame.bytes);
        }
        let section = self.section.as_ref();
        // Each block of podtrace is sealed; a newer podtrace may write other blocks.
        let is_own = section.is_some_and(|info| info.format <= FORMAT);
        let read = match frame.kind {
            ENHANCED_PACKET | PACKET => {
                let (interfaces, event) = (&self.interfaces, &mut self.event);
                let reading = Reading {
                    decode: &self.decode,
                    keep: self.options.keep_captured,
                    is_own,
                    wanted: self.wanted,
                };
                packet::read_event(&frame, interfaces, &reading, event).map(|seen| match seen {
                    Seen::Event(ifindex) => Read::Event(ifindex),
                    Seen::PassedOver(ts_ns, tap) => Read::PassedOver(ts_ns, tap),
                    Seen::LeftOut(reason) => Read::LeftOut(reason),
                })
            }
            SECTION_HEADER => items::section(&frame).map(|info| Read::Section(info.map(Box::new))),
            INTERFACE_DESCRIPTION => {
                let node = Arc::clone(&self.name);
                packet::interface(&frame, node, &mut self.captures, is_own).map(|described| {
                    described.map_or(Read::Nothing, |described| {
                        Read::Interface(Box::new(described))
                    })
                })
            }
            INTERFACE_STATISTICS => items::statistics(&frame, is_own).map(|counts| {
                counts.map_or(Read::Nothing, |counts| Read::Counts(Box::new(counts)))
            }),
            ENTRY_BLOCK => items::entry(&frame, is_own)
                .map(|entry| entry.map_or(Read::UnreadEntry, |entry| Read::Entry(Box::new(entry)))),
            NAME_RESOLUTION => items::names(&frame, is_own).map(|()| Read::Nothing),
            SIMPLE_PACKET => items::other(is_own).map(|()| Read::LeftOut(Reason::NoTime)),
            _ => items::other(is_own || !self.has_header).map(|()| Read::Nothing),
        };
        self.has_header |= frame.kind == SECTION_HEADER;
        let (kind, offset, len) = (frame.kind, frame.offset, frame.bytes.len() as u64);
        let is_behind_damage = offset != self.end;
        if is_behind_damage {
            // The skipped bytes may have held a snapshot, or an interface.
            self.snapshots.clear();
            self.are_numbered &= !self.has_header;
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
                if kind == INTERFACE_DESCRIPTION && !is_own {
                    packet::put(&mut self.interfaces, None, None);
                }
                Ok(More::Queued)
            }
        }
    }

    /// Discards the state that a damaged block of that type may have changed.
    fn forget(&mut self, kind: u32) {
        if matches!(kind, SECTION_HEADER | ENTRY_BLOCK) {
            self.snapshots.clear();
        }
        if kind == SECTION_HEADER {
            self.interfaces.clear();
            self.are_numbered = true;
            self.unannounced.clear();
        }
    }

    /// `at`: the offset and the length of the block.
    fn take(&mut self, read: Read, at: (u64, u64)) -> More {
        match read {
            Read::Event(ifindex) => {
                let item = self.locate(ifindex);
                let number = self.event.as_ref().map(|event| event.interface);
                return self.after_its_point(number, item);
            }
            Read::PassedOver(ts_ns, tap) => return self.pass_over(ts_ns, tap),
            Read::Counts(counts) => {
                return self.after_its_point(Some(counts.number), Item::Counts(*counts));
            }
            Read::Entry(entry) => return self.entry(*entry),
            Read::Section(section) => {
                self.forget(SECTION_HEADER);
                self.plain_header = section.is_none().then_some(at);
                let section = section.map(|info| *info);
                self.section.clone_from(&section);
                self.open_tunnels(&[]);
                if let Some(info) = section {
                    self.epoch_ns = info.epoch_ns;
                    let fits = key_payload(info.snaplen);
                    self.decode.key_payload = self.options.key_payload.min(fits);
                    return More::Item(Item::Section(info));
                }
            }
            Read::Interface(described) => {
                let (index, interface, (number, point)) = *described;
                let has_tap_point = !interface.names_interfaces;
                if index.is_some() || self.are_numbered {
                    packet::put(&mut self.interfaces, index, Some(interface));
                } else {
                    // Its number is not known, nor whether it is of another section.
                    self.interfaces.clear();
                }
                if !has_tap_point || self.known.contains(&number) {
                    return More::Queued;
                }
                if index.is_none() {
                    return More::Item(self.point(number, point));
                }
                // The entry of the tap point follows, unless that is damaged.
                self.unannounced.insert(number, point);
            }
            Read::LeftOut(reason) => self.unread.packets.add(reason, 1),
            Read::UnreadEntry => self.unread.entries += 1,
            Read::Nothing => {}
        }
        More::Queued
    }

    /// Counts a packet that is passed over. Those before it are the next item if it is to be
    /// counted apart.
    fn pass_over(&mut self, ts_ns: u64, tap: Tap) -> More {
        // A tap point comes before its packets.
        if self.unannounced.contains_key(&tap.0) {
            let own = Item::PassedOver(PassedOver::new(ts_ns, tap));
            return self.after_its_point(Some(tap.0), own);
        }
        if let Some(passed_over) = &mut self.passed_over
            && passed_over.add(ts_ns, tap)
        {
            return More::Queued;
        }
        let before = self.passed_over.replace(PassedOver::new(ts_ns, tap));
        before.map_or(More::Queued, |before| More::Item(Item::PassedOver(before)))
    }

    /// An item of a tap point, after the tap point itself if its entry has not come.
    fn after_its_point(&mut self, number: Option<u32>, item: Item) -> More {
        if !self.unannounced.is_empty()
            && let Some(number) = number
            && let Some(point) = self.unannounced.remove(&number)
        {
            self.next.push_back(item);
            return More::Item(self.point(number, point));
        }
        More::Item(item)
    }

    /// The update of a tap point by its interface description.
    fn point(&mut self, number: u32, point: TapPoint) -> Item {
        self.known.insert(number);
        let mut update = Update::TapPoint { number, point };
        update.make_safe();
        Item::here(update)
    }

    /// Applies an entry; its times become UTC.
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
            // Replaces the time of a damaged header.
            self.epoch_ns = utc_ns.saturating_sub_unsigned(*monotonic_ns);
        }
        let Some(item) = items::item(entry, self.epoch_ns, &mut self.snapshots) else {
            return More::Queued;
        };
        if let Item::Update(_, Update::TapPoint { number, .. }) = &item {
            self.known.insert(*number);
            self.unannounced.remove(number);
        }
        if let Item::Update(_, Update::Snapshot(snapshot)) = &item {
            self.open_tunnels(&snapshot.vxlan_ports);
        }
        More::Item(item)
    }

    /// Decodes VXLAN on the ports that the section states, and those of the snapshots of all its
    /// sessions, or else the usual ones. `new`: the ports of a new snapshot.
    fn open_tunnels(&mut self, new: &[u16]) {
        let known = self.snapshots.iter().flat_map(|known| &known.vxlan_ports);
        let mut ports: Vec<_> = known.chain(new).copied().collect();
        match &self.section {
            Some(_) if ports.is_empty() => ports.push(FLANNEL_PORT),
            None if ports.is_empty() => ports.extend(VXLAN_PORTS),
            _ => {}
        }
        let stated = self.section.iter().flat_map(|info| &info.vxlan_ports);
        ports.extend(stated);
        self.decode.vxlan_ports = self.options.vxlan_ports.with(&ports);
    }

    /// Reads one packet of a pcap file.
    pub(super) fn record(&mut self) -> io::Result<More> {
        let Kind::Pcap(capture) = &mut self.kind else {
            return Ok(More::End);
        };
        let (link, link_number) = (capture.link, capture.link_number);
        if self.captures == 0 && !link.is_ok_and(LinkType::names_interfaces) {
            self.captures = 1;
            let decoded = link.is_ok().then_some(link_number);
            return Ok(More::Item(self.captured_at(CAPTURE, UNNAMED, 0, decoded)));
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
        if link.rules_out(captured.data, &self.decode, self.wanted) {
            let (ts_ns, tap) = (captured.ts_ns, (CAPTURE, Direction::Unknown));
            return Ok(self.pass_over(ts_ns, tap));
        }
        let decoded = link.decode(
            captured.data,
            captured.wire_len,
            &self.decode,
            Beside::default(),
        );
        let data = if self.options.keep_captured {
            Bytes::copy_from_slice(captured.data)
        } else {
            Bytes::new()
        };
        let ifindex = link.interface_of(captured.data);
        let wire_len = captured.wire_len;
        let captured_bytes = (data, link_number);
        let event = packet::bare_event(CAPTURE, captured.ts_ns, decoded, wire_len, captured_bytes);
        self.event = Some(event);
        Ok(More::Item(self.locate(ifindex)))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ReaderOptions, *};
    use crate::model::{origin::Origin, snapshot::Snapshot};

    #[test]
    fn tunnels_of_all_merged_sessions_are_decoded() {
        let header = [SECTION_HEADER.to_le_bytes(), 28_u32.to_le_bytes()].concat();
        let mut reader = Reader::of(header, ReaderOptions::default()).unwrap();
        reader.take(
            Read::Section(Some(Box::new(SectionInfo {
                vxlan_ports: vec![9999],
                ..SectionInfo::default()
            }))),
            (0, 28),
        );
        assert_eq!(reader.decode.vxlan_ports, [FLANNEL_PORT, 9999]);
        for (session, port) in [(0, 4789), (1, 7000), (0, 5000)] {
            let origin = Origin {
                session,
                nodes: session..session + 1,
            };
            let snapshot = Snapshot {
                vxlan_ports: vec![port],
                ..Snapshot::default()
            };
            let update = Update::Snapshot(Box::new(snapshot));
            reader.entry(Entry::UpdateOf { origin, update });
        }
        assert_eq!(reader.decode.vxlan_ports, [5000, 7000, 9999]);
    }
}
