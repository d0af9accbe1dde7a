use std::sync::{Arc, Mutex};

use super::*;
use crate::{
    model::{loss::Missing, tap::TapCounts},
    output::text::TextOptions,
    path::builder::tests::path,
    world::fixture::world,
};

/// Keeps the text.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<String>>);

impl TextSink for Kept {
    fn take(&mut self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push_str(text);
        Ok(())
    }
}

fn table(json: bool, is_live: bool) -> (FlowTable, Kept) {
    let kept = Kept::default();
    let options = FlowOptions {
        order: Order::default(),
        top: None,
        json,
        color: false,
        width: Width::Any,
        is_live,
        epoch_ns: 1_700_000_000_000_000_000,
    };
    let text = Text::new(TextOptions::default(), jiff::tz::TimeZone::UTC);
    let mut table = FlowTable::new(options, text, Box::new(kept.clone()));
    let world = world();
    for id in 1..=3 {
        table.on_path(&path(id), &world);
    }
    (table, kept)
}

#[test]
fn end_shows_flows_and_a_summary() {
    let (mut table, kept) = table(false, false);
    table.on_end(&Summary::default(), &world());
    let text = kept.0.lock().unwrap().clone();
    insta::assert_snapshot!(text, @r"
    1 flow

           client               server             packets  bytes  RTT p50  p99  last seen
      udp  default/mypod1:5000  default/mypod2:53        3   96 B        -    -  0.0 s ago

    0 packets
    events: 0 seen = 0 emitted + 0 filtered + 0 lost
    ");
}

#[test]
fn json_is_a_line_for_each_flow() {
    let (mut table, kept) = table(true, false);
    table.on_end(&Summary::default(), &world());
    let text = kept.0.lock().unwrap().clone();
    insta::assert_snapshot!(text, @r#"{"protocol":"udp","client":{"name":{"kind":"pod","name":"default/mypod1"},"address":"10.244.1.2","port":5000},"server":{"name":{"kind":"pod","name":"default/mypod2"},"address":"10.244.1.3","port":53},"sent":{"packets":3,"bytes":96},"answered":{"packets":0,"bytes":0},"retransmitted":0,"lost":0,"refused":0,"unknown":0,"first_ns":1700000000000001000,"last_ns":1700000000000001000}"#);
}

/// No control sequence is left open, and each line clears its rest.
#[test]
fn terminal_is_painted_each_second() {
    let (mut table, kept) = table(false, true);
    let taps = TapCounts::new();
    let mut painted = 0;
    for tenths in 10..35 {
        let tick = Tick {
            now_ns: tenths * PAINT_NS / 10,
            missing: Missing::default(),
            taps: &taps,
        };
        table.on_notice("a notice");
        table.on_tick(&tick, &world());
        let text = std::mem::take(&mut *kept.0.lock().unwrap());
        if text.is_empty() {
            continue;
        }
        painted += 1;
        let text = text.strip_prefix("\x1b[2J").unwrap_or(&text);
        let rest = text.strip_prefix(BEGIN).unwrap().strip_suffix(END).unwrap();
        assert!(rest.contains("default/mypod1:5000"), "{rest}");
        assert!(rest.contains("-- a notice"), "{rest}");
        assert!(rest.lines().all(|line| line.ends_with("\x1b[K")), "{rest}");
    }
    assert_eq!(painted, 3);
}
