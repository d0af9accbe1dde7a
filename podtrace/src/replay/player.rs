//! Plays files through the pipeline.
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;

use super::{
    follow::{FOLLOW_PAUSE, newer_files, wait_until_begun},
    inputs::{self, Input, common_payload, differ_in_sampling},
    prescan::{Prescan, prescan, unread},
    select::Selection,
    survey::{Links, Survey},
};
use crate::{
    clock::{nanos, nodes::Clock},
    model::{origin::Origin, start::Start},
    packet::DecodeOptions,
    path::HOP_TIMEOUT,
    pipeline::{Pipeline, consumer::Consumer},
    replay::{
        merge::{Merge, Step, Stream},
        options::{PlayerOptions, Span},
    },
    session::{chain::Chain, reader::ReaderOptions, recorder::Outline},
    text::sanitize::sanitize,
    update::Update,
};

/// Upper bound of the places of damage reported one by one.
const DAMAGE_MAX: usize = 20;

/// Plays files through a pipeline.
pub(crate) struct Player<'a> {
    args: &'a PlayerOptions,
    inputs: Vec<Input>,
    follow: bool,
    pub(crate) speed: Option<f64>,
    selection: Selection,
    /// The one interface whose packets are wanted.
    pub(crate) vantage: Option<String>,
    /// Whether the packets are recorded again: events hold the captured bytes, and the
    /// interfaces are known before.
    pub(crate) is_recorded: bool,
    /// Set to end it early.
    pub(crate) stop: Arc<AtomicBool>,
}

/// What consumers are made for.
pub(crate) struct Found<'a> {
    /// The files.
    pub(crate) inputs: &'a [Input],
    /// What a recording of them begins with, as far as that is known.
    pub(crate) outline: Outline,
}

/// The result of a replay.
pub(crate) struct Played {
    /// Events lost.
    pub(crate) lost: u64,
    /// Places where a file is damaged.
    pub(crate) damaged: usize,
}

impl Player<'_> {
    /// Finds the inputs. `follow`: they may still grow; `stop`: set to end early.
    pub(crate) fn new(
        args: &PlayerOptions,
        follow: bool,
        stop: Arc<AtomicBool>,
    ) -> anyhow::Result<Player<'_>> {
        if follow {
            wait_until_begun(&args.files, &stop);
        }
        Ok(Player {
            args,
            inputs: inputs::find(&args.files)?,
            follow,
            speed: None,
            selection: Selection::of(args),
            vantage: None,
            is_recorded: false,
            stop,
        })
    }

    /// Plays to consumers, which are made once the inputs are known.
    pub(crate) fn run(
        mut self,
        consumers: impl FnOnce(&Found<'_>) -> anyhow::Result<Vec<Box<dyn Consumer>>>,
    ) -> anyhow::Result<Played> {
        let inputs = std::mem::take(&mut self.inputs);
        let wants_end = matches!(self.args.last, Some(Span::Time(_)));
        if self.follow && inputs.len() > 1 && self.args.clock_offset.is_empty() {
            eprintln!(
                "podtrace: the clocks of growing files are taken as they are (--clock-offset)"
            );
        }
        let needs_prescan = (inputs.len() > 1 && !self.follow) || wants_end;
        if (needs_prescan || self.args.last.is_some()) && inputs.iter().any(Input::is_stdin) {
            bail!("--last takes a file, not standard input: it is read twice");
        }
        let offsets = &self.args.clock_offset;
        let prescan = match (needs_prescan, offsets.is_empty()) {
            (true, _) => Some(prescan(&inputs, offsets)?),
            (false, false) => Some(unread(&inputs, offsets)?),
            (false, true) => None,
        };
        let outline = self.survey(&inputs, prescan.as_ref())?;
        let show_from = match self.args.last {
            Some(Span::Packets(packets)) => {
                let all = self.packets(&inputs, prescan.as_ref())?;
                (all + 1).saturating_sub(packets)
            }
            _ => 0,
        };
        let mut pipeline = self.pipeline(&inputs);
        pipeline.show_from(show_from);
        set_clocks(&inputs, prescan.as_ref(), &mut pipeline);
        let found = Found {
            inputs: &inputs,
            outline,
        };
        for consumer in consumers(&found)? {
            pipeline.add(consumer);
        }
        self.introduce(&inputs, prescan.as_ref(), &mut pipeline);
        self.play(&inputs, prescan.as_ref(), &mut pipeline)
    }

    /// Finds out beforehand which interfaces there are, where that is needed and possible.
    fn survey(&mut self, inputs: &[Input], prescan: Option<&Prescan>) -> anyhow::Result<Outline> {
        let is_stdin = inputs.iter().any(Input::is_stdin);
        if self.vantage.is_some() && is_stdin {
            bail!("--vantage takes a file, not standard input: it is read twice");
        }
        if self.vantage.is_none() && (!self.is_recorded || is_stdin) {
            return Ok(Outline::default());
        }
        let mut pipeline = self.pipeline(inputs);
        let mut merge = Merge::new(self.streams(inputs, prescan, false)?);
        let mut links = Links::default();
        while !self.stop.load(Ordering::Relaxed) {
            if merge.step(&mut pipeline, &mut links, false)? == Step::Over {
                break;
            }
        }
        let survey = Survey::new(&links, pipeline.world());
        if let Some(vantage) = &self.vantage {
            self.selection.vantage = Some(survey.find(vantage)?);
        }
        let selection = &self.selection;
        Ok(survey.outline(&selection.interfaces, selection.vantage.as_ref()))
    }

    /// How many packets there are.
    fn packets(&self, inputs: &[Input], prescan: Option<&Prescan>) -> anyhow::Result<u64> {
        let mut pipeline = self.pipeline(inputs);
        let first = Player {
            args: self.args,
            inputs: Vec::new(),
            follow: false,
            speed: None,
            selection: Selection {
                interfaces: self.selection.interfaces.clone(),
                vantage: self.selection.vantage.clone(),
                since: self.selection.since,
                until: self.selection.until,
                ..Selection::default()
            },
            vantage: None,
            is_recorded: false,
            stop: Arc::clone(&self.stop),
        };
        first.play(inputs, prescan, &mut pipeline)?;
        Ok(pipeline.newest_packet())
    }

    fn pipeline(&self, inputs: &[Input]) -> Pipeline {
        let infos = inputs.iter().filter_map(Input::info);
        let recorded = infos.map(|info| info.hop_timeout_ns).max();
        let given = self.args.hop_timeout.map(nanos);
        let timeout_ns = given.or(recorded.filter(|ns| *ns > 0));
        let decode = DecodeOptions {
            vxlan_ports: Vec::new(),
            key_payload: common_payload(inputs),
        };
        let count = match self.args.first {
            Some(Span::Packets(packets)) => Some(packets),
            _ => None,
        };
        let timeout_ns = timeout_ns.unwrap_or(nanos(HOP_TIMEOUT));
        let mut pipeline = Pipeline::new(decode, timeout_ns, count);
        let is_part = |input: &Input| {
            let info = input.info();
            info.is_some_and(|info| !info.interfaces.is_empty())
        };
        if self.selection.is_part() || inputs.iter().any(is_part) || differ_in_sampling(inputs) {
            pipeline.set_partial_view();
        }
        let world = pipeline.world_mut();
        if !inputs.iter().any(Input::is_stdin) {
            let names = inputs.iter().flat_map(Input::nodes);
            world.nodes = names.map(Into::into).collect();
        }
        if inputs.len() > 1 {
            world.silent = (0..world.nodes.len()).collect();
        }
        pipeline
    }

    /// Announces what is replayed, and by which clocks.
    fn introduce(&self, inputs: &[Input], prescan: Option<&Prescan>, pipeline: &mut Pipeline) {
        let nodes: Vec<_> = inputs.iter().map(Input::nodes).collect();
        let files: usize = inputs.iter().map(|input| input.files().len()).sum();
        let source = match files {
            1 => "1 file".to_owned(),
            _ => format!("{files} files"),
        };
        let start = Start {
            nodes: nodes.iter().flatten().cloned().collect(),
            source: Some(source),
            ..Start::default()
        };
        pipeline.apply(&Origin::default(), &Update::Start(start));
        let Some(prescan) = prescan else { return };
        let names: Vec<_> = nodes.iter().map(|nodes| nodes.join("+")).collect();
        let times = prescan.clocks.iter().zip(&prescan.times).enumerate();
        for (number, (clock, times)) in times.skip(1) {
            let middle_ns = times.map_or(0, |(first, last)| first + (last - first) / 2);
            let text = clock.describe(number, &names, middle_ns);
            pipeline.notice(&text);
        }
    }

    fn streams(
        &self,
        inputs: &[Input],
        prescan: Option<&Prescan>,
        keep_captured: bool,
    ) -> anyhow::Result<Vec<Stream>> {
        let options = ReaderOptions {
            key_payload: common_payload(inputs),
            keep_captured,
        };
        let numbers = inputs::numbers(inputs);
        let streams = inputs.iter().zip(numbers).enumerate();
        streams
            .map(|(number, (input, (session, nodes)))| {
                let clock = prescan.and_then(|prescan| prescan.clocks.get(number));
                let line = clock
                    .filter(|_| number > 0)
                    .map(|clock| Arc::clone(&clock.line));
                let origin = Origin { session, nodes };
                Ok(Stream::new(input.open(options, self.follow)?, origin, line))
            })
            .collect()
    }

    fn play(
        mut self,
        inputs: &[Input],
        prescan: Option<&Prescan>,
        pipeline: &mut Pipeline,
    ) -> anyhow::Result<Played> {
        if let (Some(Span::Time(span)), Some(prescan)) = (self.args.last, prescan) {
            let last_ns = last(prescan);
            self.selection.from_ns = last_ns.saturating_sub(nanos(span));
        }
        let mut merge = Merge::new(self.streams(inputs, prescan, self.is_recorded)?);
        let mut pace = self.speed.map(Pace::new);
        while !pipeline.is_done() && !self.stop.load(Ordering::Relaxed) {
            match merge.step(pipeline, &mut self.selection, self.follow)? {
                Step::Over => break,
                Step::At(ns) => {
                    if let Some(pace) = &mut pace
                        && let Some(pause) = pace.pause(ns)
                    {
                        pipeline.flush()?;
                        thread::sleep(pause);
                    }
                }
                Step::Waiting => {
                    pipeline.flush()?;
                    add_newer(&mut merge);
                    thread::sleep(FOLLOW_PAUSE);
                }
            }
        }
        if let Some(vantage) = self.vantage.filter(|_| !self.selection.has_matched) {
            pipeline.notice(&format!("no packet was seen at {}", sanitize(&vantage)));
        }
        let duration_ns = merge.finish(pipeline);
        let damaged = report_damage(&merge, pipeline);
        let lost = pipeline.end(duration_ns).total().lost();
        pipeline.close()?;
        Ok(Played { lost, damaged })
    }
}

/// The clocks of all sessions but the reference.
fn set_clocks(inputs: &[Input], prescan: Option<&Prescan>, pipeline: &mut Pipeline) {
    let clocks = prescan.map_or(&[][..], |prescan| &prescan.clocks);
    let numbers = inputs::numbers(inputs).into_iter().zip(clocks).enumerate();
    for (number, ((_, nodes), clock)) in numbers.skip(1) {
        let clocks = &mut pipeline.world_mut().clocks;
        clocks.extend(nodes.map(|node| (node, (number, Arc::clone(&clock.line)))));
    }
}

/// Time of the last packet by the reference clock.
fn last(prescan: &Prescan) -> u64 {
    let corrected = |(clock, times): (&Clock, &Option<(u64, u64)>)| {
        times.map(|(_, last)| clock.line.to_reference(last))
    };
    let all = prescan.clocks.iter().zip(&prescan.times);
    all.filter_map(corrected).max().unwrap_or(0)
}

/// Adds the next files of sessions that rotate, if they exist by now.
fn add_newer(merge: &mut Merge) {
    for stream in merge.streams_mut() {
        let files: Vec<PathBuf> = newer_files(stream.chain());
        for file in files {
            stream.chain_mut().add(file);
        }
    }
}

/// Reports what the files lack.
fn report_damage(merge: &Merge, pipeline: &mut Pipeline) -> usize {
    let (mut damaged, mut reported) = (0, 0);
    for stream in merge.streams() {
        let chain: &Chain = stream.chain();
        for (path, damage) in chain.damage().iter().take(DAMAGE_MAX - reported) {
            reported += 1;
            let text = format!(
                "{} is damaged: {}, {} bytes from byte {} on were skipped",
                path.display(),
                damage.reason,
                damage.len,
                damage.offset
            );
            pipeline.notice(&sanitize(&text));
        }
        damaged += chain.damaged();
        let unread = chain.unread();
        if unread.packets > 0 {
            pipeline.notice(&format!(
                "{} packets left out: without a time, of a link layer that is not known, or of an \
                 interface whose description is damaged",
                unread.packets
            ));
        }
        if unread.entries > 0 {
            pipeline.notice(&format!(
                "{} entries left out: of a newer podtrace",
                unread.entries
            ));
        }
        if chain.was_broken_off() {
            let file = chain.path().display().to_string();
            let file = sanitize(&file);
            pipeline.notice(&format!(
                "{file} ends without a closing block: what was lost in its last moments is not known"
            ));
        }
    }
    if damaged > reported {
        pipeline.notice(&format!("{} more places are damaged", damaged - reported));
    }
    damaged
}

/// Replays at the original speed.
struct Pace {
    factor: f64,
    begin: Option<(u64, Instant)>,
}

impl Pace {
    fn new(factor: f64) -> Self {
        Self {
            factor,
            begin: None,
        }
    }

    /// How long to wait until the event of this time.
    fn pause(&mut self, ns: u64) -> Option<Duration> {
        if ns == 0 {
            return None;
        }
        let (first_ns, begin) = *self.begin.get_or_insert((ns, Instant::now()));
        let since = Duration::from_nanos(ns.saturating_sub(first_ns));
        let due = begin
            .checked_add(Duration::try_from_secs_f64(since.as_secs_f64() / self.factor).ok()?)?;
        let pause = due.saturating_duration_since(Instant::now());
        (pause >= Duration::from_millis(1)).then_some(pause)
    }
}
