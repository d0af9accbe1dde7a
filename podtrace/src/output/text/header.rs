//! The line of a packet: when it was first seen, what it is, whose it is and for whom.
use std::{fmt::Write as _, time::Duration};

use anstyle::Style;

use super::{
    Text, TimeFormat,
    remarks::{again, behind, left_behind, message, quoted},
};
use crate::{
    field::TimeNs,
    output::paint::{BOLD, DIM, NODE, PLAIN, POD, YELLOW},
    packet::Payload,
    path::{
        Path,
        ends::{End, Who, ends},
        service::service_behind,
    },
    text::write,
    world::World,
};

/// A packet is marked that is shown so long after it was sent, and behind later ones.
const LATE_NS: u64 = 100_000_000;
impl Text {
    /// `default/mypod1[container1] (10.244.1.2)`, or as much of it as is known, amid a text of a
    /// style.
    pub(super) fn end(&self, out: &mut String, end: &End, with_address: bool, style: Style) {
        let Some(address) = end.address else {
            return;
        };
        let painter = self.painter();
        match &end.who {
            _ if self.options.numeric => return write::address(out, address),
            Who::Unknown => return write::address(out, address),
            Who::On(node) => {
                write::address(out, address);
                out.push_str(" on ");
                return painter.within(out, style, NODE, node);
            }
            Who::Pod(name) => painter.within(out, style, POD, name),
            Who::Node(name) => painter.within(out, style, NODE, name),
        }
        if let Some(container) = &end.container {
            out.push('[');
            out.push_str(container);
            out.push(']');
        }
        if with_address {
            out.push_str(" (");
            write::address(out, address);
            out.push(')');
        }
    }

    /// The packet's line: when it was first seen, what it is, whose it is and for whom.
    pub(crate) fn header(&mut self, out: &mut String, path: &Path, world: &World) {
        let Some(first) = path.hops.first() else {
            return;
        };
        let painter = self.painter();
        self.time(out, first.ts_ns);
        if let Some(frame) = &path.frame {
            self.link_level(out, frame);
        }
        painter.on(out, BOLD);
        self.words(out, &path.packet, path.ends());
        painter.off(out, BOLD);
        out.push_str("  ");
        write::number(out, path.packet.length);
        out.push_str(" B   ");
        self.ends(out, path, true, world);
        if let Some(of) = path.part_of {
            painter.on(out, YELLOW);
            left_behind(out, of);
            painter.off(out, YELLOW);
        }
        if let Some(of) = path.fragment_of {
            painter.paint(
                out,
                DIM,
                match of.in_tunnel {
                    true => "  (later fragment of a tunnel's packet)",
                    false => "  (later fragment of a packet)",
                },
            );
        }
        if let Some(service) = service_behind(path, world) {
            painter.on(out, DIM);
            behind(out, service);
            painter.off(out, DIM);
        }
        if path.copy_of.is_some() {
            painter.paint(out, DIM, again(&path.packet));
        }
        match path.payload.as_deref() {
            Some(Payload::Quote(quote)) => quoted(out, quote),
            Some(payload) => message(out, payload),
            None => {}
        }
        if path.ambiguous {
            painter.paint(out, YELLOW, "  (ambiguous: equal packets at once)");
        }
        self.lateness(out, first.ts_ns);
    }

    /// `default/mypod1 (10.244.1.2) -> default/mypod2 (10.244.1.3)`, or the stations of a frame.
    pub(crate) fn ends(&self, out: &mut String, path: &Path, with_addresses: bool, world: &World) {
        let (sender, receiver) = ends(path, world);
        // Over localhost both have the same address: showing it once is enough.
        let is_local = sender.address.is_some_and(|address| address.is_loopback());
        match (sender.address, receiver.address, path.packet.link) {
            (None, None, Some(link)) => {
                let _ = write!(out, "{} -> {}", link.source, link.destination);
            }
            (None, None, None) => {}
            _ => {
                self.end(out, &sender, with_addresses && !is_local, PLAIN);
                out.push_str(" -> ");
                self.end(out, &receiver, with_addresses, PLAIN);
            }
        }
    }

    /// Appends how long ago a packet was sent, if it is shown late in a live trace, and later ones
    /// were shown already.
    fn lateness(&mut self, out: &mut String, sent_ns: u64) {
        let Some(now) = self.options.now else {
            return;
        };
        if sent_ns < self.newest_ns {
            let ago_ns = now().saturating_sub(sent_ns);
            if ago_ns >= LATE_NS {
                let seconds = Duration::from_nanos(ago_ns).as_secs_f64();
                let text = format!("  (sent {seconds:.2} s ago)");
                self.painter().paint(out, YELLOW, &text);
            }
        }
        self.newest_ns = self.newest_ns.max(sent_ns);
    }

    /// Appends a time, in its colour, and the gap behind it.
    pub(crate) fn time(&mut self, out: &mut String, ts_ns: u64) {
        if self.options.time == TimeFormat::None {
            return;
        }
        let utc_ns = TimeNs::new(self.options.epoch_ns, ts_ns).0.into();
        let painter = self.painter();
        painter.on(out, DIM);
        if !self.times.write(out, utc_ns) {
            let _ = write!(out, "{ts_ns} ns");
        }
        painter.off(out, DIM);
        out.push_str("  ");
    }
}
