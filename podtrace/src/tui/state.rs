//! What the user has chosen to see.
use crate::stats::flows::Order;

use super::{input::Input, store::Store};

/// What the upper part lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum List {
    #[default]
    Paths,
    Flows,
}

/// What keys are for.
#[derive(Debug, Default)]
pub(super) enum Mode {
    /// To move and to choose.
    #[default]
    Browse,
    /// To write an expression.
    Filter(Input),
    /// To write a time.
    Time(Input),
    Help,
    Notices,
}

/// The choices.
#[derive(Debug)]
pub(super) struct State {
    pub(super) mode: Mode,
    pub(super) list: List,
    pub(super) order: Order,
    /// The place of the chosen path; none before there is one.
    pub(super) chosen: Option<u64>,
    /// Whether the newest path is the chosen one.
    pub(super) follows: bool,
    /// Whether new paths wait.
    pub(super) is_paused: bool,
    /// Whether the road has all room.
    pub(super) is_road_only: bool,
    /// Lines of the road above the window.
    pub(super) road_top: usize,
    /// The line of the chosen path in the window.
    pub(super) row: usize,
    /// The chosen flow.
    pub(super) flow: usize,
    /// The expression that was typed last, whatever came of it.
    pub(super) expression: String,
    /// Columns of the flows to the left of the window.
    pub(super) left: usize,
    /// What is wrong with the last input, or what came of it.
    pub(super) message: Option<String>,
    /// Lines of the list in the window, known once it was drawn.
    pub(super) page: usize,
}

impl Default for State {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            list: List::default(),
            order: Order::Last,
            chosen: None,
            follows: true,
            is_paused: false,
            is_road_only: false,
            road_top: 0,
            row: usize::MAX,
            flow: 0,
            expression: String::new(),
            left: 0,
            message: None,
            page: 1,
        }
    }
}

/// A move in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    By(isize),
    Pages(isize),
    First,
    Last,
}

impl State {
    /// Brings the choice in step with what is there.
    pub(super) fn settle(&mut self, store: &Store) {
        let last = store.len().checked_sub(1);
        let Some(last) = last else {
            self.chosen = None;
            return;
        };
        if self.follows {
            self.chosen = store.place(last);
            self.row = usize::MAX;
        } else {
            let number = self.number(store).min(last);
            self.chosen = store.place(number);
        }
    }

    /// Goes to the first path of a list that is empty yet.
    pub(super) fn begin(&mut self) {
        (self.chosen, self.follows, self.is_paused) = (None, false, false);
        (self.row, self.road_top) = (0, 0);
    }

    /// The number of the chosen path among those shown.
    pub(super) fn number(&self, store: &Store) -> usize {
        self.chosen.map_or(0, |place| store.number(place))
    }

    /// Moves in the list of paths.
    pub(super) fn step(&mut self, step: Move, store: &Store) {
        let Some(last) = store.len().checked_sub(1) else {
            return;
        };
        let number = self.number(store).min(last);
        let page = self.page.max(1);
        let row = self.row.min(page - 1);
        let (to, row) = match step {
            Move::By(by) => (
                number.saturating_add_signed(by),
                row.saturating_add_signed(by),
            ),
            Move::Pages(pages) => {
                let by = pages.saturating_mul(isize::try_from(page).unwrap_or(isize::MAX));
                (number.saturating_add_signed(by), row)
            }
            Move::First => (0, 0),
            Move::Last => (last, usize::MAX),
        };
        // The newest is left only by a move away from it.
        let follows = match step {
            Move::Last => true,
            Move::By(by) | Move::Pages(by) => by > 0 && to >= last && self.follows,
            Move::First => false,
        };
        self.row = row;
        self.choose(to.min(last), store);
        self.follows = follows;
    }

    /// Chooses the path of a number.
    pub(super) fn choose(&mut self, number: usize, store: &Store) {
        let place = store.place(number);
        if place != self.chosen {
            self.road_top = 0;
        }
        self.chosen = place;
        self.follows = false;
    }

    /// The number of the first line in a window of so many lines.
    pub(super) fn top(&self, page: usize, store: &Store) -> usize {
        let most = store.len().saturating_sub(page);
        let row = self.row.min(page.saturating_sub(1));
        self.number(store).saturating_sub(row).min(most)
    }

    /// Moves in the table of flows.
    pub(super) fn step_flow(&mut self, step: Move, flows: usize) {
        let last = flows.saturating_sub(1);
        let page = isize::try_from(self.page.max(1)).unwrap_or(isize::MAX);
        let to = match step {
            Move::By(by) => self.flow.saturating_add_signed(by),
            Move::Pages(pages) => self.flow.saturating_add_signed(pages.saturating_mul(page)),
            Move::First => 0,
            Move::Last => last,
        };
        self.flow = to.min(last);
    }

    /// The next order of the flows.
    pub(super) fn next_order(&mut self) {
        self.order = match self.order {
            Order::Last => Order::Packets,
            Order::Packets => Order::Bytes,
            Order::Bytes => Order::RoundTrip,
            Order::RoundTrip => Order::Retransmitted,
            Order::Retransmitted => Order::Lost,
            Order::Lost => Order::Last,
        };
    }
}
