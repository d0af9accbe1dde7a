//! Sessions of several nodes that are recorded meanwhile: their clocks, their losses, their ends.
mod budget;
mod clocks;
#[cfg(feature = "cluster")]
mod newcomer;

use std::{
    fs::File,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    ShowLine,
    inputs::Input,
    merge::{Merge, Stream},
};
#[cfg(feature = "cluster")]
use crate::session::reader::Relayed;
use crate::{
    agent::{Budget, Control},
    pipeline::Pipeline,
    session::{
        format::SectionInfo,
        reader::{Ahead, Reader, ReaderOptions, Watch},
    },
    signals::Stop,
    text::{count::counted, sanitize::sanitize},
};
use budget::Spending;
pub(crate) use clocks::Clocks;
use clocks::Solved;
#[cfg(feature = "cluster")]
pub(crate) use clocks::{Begun, Later};
#[cfg(feature = "cluster")]
pub(crate) use newcomer::Newcomer;

/// How long the others wait for a node's packets.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// How long the sessions may take to end once they were asked to.
const END: Duration = Duration::from_secs(3);
/// How often the state of the nodes is shown, and how late one has to be to be told.
const SHOW: Duration = Duration::from_millis(500);
const LATE: Duration = Duration::from_millis(300);
/// Pause between two looks at what has come.
const PAUSE: Duration = Duration::from_millis(5);

/// How a node is, in words.
fn state(name: &str, stream: &Stream) -> String {
    let mut words = name.to_owned();
    if stream.has_ended() {
        words += ": ended";
    } else if let Some(late) = stream.lateness().filter(|late| *late > LATE) {
        words += &format!(": {:.1} s behind", late.as_secs_f64());
    }
    let missing = stream.missing() + stream.too_late();
    if missing > 0 {
        words += &format!(", {} lost", counted(missing, "event"));
    }
    words
}

/// A node's session, as an agent streams it.
pub(crate) struct Feed {
    /// Where the agent is, safe to show.
    name: String,
    pub(super) info: SectionInfo,
    session: Option<Ahead>,
    control: Control,
    /// Whether its end was told.
    is_told: bool,
    /// Whether it was told that the others go on without it.
    is_behind: bool,
}

impl Feed {
    /// Reads the begin of a session, for which it waits. `watch`: of [`Clocks::watch`].
    ///
    /// # Errors
    /// When it is no session of podtrace.
    pub(crate) fn begin(
        name: String,
        (pipe, control): (File, Control),
        (options, watch): (ReaderOptions, Watch),
    ) -> anyhow::Result<Self> {
        let reader = Reader::over(Path::new(&name), pipe, options)?;
        let mut session = Ahead::live(reader, watch)?;
        let Some(info) = session.peek_section()?.cloned() else {
            anyhow::bail!("{name} streams no session of podtrace");
        };
        Ok(Self {
            name,
            info,
            session: Some(session),
            control,
            is_told: false,
            is_behind: false,
        })
    }

    /// A session that comes through a queue, and what puts it together. `number`: its place among
    /// those of all nodes.
    #[cfg(feature = "cluster")]
    pub(crate) fn relay(
        name: &str,
        (options, clocks): (ReaderOptions, &Clocks),
        number: usize,
    ) -> (Relayed, Ahead) {
        Relayed::new(name, options, clocks.watch(number))
    }

    /// The same, once its begin has come.
    ///
    /// # Errors
    /// When it is no session of podtrace.
    #[cfg(feature = "cluster")]
    pub(crate) fn relayed(name: String, mut session: Ahead) -> anyhow::Result<Self> {
        let Some(info) = session.peek_section()?.cloned() else {
            anyhow::bail!("{name} is no session of podtrace");
        };
        Ok(Self {
            name,
            info,
            session: Some(session),
            control: Control::default(),
            is_told: false,
            is_behind: false,
        })
    }

    /// What is to be told of it, safe to show.
    fn says(&self, words: &str) -> String {
        sanitize(&format!(
            "{} ({}): {words}",
            self.info.nodes.join(", "),
            self.name
        ))
    }

    /// Where its agent is, safe to show.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The names of its nodes, as its agent gave them.
    pub(crate) fn nodes(&self) -> &[String] {
        &self.info.nodes
    }

    /// UTC nanoseconds at zero of its clock.
    pub(crate) fn epoch_ns(&self) -> i64 {
        self.info.epoch_ns
    }
}

/// The sessions of all nodes.
pub(crate) struct Cluster {
    feeds: Vec<Feed>,
    clocks: Clocks,
    /// What agents send together at most, if it was asked of them.
    spending: Option<Spending>,
    /// Shows how the nodes are, and when it last did.
    show: Option<(ShowLine, Instant)>,
    /// When the sessions are asked to end, whatever the agents do.
    lasts: Option<Instant>,
    /// When the sessions have to have ended, once they were asked to.
    until: Option<Instant>,
    /// How many have not ended then.
    unended: usize,
    /// Sessions that have begun since.
    #[cfg(feature = "cluster")]
    pub(crate) newcomers: Option<std::sync::mpsc::Receiver<Newcomer>>,
}

impl Cluster {
    pub(crate) fn new(feeds: Vec<Feed>, clocks: Clocks) -> Self {
        Self {
            feeds,
            clocks,
            spending: None,
            show: None,
            lasts: None,
            until: None,
            unended: 0,
            #[cfg(feature = "cluster")]
            newcomers: None,
        }
    }

    /// Ends the sessions after so long, if the agents do not.
    pub(crate) fn end_after(&mut self, duration: Duration) {
        self.lasts = Instant::now().checked_add(duration.saturating_add(PATIENCE));
    }

    /// Says what agents were asked to send together at most. Each tells of its share of the packets
    /// from the begin on.
    pub(crate) fn set_budget(&mut self, budget: Budget) {
        self.spending = Some(Spending::new(budget));
    }

    /// What agents send together at most, if it was asked of them.
    pub(super) fn budget(&self) -> Option<Budget> {
        self.spending.as_ref().map(|spending| spending.budget)
    }

    /// Shows how the nodes are below what is printed.
    pub(crate) fn show(&mut self, show: ShowLine) {
        self.show = Some((show, Instant::now()));
    }

    /// Shows how the nodes are, if it is time to.
    pub(super) fn show_state(&mut self, merge: &Merge) {
        if let Some((show, shown)) = &mut self.show
            && shown.elapsed() >= SHOW
        {
            *shown = Instant::now();
            let nodes = self.feeds.iter().zip(merge.streams());
            let nodes = nodes.map(|(feed, stream)| state(&feed.info.nodes.join(", "), stream));
            let nodes: Vec<_> = nodes.collect();
            show(sanitize(&nodes.join(" · ")));
        }
    }

    /// The sessions as inputs, the first of which is the reference for the clocks.
    pub(super) fn inputs(&self) -> Vec<Input> {
        let all = self.feeds.iter();
        all.map(|feed| Input::live(feed.info.clone())).collect()
    }

    /// Takes the session of an input.
    pub(super) fn take(&mut self, number: usize) -> Option<Ahead> {
        self.feeds.get_mut(number)?.session.take()
    }

    /// No session can begin later.
    #[cfg(not(feature = "cluster"))]
    pub(super) fn take_in(&mut self, _: &mut Merge, _: &mut Pipeline) -> bool {
        false
    }

    /// Corrects the clocks by what is known of them by now.
    pub(super) fn correct(&mut self, merge: &mut Merge, pipeline: &mut Pipeline) {
        for number in 0..self.feeds.len() {
            if self.clocks.is_ahead(number) {
                self.give_up(number, merge, pipeline);
            }
        }
        let reached = self.clocks.reached();
        if let Some(solved) = self.clocks.solve_if_due() {
            set_clocks(solved, merge, pipeline);
        }
        let streams = merge.streams();
        let is_awaited = |number: usize| {
            let stream = streams.get(number);
            stream.is_some_and(|stream| !stream.has_ended() && !stream.is_left_behind())
        };
        let until_ns = self.clocks.until_ns(&reached, is_awaited);
        merge.hold_after(until_ns, &reached);
    }

    /// Takes no more of a session: with its times, those of the others would come too late.
    fn give_up(&mut self, number: usize, merge: &mut Merge, pipeline: &mut Pipeline) {
        let feed = &mut self.feeds[number];
        if std::mem::replace(&mut feed.is_told, true) {
            return;
        }
        feed.control.end();
        pipeline.notice(
            &feed.says(
                "it tells of times that have not come; its packets are not seen from here on",
            ),
        );
        merge.give_up(number, pipeline);
    }

    /// Asks all sessions to end.
    pub(super) fn end(&mut self) {
        if self.until.is_none() {
            self.until = Some(Instant::now() + END);
            self.feeds.iter_mut().for_each(|feed| feed.control.end());
        }
    }

    /// Whether the sessions should have ended by themselves.
    pub(super) fn is_due(&self) -> bool {
        self.lasts.is_some_and(|lasts| Instant::now() >= lasts)
    }

    /// Whether the sessions have had time enough to end.
    pub(super) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Waits for more.
    pub(super) fn pause(&self, stop: &Stop) -> std::io::Result<()> {
        match self.until {
            Some(_) => {
                thread::sleep(PAUSE);
                Ok(())
            }
            None => stop.sleep(PAUSE),
        }
    }

    /// Tells which sessions have failed since it was last asked, and what agents tell of theirs.
    pub(super) fn tell_ends(&mut self, merge: &Merge, pipeline: &mut Pipeline) {
        if let Some(spending) = &mut self.spending {
            spending.tell(&self.feeds, pipeline);
        }
        for (feed, stream) in self.feeds.iter_mut().zip(merge.streams()) {
            for words in feed.control.notices() {
                pipeline.notice(&feed.says(&words));
            }
            if let Some(why) = feed.control.failure().filter(|_| !feed.is_told) {
                feed.is_told = true;
                let why = why.lines().next().unwrap_or_default();
                let words = format!("{why}; its packets are not seen from here on");
                pipeline.notice(&feed.says(&words));
            }
            let is_behind = stream.is_left_behind() && !feed.is_told;
            if is_behind != std::mem::replace(&mut feed.is_behind, is_behind) && !feed.is_told {
                let words = match is_behind {
                    true => format!(
                        "has sent nothing for {} s; the others go on without it",
                        PATIENCE.as_secs()
                    ),
                    false => "is back".to_owned(),
                };
                pipeline.notice(&feed.says(&words));
            }
        }
    }

    /// Tells which sessions have not ended though they were to.
    pub(super) fn tell_unended(&mut self, merge: &Merge, pipeline: &mut Pipeline) {
        for (feed, stream) in self.feeds.iter().zip(merge.streams()) {
            if !stream.has_ended() && !stream.chain().has_ended() {
                self.unended += 1;
                let words = "does not end its trace; what it saw last is not known";
                pipeline.notice(&feed.says(words));
            }
        }
    }

    /// How many sessions have not ended though they were to.
    pub(super) fn unended(&self) -> usize {
        self.unended
    }

    /// Tells what came too late, and how well the clocks are known.
    pub(super) fn sum_up(&self, merge: &Merge, pipeline: &mut Pipeline) {
        for (feed, stream) in self.feeds.iter().zip(merge.streams()) {
            if stream.too_late() > 0 {
                let nodes = feed.info.nodes.join(", ");
                let events = counted(stream.too_late(), "event");
                pipeline.notice(&sanitize(&format!(
                    "{nodes} fell behind for more than {} s: {events} came too late",
                    PATIENCE.as_secs()
                )));
            }
        }
        if let Some(spending) = &self.spending {
            spending.sum_up(&self.feeds, pipeline);
        }
        let names: Vec<_> = self
            .feeds
            .iter()
            .map(|feed| feed.info.nodes.join("+"))
            .collect();
        if let Some((show, _)) = &self.show {
            show(String::new());
        }
        for words in self.clocks.in_words(&names) {
            pipeline.notice(&sanitize(&words));
        }
    }
}

/// Corrects the clocks of all sessions but the first, which is the reference.
fn set_clocks(solved: Solved, merge: &mut Merge, pipeline: &mut Pipeline) {
    for (number, clock) in solved.clocks.iter().enumerate().skip(1) {
        merge.correct(number, Arc::clone(&clock.line));
        if let Some(stream) = merge.streams().get(number) {
            let known = stream
                .nodes()
                .map(|node| (node, (number, Arc::clone(&clock.line))));
            pipeline.world_mut().clocks.extend(known);
        }
    }
    pipeline.world_mut().doubts = solved.doubts;
}
