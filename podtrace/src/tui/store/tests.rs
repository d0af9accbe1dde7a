use std::sync::Mutex;

use bytes::Bytes;
use podtrace_ebpf::record::Direction::Egress;

use super::*;
use crate::{
    model::event::Event,
    path::{
        Outcome,
        builder::tests::{event, packet},
    },
    tui::filter::compile,
};

/// A path that begins so many nanoseconds after 1970.
pub(in crate::tui) fn entry(id: u64) -> Entry {
    Entry {
        id,
        first_ns: id,
        utc_ns: id,
        time: id.to_string().into(),
        what: "UDP".into(),
        ends: "a -> b".into(),
        outcome: Outcome::Delivered,
        duration_ns: 0,
        head: "UDP".into(),
        hops: Box::default(),
        tail: Box::default(),
    }
}

pub(in crate::tui) fn store(entries: u64) -> Store {
    let mut store = Store::new(1 << 20);
    (0..entries).for_each(|id| store.push(entry(id)));
    store
}

fn shown(store: &Store) -> Vec<u64> {
    let shown = (0..store.len()).map(|number| store.shown(number).unwrap().id);
    shown.collect()
}

#[test]
fn oldest_are_dropped_and_counted() {
    let size = entry(0).bytes();
    let mut store = Store::new(3 * size + size / 2);
    for id in 0..9 {
        store.push(entry(id));
        assert!(store.bytes <= store.limit);
    }
    assert_eq!(shown(&store), [6, 7, 8]);
    assert_eq!((store.dropped(), store.kept()), (6, 3));
    // Places stay what they are.
    assert_eq!((store.place(0), store.number(7)), (Some(6), 1));
    assert!(store.get(5).is_none());
    let newest_first: Vec<_> = store.until(7).map(|entry| entry.id).collect();
    assert_eq!(newest_first, [7, 6]);
    let places = [5, 6, 8, 9].map(|at_ns| store.at(at_ns));
    assert_eq!(
        places,
        [
            Landing::Dropped,
            Landing::At(0),
            Landing::At(2),
            Landing::Behind(8)
        ]
    );
    // One that is larger than all the room is shown alone.
    let large = Entry {
        head: "x".repeat(4 * size).into(),
        ..entry(9)
    };
    store.push(large);
    assert_eq!(shown(&store), [9]);
}

/// An Ethernet frame with UDP to a port.
fn frame(port: u16) -> Event {
    let mut bytes = vec![2; 12];
    bytes.extend([8, 0, 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0]);
    bytes.extend([10, 244, 1, 2, 10, 244, 1, 3, 0x13, 0x88]);
    bytes.extend(port.to_be_bytes());
    bytes.extend([0, 12, 0, 0, 1, 2, 3, 4]);
    Event {
        captured: Bytes::from(bytes),
        ..event(1, 0, Egress, &packet("10.244.1.3"))
    }
}

#[test]
fn filter_looks_at_kept_headers() {
    let mut store = store(4);
    let headers = Mutex::new(Headers::new(1 << 20, &[]));
    for (id, port) in [(0, 53), (1, 80), (2, 53)] {
        lock(&headers).take(&frame(port), id);
    }
    store.set_filter(compile("udp dst port 53").unwrap());
    assert!(store.choose(&headers));
    // Of the last one nothing is known yet.
    assert_eq!((shown(&store), store.unknown()), (vec![0, 2, 3], 1));
    assert_eq!((store.place(1), store.number(1)), (Some(2), 1));
    lock(&headers).take(&frame(80), 3);
    store.choose(&headers);
    assert_eq!((shown(&store), store.unknown()), (vec![0, 2], 0));
    store.push(entry(4));
    lock(&headers).take(&frame(53), 4);
    assert!(store.choose(&headers));
    assert_eq!(shown(&store), [0, 2, 4]);
    store.set_filter(None);
    assert_eq!(store.len(), 5);
}

/// A filter hides paths, not times: the first that it shows is not the oldest that there is.
#[test]
fn time_is_found_whatever_the_filter_shows() {
    let size = entry(0).bytes();
    let mut store = Store::new(8 * size);
    assert_eq!(store.at(0), Landing::Nowhere);
    let headers = Mutex::new(Headers::new(1 << 20, &[]));
    for id in 0..10 {
        let port = if id == 5 { 53 } else { 80 };
        lock(&headers).take(&frame(port), id);
        store.push(entry(id));
    }
    for (filter, landings) in [
        (
            "udp port 53",
            [
                (1, Landing::Dropped),
                (2, Landing::At(0)),
                (5, Landing::At(0)),
                (6, Landing::Unmatched),
                (10, Landing::Behind(9)),
            ],
        ),
        (
            "udp port 7",
            [
                (1, Landing::Dropped),
                (2, Landing::Unmatched),
                (5, Landing::Unmatched),
                (9, Landing::Unmatched),
                (10, Landing::Behind(9)),
            ],
        ),
    ] {
        store.set_filter(compile(filter).unwrap());
        store.choose_all(&headers);
        for (at_ns, landing) in landings {
            assert_eq!(store.at(at_ns), landing, "{filter} {at_ns}");
        }
    }
}

#[test]
fn filtered_paths_are_dropped_too() {
    let size = entry(0).bytes();
    let mut store = Store::new(3 * size);
    let headers = Mutex::new(Headers::new(1 << 20, &[]));
    store.set_filter(compile("udp").unwrap());
    for id in 0..9 {
        lock(&headers).take(&frame(53), id);
        store.push(entry(id));
        store.choose(&headers);
    }
    assert_eq!(shown(&store), [6, 7, 8]);
}

#[test]
fn headers_are_bounded_and_oldest_go_first() {
    let mut headers = Headers::new(100_000, &[]);
    let filter = compile("udp").unwrap().unwrap();
    for id in 0..10_000 {
        headers.take(&frame(53), id);
        headers.take(&frame(53), id);
    }
    // What is counted is what is there.
    assert!(headers.is_exact());
    assert_eq!(headers.matches(9_999, &filter), Some(true));
    assert_eq!(headers.matches(0, &filter), None);
}
