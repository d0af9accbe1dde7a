use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::{
    model::{loss::Missing, tap::TapCounts},
    path::builder::tests::path,
};

/// Shows a line for each item.
struct Lines;

impl Render for Lines {
    fn shows_events(&self) -> bool {
        true
    }

    fn shows_paths(&self) -> bool {
        true
    }

    fn event(&mut self, out: &mut String, _: &Event, packet: u64, _: &World) {
        *out += &format!("event of {packet}\n");
    }

    fn path(&mut self, out: &mut String, path: &Path, _: &World) {
        *out += &format!("packet {}\n", path.id);
    }

    fn notice(&mut self, out: &mut String, text: &str) {
        *out += &format!("-- {text}\n");
    }
}

/// A sink with limited room.
#[derive(Clone, Default)]
struct Cup {
    room: Arc<AtomicUsize>,
    text: Arc<Mutex<String>>,
}

impl TextSink for Cup {
    fn room(&self) -> usize {
        self.room.load(Ordering::Relaxed)
    }

    fn take(&mut self, text: &str) -> io::Result<()> {
        let room = self.room().saturating_sub(text.len());
        self.room.store(room, Ordering::Relaxed);
        self.text.lock().unwrap().push_str(text);
        Ok(())
    }
}

impl Cup {
    fn pour_out(&self, room: usize) -> String {
        self.room.store(room, Ordering::Relaxed);
        std::mem::take(&mut self.text.lock().unwrap())
    }
}

fn printer(format: impl Render + 'static) -> (Printer, Cup) {
    let cup = Cup::default();
    let printer = Printer::new(Box::new(format), Box::new(cup.clone()));
    (printer, cup)
}

fn packet(printer: &mut Printer, id: u64) {
    printer.on_path(&path(id), &World::default());
    printer.flush().unwrap();
}

fn tick(printer: &mut Printer, now_ns: u64) {
    let taps = TapCounts::new();
    let tick = Tick {
        now_ns,
        missing: Missing::default(),
        taps: &taps,
    };
    printer.on_tick(&tick, &World::default());
}

#[test]
fn packets_without_room_are_left_out_whole_and_said_once_there_is_room() {
    let (mut printer, cup) = printer(Lines);
    cup.pour_out(4);
    packet(&mut printer, 1);
    packet(&mut printer, 2);
    packet(&mut printer, 3);
    tick(&mut printer, 2 * REPORT_NS);
    assert_eq!(cup.pour_out(1000), "packet 1\n");
    tick(&mut printer, 2 * REPORT_NS);
    packet(&mut printer, 4);
    assert_eq!(
        cup.pour_out(0),
        "-- 2 packets not shown: the output is not read fast enough\npacket 4\n"
    );
    packet(&mut printer, 5);
    cup.pour_out(1000);
    // Reported less than a second ago.
    tick(&mut printer, 3 * REPORT_NS - 1);
    printer.flush().unwrap();
    assert_eq!(cup.pour_out(0), "");
    assert_eq!(printer.not_shown().packets, 3);
}

#[test]
fn notices_go_further_than_packets_and_not_for_ever() {
    let (mut printer, cup) = printer(Lines);
    packet(&mut printer, 1);
    printer.on_notice("one");
    printer.flush().unwrap();
    assert_eq!(cup.pour_out(0), "-- one\n");
    let long = "x".repeat(NOTICES_MAX);
    printer.on_notice(&long);
    printer.on_notice("two");
    let NotShown {
        packets, notices, ..
    } = printer.not_shown();
    assert_eq!((packets, notices), (1, 1));
}

/// Shows nothing but notices.
struct NoPackets;

impl Render for NoPackets {
    fn notice(&mut self, _: &mut String, _: &str) {}
}

#[test]
fn format_without_packets_counts_none_as_not_shown() {
    let (mut printer, _cup) = printer(NoPackets);
    packet(&mut printer, 1);
    assert!(printer.not_shown().is_nothing());
}

/// A sink whose reader has left.
struct Broken;

impl TextSink for Broken {
    fn take(&mut self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn first_failure_is_reported_once_and_lasts() {
    let mut printer = Printer::new(Box::new(Lines), Box::new(Broken));
    printer.on_notice("one");
    assert!(!printer.has_failed());
    let error = printer.flush().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    printer.on_notice("two");
    assert!(printer.flush().is_ok() && printer.has_failed());
}

/// Shows how many findings there are, beside packets.
struct FindingsToo;

impl Render for FindingsToo {
    fn shows_paths(&self) -> bool {
        true
    }

    fn shows_findings(&self) -> bool {
        true
    }

    fn findings(&mut self, out: &mut String, found: &crate::findings::Found) {
        *out += &format!("{} findings\n", found.findings.len());
    }

    fn notice(&mut self, _: &mut String, _: &str) {}
}

#[test]
fn packets_without_room_still_show_what_they_find() {
    let (mut printer, cup) = printer(FindingsToo);
    let mut lost = path(1);
    lost.outcome = crate::path::Outcome::NotSeenFurther;
    printer.on_path(&lost, &World::default());
    assert_eq!(printer.not_shown().packets, 1);
    printer.on_end(&Summary::default(), &World::default());
    printer.flush().unwrap();
    assert_eq!(cup.pour_out(0), "1 findings\n");
}
