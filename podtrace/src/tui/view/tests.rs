use std::sync::{Arc, Mutex};

use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::{
    filter::Filter,
    pipeline::Asked,
    replay::{options::PlayerOptions, player::Player},
    signals::Stop,
    stats::flows::Order,
    tui::{
        Limits, Words,
        consumer::Feeder,
        entry::Writer,
        filter::compile,
        input::Input,
        shared::{Shared, lock},
        state::Move,
        store,
    },
};

/// The recordings of the docs, as a screen has them.
struct Recorded {
    shared: Arc<Shared>,
    store: Store,
    facts: Facts,
    notices: VecDeque<String>,
    flows: Vec<Flow>,
    mistake: Option<Mistake>,
    state: State,
}

fn recorded(color: bool) -> Recorded {
    replayed(None, color)
}

fn replayed(filter: Option<Arc<Filter>>, color: bool) -> Recorded {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/docs/");
    let files = ["worker1.pcapng", "worker2.pcapng"];
    let options = PlayerOptions {
        files: files.map(|name| format!("{folder}{name}").into()).into(),
        asked: Asked {
            filter,
            ..Asked::default()
        },
        ..PlayerOptions::default()
    };
    let shared = Arc::new(Shared::new(Limits::REPLAY, &[]));
    let words = Words {
        color,
        ..Words::default()
    };
    let writer = Writer::new(words, &TimeZone::UTC);
    let feeder = Feeder::new(Arc::clone(&shared), writer);
    let mut player = Player::new(&options, false, Stop::default()).unwrap();
    player.shows_bytes = true;
    player.run(|_| Ok(vec![Box::new(feeder)])).unwrap();
    let taken = shared.take();
    let mut store = Store::new(1 << 20);
    taken
        .entries
        .into_iter()
        .for_each(|entry| store.push(entry));
    let (flows, now_ns) = {
        let flows = lock(&shared.flows);
        (flows.top(Order::Last, usize::MAX, 0), flows.newest_ns())
    };
    let of = shared.inbox().of.clone();
    let facts = Facts {
        of,
        has_ended: true,
        color,
        counts: shared.counts(),
        flows_now_ns: now_ns,
        ..Facts::default()
    };
    Recorded {
        shared,
        store,
        facts,
        notices: taken.notices,
        flows,
        mistake: None,
        state: State::default(),
    }
}

impl Recorded {
    fn drawn(&mut self, columns: u16, lines: u16) -> TestBackend {
        let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
        self.state.settle(&self.store);
        let model = Model {
            store: &self.store,
            facts: &self.facts,
            mistake: self.mistake.as_ref(),
            notices: &self.notices,
            flows: &self.flows,
        };
        let drawn = terminal.draw(|frame| draw(frame, &model, &mut self.state));
        drawn.unwrap();
        terminal.backend().clone()
    }

    /// The screen as text.
    fn text(&mut self, columns: u16, lines: u16) -> String {
        let backend = self.drawn(columns, lines);
        let buffer = backend.buffer();
        let rows = (0..lines).map(|y| {
            let row: String = (0..columns).map(|x| buffer[(x, y)].symbol()).collect();
            row.trim_end().to_owned()
        });
        rows.collect::<Vec<_>>().join("\n")
    }

    /// Chooses the first packet to another node.
    fn choose(mut self) -> Self {
        self.state.page = 8;
        self.state.settle(&self.store);
        self.state.step(Move::First, &self.store);
        self.state.step(Move::By(6), &self.store);
        self
    }
}

/// The screen of the docs.
pub(crate) fn picture(columns: u16, lines: u16) -> String {
    recorded(false).choose().text(columns, lines)
}

#[test]
fn list_and_road_fit_on_each_terminal() {
    insta::assert_snapshot!("list_80x24", picture(80, 24));
    insta::assert_snapshot!("list_160x48", picture(160, 48));
    insta::assert_snapshot!("list_60x15", picture(60, 15));
}

#[test]
fn newest_is_chosen_and_the_road_can_be_alone() {
    let mut recorded = recorded(false);
    insta::assert_snapshot!("newest_80x24", recorded.text(80, 24));
    let mut alone = recorded.choose();
    alone.state.is_road_only = true;
    insta::assert_snapshot!("road_80x24", alone.text(80, 24));
    alone.state.road_top = usize::MAX;
    insta::assert_snapshot!("road_60x15", alone.text(60, 15));
}

#[test]
fn help_flows_and_notices_are_shown() {
    let mut recorded = recorded(false);
    recorded.state.mode = Mode::Help;
    insta::assert_snapshot!("help_80x24", recorded.text(80, 24));
    insta::assert_snapshot!("help_60x15", recorded.text(60, 15));
    recorded.state.mode = Mode::Notices;
    insta::assert_snapshot!("notices_80x24", recorded.text(80, 24));
    recorded.state.mode = Mode::Browse;
    recorded.state.list = List::Flows;
    recorded.state.flow = 4;
    insta::assert_snapshot!("flows_80x24", recorded.text(80, 24));
    insta::assert_snapshot!("flows_160x48", recorded.text(160, 48));
}

#[test]
fn filter_is_applied_and_its_mistake_is_below_its_place() {
    let mut recorded = recorded(false);
    recorded
        .store
        .set_filter(compile("icmp and host 10.244.2.2").unwrap());
    recorded.store.choose(&recorded.shared.headers);
    assert_eq!(recorded.store.unknown(), 0);
    insta::assert_snapshot!("filtered_80x24", recorded.text(80, 24));
    let text = "icmp and host 10.244.2.2 prot 80";
    recorded.mistake = compile(text).err();
    recorded.state.mode = Mode::Filter(Input::new(text));
    insta::assert_snapshot!("mistake_80x24", recorded.text(80, 24));
    recorded.state.mode = Mode::Browse;
    assert!(recorded.text(80, 24).contains("\nnot applied: this word"));
}

/// What is wrong is read whole, on a narrow screen too.
#[test]
fn what_is_wrong_is_said_whole() {
    let mut recorded = recorded(false);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in [
        "icmp and",
        "port 80 81",
        "ip broadcast",
        "tcp[",
        "ifindex 3",
    ] {
        recorded.mistake = compile(text).err();
        let mistake = recorded.mistake.clone().unwrap();
        for (columns, lines) in [(60, 15), (80, 24)] {
            recorded.state.mode = Mode::Filter(Input::new(text));
            let screen = words(&recorded.text(columns, lines));
            assert!(screen.contains(&words(mistake.what())), "{screen}");
            let expected = mistake.expected().join(", ");
            assert!(screen.contains(&expected), "{screen}");
            recorded.state.mode = Mode::Browse;
            let screen = words(&recorded.text(columns, lines));
            let said = format!("{} (/ goes on, Esc shows all)", mistake.what());
            assert!(screen.contains(&words(&said)), "{screen}");
        }
    }
    let message =
        "noon is no time: must be a point in time as 2026-11-24T12:00:00Z, a time of the \
                   day as 12:00:00, or a time after the begin as +10s"
            .to_owned();
    recorded.state.message = Some(message.clone());
    assert!(words(&recorded.text(60, 15)).contains(&message));
}

/// TCP's numbers are those of the text view.
#[test]
fn tcp_numbers_of_the_list_are_those_of_the_road() {
    let recorded = recorded(false);
    let mut segments = 0;
    for number in 0..recorded.store.len() {
        let entry = recorded.store.shown(number).unwrap();
        assert!(entry.head.contains(&*entry.what), "{entry:?}");
        segments += usize::from(entry.what.contains(" seq 1"));
    }
    assert!(segments > 0);
}

/// A filter that is typed shows the packets that it shows on the command line.
#[test]
fn filter_gives_what_it_gives_on_the_command_line() {
    let mut recorded = recorded(false);
    let heads = |store: &Store| -> Vec<_> {
        let shown = (0..store.len()).map(|number| store.shown(number).unwrap());
        shown.map(|entry| entry.head.clone()).collect()
    };
    let mut some = 0;
    for text in [
        "icmp",
        "arp",
        "tcp port 80",
        // At one hop only, around the tunnel.
        "udp port 8472",
        "host 192.168.77.12 and udp",
        "ip6",
        "inbound and host 10.244.1.3",
        "outbound and not ip",
        "less 80",
    ] {
        let filter = compile(text).unwrap();
        let expected = heads(&replayed(filter.clone(), false).store);
        recorded.store.set_filter(filter);
        recorded.store.choose(&recorded.shared.headers);
        assert_eq!(heads(&recorded.store), expected, "{text}");
        assert_eq!(recorded.store.unknown(), 0);
        some += usize::from((1..36).contains(&expected.len()));
    }
    assert!(some > 6);
}

#[test]
fn small_terminals_are_told_so() {
    let mut recorded = recorded(false);
    insta::assert_snapshot!("small_59x15", recorded.text(59, 15));
    for (columns, lines) in [(1, 1), (60, 14), (2, 40), (200, 1)] {
        recorded.text(columns, lines);
    }
}

#[test]
fn everything_can_be_drawn_at_any_size() {
    let mut recorded = recorded(true).choose();
    recorded.mistake = compile("prot").err();
    recorded.facts.counts.lost = 7;
    recorded.facts.has_ended = false;
    for (columns, lines) in [(60, 15), (61, 16), (99, 30), (100, 17), (300, 100)] {
        for list in [List::Paths, List::Flows] {
            recorded.state.list = list;
            for mode in [
                Mode::Browse,
                Mode::Help,
                Mode::Notices,
                Mode::Filter(Input::new("prot")),
                Mode::Time(Input::new(&"9".repeat(400))),
            ] {
                recorded.state.mode = mode;
                recorded.text(columns, lines);
            }
        }
    }
}

/// Without colours, nothing but the chosen lines and the importance of words differs.
#[test]
fn colours_are_there_only_if_asked_for() {
    for color in [true, false] {
        let backend = recorded(color).choose().drawn(80, 24);
        let cells = backend.buffer().content();
        let has_colour = cells.iter().any(|cell| cell.fg != Color::Reset);
        assert_eq!(has_colour, color);
        assert!(cells.iter().all(|cell| cell.bg == Color::Reset));
    }
}

#[test]
fn counts_stay_short() {
    let mut recorded = recorded(false);
    recorded.facts.has_ended = false;
    recorded.facts.counts = Counts {
        packets: 123_456_789,
        events: 999_999,
        filtered: 12_345,
        lost: 3,
        not_shown: 9,
    };
    recorded.facts.rates = Rates {
        packets: 9_876.4,
        events: 49_999.0,
    };
    let text = recorded.text(100, 20);
    let last = text.lines().last().unwrap();
    assert_eq!(
        last,
        "123.5M packets 9876/s · 1000.0k events 50.0k/s · 12.3k filtered · 3 lost · 9 not shown"
    );
}

/// A live trace does not wait for the screen, and counts what it has not taken.
#[test]
fn queue_is_bounded() {
    let limits = Limits {
        queue_bytes: 10 * store::tests::entry(99).bytes(),
        waits: false,
        ..Limits::LIVE
    };
    let shared = Shared::new(limits, &[]);
    (0..100).for_each(|id| shared.push(store::tests::entry(id)));
    let counts = shared.counts();
    assert_eq!((counts.packets, counts.not_shown), (100, 90));
    let taken = shared.take();
    let ids: Vec<_> = taken.entries.iter().map(|entry| entry.id).collect();
    assert_eq!(ids, (90..100).collect::<Vec<_>>());
}

/// At 50,000 events in a second, 5,000 packets of ten hops, nothing is left out while the screen
/// takes what came every 100 ms, or is late by as much.
#[test]
fn busy_trace_finds_room_between_two_looks() {
    const PACKETS: usize = 2 * 500;
    let recorded = recorded(true);
    let shown = (0..recorded.store.len()).filter_map(|number| recorded.store.shown(number));
    let largest = shown.map(|entry| entry.bytes()).max().unwrap();
    assert!(largest * PACKETS <= Limits::LIVE.queue_bytes, "{largest}");
}

/// A replay waits for room, until the screen is gone.
#[test]
fn replay_waits_for_the_screen() {
    let limits = Limits {
        queue_bytes: 10 * store::tests::entry(99).bytes(),
        ..Limits::REPLAY
    };
    let shared = Shared::new(limits, &[]);
    let ids = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| (0..100).for_each(|id| shared.push(store::tests::entry(id))));
        while lock(&ids).len() < 100 {
            let taken = shared.take();
            lock(&ids).extend(taken.entries.iter().map(|entry| entry.id));
        }
    });
    assert_eq!(*lock(&ids), (0..100).collect::<Vec<_>>());
    shared.close();
    (0..100).for_each(|id| shared.push(store::tests::entry(id)));
    assert_eq!(shared.counts().not_shown, 90);
}

/// Another part can be read while the one before waits for room: nothing of that is left.
#[test]
fn recording_is_read_again_from_a_time_on() {
    let limits = Limits {
        queue_bytes: 10 * store::tests::entry(99).bytes(),
        ..Limits::REPLAY
    };
    let shared = Shared::new(limits, &[]);
    std::thread::scope(|scope| {
        scope.spawn(|| (0..100).for_each(|id| shared.push(store::tests::entry(id))));
        shared.reread(7);
    });
    assert!(shared.is_left() && shared.take().entries.is_empty());
    assert_eq!(shared.next_part(), Some(7));
    assert!(!shared.is_left());
    shared.push(store::tests::entry(100));
    assert_eq!(shared.take().entries[0].id, 100);
    assert_eq!(shared.counts().packets, 1);
    shared.close();
    assert_eq!(shared.next_part(), None);
}
