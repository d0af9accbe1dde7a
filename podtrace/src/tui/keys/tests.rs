use ratatui::crossterm::event::KeyEvent;

use super::*;
use crate::tui::store::tests::{entry, store};

fn press_all(keys: &[KeyCode], state: &mut State, store: &Store) -> Vec<Ask> {
    let asks = keys.iter().map(|code| {
        let ask = press((*code).into(), state, store, 3);
        state.settle(store);
        ask
    });
    asks.filter(|ask| *ask != Ask::Nothing).collect()
}

fn typed(text: &str) -> Vec<KeyCode> {
    text.chars().map(KeyCode::Char).collect()
}

#[test]
fn moves_leave_the_newest_and_end_comes_back() {
    let mut store = store(100);
    let mut state = State {
        page: 10,
        ..State::default()
    };
    state.settle(&store);
    assert_eq!((state.chosen, state.top(10, &store)), (Some(99), 90));
    press_all(&[KeyCode::Up, KeyCode::Char('k')], &mut state, &store);
    assert_eq!((state.chosen, state.follows), (Some(97), false));
    // What comes moves neither the choice nor the window.
    store.push(entry(100));
    state.settle(&store);
    assert_eq!((state.chosen, state.top(10, &store)), (Some(97), 90));
    press_all(&[KeyCode::PageUp], &mut state, &store);
    assert_eq!((state.chosen, state.top(10, &store)), (Some(87), 80));
    press_all(&[KeyCode::Home, KeyCode::Down], &mut state, &store);
    assert_eq!((state.chosen, state.top(10, &store)), (Some(1), 0));
    press_all(&[KeyCode::PageDown; 20], &mut state, &store);
    assert_eq!((state.chosen, state.follows), (Some(100), false));
    press_all(&[KeyCode::End], &mut state, &store);
    store.push(entry(101));
    state.settle(&store);
    assert_eq!((state.chosen, state.follows), (Some(101), true));
    press_all(&[KeyCode::Down], &mut state, &store);
    assert!(state.follows);
}

#[test]
fn choice_goes_on_when_its_path_is_dropped() {
    let size = entry(0).bytes();
    let mut store = Store::new(10 * size);
    (0..10).for_each(|id| store.push(entry(id)));
    let mut state = State::default();
    press_all(&[KeyCode::Home], &mut state, &store);
    (10..15).for_each(|id| store.push(entry(id)));
    state.settle(&store);
    assert!(state.chosen >= Some(5));
    assert!(store.get(state.chosen.unwrap()).is_some());
}

#[test]
fn expressions_are_asked_for_as_they_are_typed() {
    let (store, mut state) = (store(3), State::default());
    let asks = press_all(&typed("/udp"), &mut state, &store);
    let texts = ["u", "ud", "udp"].map(|text| Ask::Filter(text.into()));
    assert_eq!(asks, texts);
    assert!(press_all(&[KeyCode::Enter], &mut state, &store).is_empty());
    // It can be corrected later, and q is a letter there.
    let asks = press_all(&typed("/q"), &mut state, &store);
    assert_eq!(asks, [Ask::Filter("udpq".into())]);
    let asks = press_all(&[KeyCode::Esc], &mut state, &store);
    assert_eq!(asks, [Ask::Filter(String::new())]);
    assert!(matches!(state.mode, Mode::Browse));
}

/// Wherever a line begins, all keys go there until it ends, and change nothing else.
#[test]
fn what_is_typed_in_a_line_goes_there_only() {
    let store = store(3);
    let letters: String = ('!'..='~').chain(['\u{e4}', ' ']).collect();
    let modes = [|| Mode::Browse, || Mode::Help, || Mode::Notices];
    for (mode, list) in modes
        .iter()
        .flat_map(|mode| [(mode, List::Paths), (mode, List::Flows)])
    {
        for begin in ['/', 't'] {
            let mut state = State {
                mode: mode(),
                list,
                is_road_only: list == List::Paths,
                ..State::default()
            };
            state.settle(&store);
            press_all(&[KeyCode::Char(begin)], &mut state, &store);
            let before = format!(
                "{:?}",
                (state.chosen, state.order, state.is_paused, state.left)
            );
            let asks = press_all(&typed(&letters), &mut state, &store);
            let after = format!(
                "{:?}",
                (state.chosen, state.order, state.is_paused, state.left)
            );
            assert_eq!(before, after);
            let text = match (&state.mode, begin) {
                (Mode::Filter(input), '/') => {
                    assert_eq!(asks.len(), letters.chars().count());
                    input.text()
                }
                (Mode::Time(input), 't') => {
                    assert!(asks.is_empty());
                    input.text()
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(text, letters, "{list:?}");
        }
    }
}

#[test]
fn keys_close_the_help_or_do_what_they_do_elsewhere() {
    let (store, mut state) = (store(3), State::default());
    for (keys, paused) in [
        ("? ", false),
        ("?h", false),
        ("?q", false),
        ("nq", false),
        ("nn", false),
        ("?p", true),
        ("np", false),
    ] {
        press_all(&typed(keys), &mut state, &store);
        assert!(matches!(state.mode, Mode::Browse), "{keys}");
        assert_eq!(state.is_paused, paused, "{keys}");
    }
    press_all(&typed("?n"), &mut state, &store);
    assert!(matches!(state.mode, Mode::Notices));
}

#[test]
fn times_are_asked_for_at_the_end() {
    let (store, mut state) = (store(3), State::default());
    let mut keys = typed("t+10s");
    keys.push(KeyCode::Enter);
    let asks = press_all(&keys, &mut state, &store);
    assert_eq!(asks, [Ask::Jump("+10s".into())]);
    let keys = [KeyCode::Char('t'), KeyCode::Esc];
    assert!(press_all(&keys, &mut state, &store).is_empty());
}

#[test]
fn other_keys_switch_and_leave() {
    let (store, mut state) = (store(3), State::default());
    press_all(&typed(" fjjjjs"), &mut state, &store);
    assert!(state.is_paused);
    assert_eq!((state.list, state.flow), (List::Flows, 2));
    press_all(&typed("f?"), &mut state, &store);
    assert!(matches!(state.mode, Mode::Help));
    let asks = press_all(&typed("xnqq"), &mut state, &store);
    assert_eq!(asks, [Ask::Quit]);
    let with_control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
    for mode in [Mode::Browse, Mode::Help, Mode::Filter(Input::default())] {
        state.mode = mode;
        let ask = press(with_control('z'), &mut state, &store, 0);
        assert_eq!(ask, Ask::Suspend);
        assert_eq!(press(with_control('c'), &mut state, &store, 0), Ask::Quit);
    }
}

#[test]
fn nothing_to_choose_is_no_mistake() {
    let (store, mut state) = (store(0), State::default());
    let keys = [
        KeyCode::Up,
        KeyCode::PageDown,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::Enter,
        KeyCode::Char('J'),
        KeyCode::Left,
    ];
    press_all(&keys, &mut state, &store);
    press_all(&typed("fjkG"), &mut state, &store);
    assert_eq!(state.chosen, None);
}
