use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::path::builder::tests::path;

/// Shows a line for each thing.
struct Lines;

impl Output for Lines {
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

/// A sink of some room.
#[derive(Clone, Default)]
struct Cup {
    room: Arc<AtomicUsize>,
    text: Arc<Mutex<String>>,
}

impl TextSink for Cup {
    fn room(&self) -> usize {
        self.room.load(Ordering::Relaxed)
    }

    fn take(&mut self, text: &str) {
        let room = self.room().saturating_sub(text.len());
        self.room.store(room, Ordering::Relaxed);
        self.text.lock().unwrap().push_str(text);
    }
}

impl Cup {
    fn pour_out(&self, room: usize) -> String {
        self.room.store(room, Ordering::Relaxed);
        std::mem::take(&mut self.text.lock().unwrap())
    }
}

fn show(output: impl Output + 'static) -> (Show, Cup) {
    let mut show = Show::new(Box::new(output));
    let cup = Cup::default();
    show.hand_on_to(Box::new(cup.clone()));
    (show, cup)
}

fn packet(show: &mut Show, id: u64) {
    show.path(&path(id), &World::default());
    show.hand_on();
}

#[test]
fn packets_without_room_are_left_out_whole_and_said_once_there_is_room() {
    let (mut show, cup) = show(Lines);
    cup.pour_out(4);
    packet(&mut show, 1);
    packet(&mut show, 2);
    packet(&mut show, 3);
    show.say_not_shown(2 * SAY_NS);
    assert_eq!(cup.pour_out(1000), "packet 1\n");
    show.say_not_shown(2 * SAY_NS);
    packet(&mut show, 4);
    assert_eq!(
        cup.pour_out(0),
        "-- 2 packets not shown: the output is not read fast enough\npacket 4\n"
    );
    packet(&mut show, 5);
    cup.pour_out(1000);
    // Said less than a second ago.
    show.say_not_shown(3 * SAY_NS - 1);
    show.hand_on();
    assert_eq!(cup.pour_out(0), "");
    assert_eq!(show.not_shown().packets, 3);
}

#[test]
fn notices_go_further_than_packets_and_not_for_ever() {
    let (mut show, cup) = show(Lines);
    packet(&mut show, 1);
    show.notice("one");
    show.hand_on();
    assert_eq!(cup.pour_out(0), "-- one\n");
    let long = "x".repeat(NOTICES_MAX);
    show.notice(&long);
    show.notice("two");
    let NotShown {
        packets, notices, ..
    } = show.not_shown();
    assert_eq!((packets, notices), (1, 1));
}

#[test]
fn what_shows_no_packets_lacks_none() {
    let (mut show, _cup) = show(crate::pipeline::output::Nothing);
    packet(&mut show, 1);
    assert!(show.not_shown().is_nothing());
}
