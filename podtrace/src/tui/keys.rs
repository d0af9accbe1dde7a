//! What each key does.
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    input::Input,
    state::{List, Mode, Move, State},
    store::Store,
};

/// What a key asks of the screen, beyond a change of the choices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Nothing,
    /// To leave.
    Quit,
    /// To stop until the shell continues it.
    Suspend,
    /// To apply an expression while it is typed; an empty one shows all.
    Filter(String),
    /// To go to a time.
    Jump(String),
}

/// The keys, for people.
pub(super) const HELP: &[(&str, &str)] = &[
    ("up down  j k", "move by one; PgUp PgDn by a page"),
    (
        "Home End  g G",
        "the oldest; the newest, and follow what comes",
    ),
    ("Space  p", "pause: what comes waits"),
    ("Enter", "the road alone, or the list again"),
    ("J K", "scroll the road"),
    ("f  Tab", "packets or flows"),
    ("s  left right", "flows: another order; the columns beside"),
    ("/", "show what matches a pcap-filter expression"),
    ("t", "go to a time: 12:00:00, +10s, 2026-11-24T12:00:00Z"),
    ("Esc", "take the filter back"),
    ("n", "notices"),
    ("?", "this help"),
    ("Ctrl-Z", "suspend; fg continues"),
    ("q  Ctrl-C", "quit: the summary follows"),
];

/// Columns by which the flows move sideways.
const SIDEWAYS: usize = 10;

/// Changes the choices by a key.
pub(super) fn press(key: KeyEvent, state: &mut State, store: &Store, flows: usize) -> Ask {
    if key.kind == KeyEventKind::Release {
        return Ask::Nothing;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        match key.code {
            KeyCode::Char('c') => return Ask::Quit,
            KeyCode::Char('z') => return Ask::Suspend,
            _ => {}
        }
    }
    match &mut state.mode {
        Mode::Browse => browse(key, state, store, flows),
        Mode::Help | Mode::Notices => {
            let only_closes = match key.code {
                KeyCode::Esc | KeyCode::Enter | KeyCode::Char(' ' | 'q') => true,
                KeyCode::Char('?' | 'h') => matches!(state.mode, Mode::Help),
                KeyCode::Char('n') => matches!(state.mode, Mode::Notices),
                _ => false,
            };
            state.mode = Mode::Browse;
            match only_closes {
                true => Ask::Nothing,
                // What is typed next may be meant for what the key begins.
                false => browse(key, state, store, flows),
            }
        }
        Mode::Filter(input) => match typed(key, input) {
            Typed::Changed => {
                state.expression = input.text();
                Ask::Filter(input.text())
            }
            Typed::Moved => Ask::Nothing,
            Typed::Done => {
                state.mode = Mode::Browse;
                Ask::Nothing
            }
            Typed::Left => {
                state.mode = Mode::Browse;
                show_all(state)
            }
        },
        Mode::Time(input) => match typed(key, input) {
            Typed::Changed | Typed::Moved => Ask::Nothing,
            Typed::Done => {
                let time = input.text();
                state.mode = Mode::Browse;
                Ask::Jump(time)
            }
            Typed::Left => {
                state.mode = Mode::Browse;
                Ask::Nothing
            }
        },
    }
}

fn browse(key: KeyEvent, state: &mut State, store: &Store, flows: usize) -> Ask {
    state.message = None;
    if let Some(step) = step(key) {
        match state.list {
            List::Paths => state.step(step, store),
            List::Flows => state.step_flow(step, flows),
        }
        return Ask::Nothing;
    }
    match key.code {
        KeyCode::Char('q') => return Ask::Quit,
        KeyCode::Char(' ' | 'p') => state.is_paused = !state.is_paused,
        KeyCode::Enter => {
            state.is_road_only = state.list == List::Paths && !state.is_road_only;
            state.road_top = 0;
        }
        KeyCode::Char('J') => state.road_top = state.road_top.saturating_add(1),
        KeyCode::Char('K') => state.road_top = state.road_top.saturating_sub(1),
        KeyCode::Char('f') | KeyCode::Tab => {
            state.is_road_only = false;
            state.list = match state.list {
                List::Paths => List::Flows,
                List::Flows => List::Paths,
            };
        }
        KeyCode::Left => state.left = state.left.saturating_sub(SIDEWAYS),
        KeyCode::Right => state.left = state.left.saturating_add(SIDEWAYS),
        KeyCode::Char('s') if state.list == List::Flows => state.next_order(),
        KeyCode::Char('/') => {
            state.list = List::Paths;
            state.mode = Mode::Filter(Input::new(&state.expression));
        }
        KeyCode::Char('t') => {
            state.list = List::Paths;
            state.mode = Mode::Time(Input::default());
        }
        KeyCode::Char('n') => state.mode = Mode::Notices,
        KeyCode::Char('?' | 'h') => state.mode = Mode::Help,
        KeyCode::Esc if state.is_road_only => state.is_road_only = false,
        KeyCode::Esc => return show_all(state),
        _ => {}
    }
    Ask::Nothing
}

fn show_all(state: &mut State) -> Ask {
    state.expression.clear();
    Ask::Filter(String::new())
}

fn step(key: KeyEvent) -> Option<Move> {
    Some(match key.code {
        KeyCode::Up | KeyCode::Char('k') => Move::By(-1),
        KeyCode::Down | KeyCode::Char('j') => Move::By(1),
        KeyCode::PageUp => Move::Pages(-1),
        KeyCode::PageDown => Move::Pages(1),
        KeyCode::Home | KeyCode::Char('g') => Move::First,
        KeyCode::End | KeyCode::Char('G') => Move::Last,
        _ => return None,
    })
}

/// What a key has done to a line.
enum Typed {
    Changed,
    Moved,
    Done,
    Left,
}

fn typed(key: KeyEvent, input: &mut Input) -> Typed {
    let with_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Enter => return Typed::Done,
        KeyCode::Esc => return Typed::Left,
        KeyCode::Left => input.left(),
        KeyCode::Right => input.right(),
        KeyCode::Home => input.home(),
        KeyCode::End => input.end(),
        KeyCode::Char('a') if with_control => input.home(),
        KeyCode::Char('e') if with_control => input.end(),
        _ => {
            match key.code {
                KeyCode::Char('u') if with_control => input.remove_all_before(),
                KeyCode::Char('w') if with_control => input.remove_word_before(),
                KeyCode::Char(_) if with_control => {}
                KeyCode::Char(c) => input.insert(c),
                KeyCode::Backspace => input.remove_before(),
                KeyCode::Delete => input.remove_behind(),
                _ => {}
            }
            return Typed::Changed;
        }
    }
    Typed::Moved
}

#[cfg(test)]
mod tests;
