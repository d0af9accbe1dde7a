//! The thread of the screen: takes what came, draws, and listens to keys.
use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use ratatui::crossterm::event::{Event, KeyEvent};

use super::{
    Limits,
    events::Events,
    filter::{Compiled, Compiler},
    keys::{Ask, press},
    shared::{Counts, NOTICES_MAX, Shared, Taken, lock},
    state::{List, State},
    store::{Landing, Store},
    terminal,
    view::{self, Facts, Rates},
};
use crate::{filter::Mistake, replay::options::Moment, signals::Stop, stats::Flow};

/// How often new data are drawn at most.
const DRAW: Duration = Duration::from_millis(100);
/// How often it is looked for what came: a replay that waits for room goes on.
const LOOK: Duration = Duration::from_millis(20);
/// How often rates are computed, and flows are counted.
const SECOND: Duration = Duration::from_secs(1);

/// What the thread works with.
pub(super) struct Runner {
    shared: Arc<Shared>,
    stop: Stop,
    /// Whether it shows a recording.
    is_replay: bool,
    /// Whether that can be read again from any time on.
    rereads: bool,
    /// Whether to pause once the list is full, so that the packets of a chosen time stay.
    stops_full: bool,
    moment: fn(&str) -> Result<Moment, String>,
    store: Store,
    state: State,
    compiler: Compiler,
    mistake: Option<Mistake>,
    notices: VecDeque<String>,
    flows: Flows,
    facts: Facts,
    counted: (Instant, Counts),
}

/// The flows as they are shown.
#[derive(Default)]
struct Flows {
    rows: Vec<Flow>,
    listed: Option<Instant>,
}

impl Runner {
    pub(super) fn new(
        shared: Arc<Shared>,
        limits: Limits,
        stop: Stop,
        facts: Facts,
        moment: fn(&str) -> Result<Moment, String>,
    ) -> io::Result<Self> {
        Ok(Self {
            shared,
            stop,
            is_replay: limits.waits,
            rereads: false,
            stops_full: false,
            moment,
            store: Store::new(limits.list_bytes),
            state: State::default(),
            compiler: Compiler::start()?,
            mistake: None,
            notices: VecDeque::new(),
            flows: Flows::default(),
            facts,
            counted: (Instant::now(), Counts::default()),
        })
    }

    /// The recording can be read again from any time on.
    pub(super) fn rereading(self) -> Self {
        Self {
            rereads: true,
            ..self
        }
    }

    /// Runs until the user quits, or the screen is to go; returns the last notices.
    pub(super) fn run(mut self) -> io::Result<Vec<String>> {
        match self.show() {
            Err(error) if !terminal::is_closed() => Err(error),
            _ => Ok(self.notices.into()),
        }
    }

    fn show(&mut self) -> io::Result<()> {
        let mut screen = terminal::enter(self.facts.color)?;
        let events = Events::listen()?;
        let mut drawn: Option<Instant> = None;
        let mut is_new = true;
        while self.goes_on() {
            is_new |= self.take();
            let is_due = drawn.is_none_or(|drawn| drawn.elapsed() >= DRAW);
            if is_new && is_due {
                self.draw(&mut screen)?;
                drawn = Some(Instant::now());
                is_new = false;
            }
            let mut limit = self.pause(is_new);
            while let Some(event) = events.next(limit)? {
                limit = Duration::ZERO;
                match event {
                    Event::Key(key) => match self.press(key) {
                        Ask::Quit => return Ok(()),
                        Ask::Suspend => terminal::suspend(&mut screen)?,
                        _ => {}
                    },
                    Event::Resize(..) => {}
                    _ => continue,
                }
                (is_new, drawn) = (true, None);
            }
        }
        Ok(())
    }

    fn goes_on(&self) -> bool {
        let has_terminal = terminal::is_taken() && !terminal::is_closed();
        has_terminal && !self.stop.is_set() && !self.shared.inbox().is_abandoned
    }

    /// How long keys are waited for.
    fn pause(&self, is_new: bool) -> Duration {
        let is_busy = is_new || self.compiler.is_awaited() || !self.facts.has_ended;
        if is_busy { LOOK } else { DRAW }
    }

    /// Takes what came; returns whether there is anything new to be drawn.
    fn take(&mut self) -> bool {
        let mut is_new = false;
        if let Some(compiled) = self.compiler.result() {
            self.apply(compiled);
            is_new = true;
        }
        if !self.state.is_paused {
            let Taken { entries, notices } = self.shared.take();
            is_new |= !entries.is_empty() || !notices.is_empty();
            for entry in entries {
                self.store.push(entry);
            }
            if self.stops_full && self.store.is_full() {
                self.stops_full = false;
                self.state.is_paused = true;
            }
            for notice in notices {
                if self.notices.len() >= NOTICES_MAX {
                    self.notices.pop_front();
                }
                self.notices.push_back(notice);
            }
        }
        is_new |= self.store.choose(&self.shared.headers);
        is_new | self.count()
    }

    /// Brings counts and rates up to date.
    fn count(&mut self) -> bool {
        let before = self.facts.clone();
        let counts = self.shared.counts();
        {
            let inbox = self.shared.inbox();
            self.facts.of.clone_from(&inbox.of);
            self.facts.progress.clone_from(&inbox.progress);
            self.facts.has_ended = inbox.has_ended;
            self.facts.waiting = if self.state.is_paused {
                inbox.waiting()
            } else {
                0
            };
        }
        self.facts.counts = counts;
        let (at, last) = self.counted;
        let elapsed = at.elapsed();
        if elapsed >= SECOND {
            self.facts.rates = Rates::between(last, counts, elapsed);
            self.counted = (Instant::now(), counts);
        }
        self.list_flows();
        self.facts != before
    }

    fn list_flows(&mut self) {
        let is_due = self
            .flows
            .listed
            .is_none_or(|listed| listed.elapsed() >= SECOND);
        if self.state.list != List::Flows || self.state.is_paused || !is_due {
            return;
        }
        let flows = lock(&self.shared.flows);
        self.facts.flows_forgotten = flows.count().1;
        self.facts.flows_now_ns = flows.newest_ns();
        self.flows.rows = flows.top(self.state.order, usize::MAX, 0);
        self.flows.listed = Some(Instant::now());
    }

    fn apply(&mut self, compiled: Compiled) {
        match compiled {
            Ok(filter) => {
                self.mistake = None;
                self.shared.set_filter(filter.clone());
                self.store.set_filter(filter);
            }
            Err(mistake) => self.mistake = Some(mistake),
        }
    }

    fn press(&mut self, key: KeyEvent) -> Ask {
        let (list, order) = (self.state.list, self.state.order);
        let ask = press(key, &mut self.state, &self.store, self.flows.rows.len());
        if (list, order) != (self.state.list, self.state.order) {
            self.flows.listed = None;
        }
        match &ask {
            Ask::Filter(text) if text.is_empty() => {
                self.compiler.ask(String::new());
                self.apply(Ok(None));
            }
            Ask::Filter(text) => self.compiler.ask(text.clone()),
            Ask::Jump(text) => self.jump(text),
            Ask::Nothing | Ask::Quit | Ask::Suspend => {}
        }
        ask
    }

    /// Goes to the first packet of a time.
    fn jump(&mut self, text: &str) {
        let Some((begin_ns, _)) = self.store.span() else {
            return;
        };
        let begin_ns = self.facts.begin_ns.unwrap_or(begin_ns);
        let moment = match (self.moment)(text) {
            Ok(moment) => moment,
            Err(words) => {
                self.state.message = Some(format!("{text} is no time: {words}"));
                return;
            }
        };
        let at_ns = moment.absolute_ns(begin_ns);
        self.store.choose_all(&self.shared.headers);
        self.state.message = match self.store.at(at_ns) {
            Landing::Dropped if self.rereads => return self.reread(at_ns),
            Landing::Dropped => {
                self.go_to(0);
                let hint = match self.is_replay {
                    true => format!(": podtrace replay --tui --since {text} begins there"),
                    false => String::new(),
                };
                Some(format!("what is older was dropped{hint}"))
            }
            Landing::At(number) => {
                self.go_to(number);
                None
            }
            Landing::Unmatched => {
                let words = view::local(at_ns);
                Some(format!("no packet from {words} on matches: Esc shows all"))
            }
            Landing::Behind(last_ns) => {
                Some(format!("the last packet is of {}", view::local(last_ns)))
            }
            Landing::Nowhere => return,
        };
    }

    /// Chooses the shown path of a number, and shows it above all others.
    fn go_to(&mut self, number: usize) {
        self.state.row = 0;
        self.state.choose(number, &self.store);
    }

    /// Begins anew with the packets from a time on.
    fn reread(&mut self, from_ns: u64) {
        self.store.clear();
        self.shared.reread(from_ns);
        self.state.begin();
        self.stops_full = true;
        let words = view::local(from_ns);
        self.state.message = Some(format!("read from {words} on until the list is full"));
    }

    fn draw(&mut self, screen: &mut terminal::Screen) -> io::Result<()> {
        if self.facts.begin_ns.is_none() && self.store.dropped() == 0 {
            self.facts.begin_ns = self.store.span().map(|(begin_ns, _)| begin_ns);
        }
        self.state.settle(&self.store);
        let model = view::Model {
            store: &self.store,
            facts: &self.facts,
            mistake: self.mistake.as_ref(),
            notices: &self.notices,
            flows: &self.flows.rows,
        };
        screen.draw(|frame| view::draw(frame, &model, &mut self.state))?;
        Ok(())
    }
}
