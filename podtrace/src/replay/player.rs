//! Plays files through the pipeline.
use std::{path::PathBuf, sync::Arc};

use anyhow::bail;

use super::{
    follow::{FOLLOW_PAUSE, newer_files, wait_until_begun},
    inputs::{self, Input, common_payload, differ_in_sampling, size},
    pace::Pace,
    prescan::{Prescan, prescan, unread},
    report::{Played, report},
    select::Selection,
    survey::{Links, Survey},
    wanted::check_interfaces,
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
        progress::{Progress, ShowLine},
    },
    session::recorder::Outline,
    signals::Stop,
    text::sanitize::sanitize,
    update::Update,
};

/// Plays files through a pipeline.
pub(crate) struct Player<'a> {
    args: &'a PlayerOptions,
    inputs: Vec<Input>,
    /// What was left out of the inputs.
    notices: Vec<String>,
    follow: bool,
    pub(crate) speed: Option<f64>,
    selection: Selection,
    /// The one interface whose packets are wanted.
    pub(crate) vantage: Option<String>,
    /// Whether the packets are recorded again: events hold the captured bytes, and the
    /// interfaces are known before.
    pub(crate) is_recorded: bool,
    /// Shows the progress, if it is to be shown.
    pub(crate) show_progress: Option<ShowLine>,
    /// Ends it early.
    stop: Stop,
}

/// What consumers are made for.
pub(crate) struct Found<'a> {
    /// The files.
    pub(crate) inputs: &'a [Input],
    /// What a recording of them begins with, as far as that is known.
    pub(crate) outline: Outline,
}

impl Player<'_> {
    /// Finds the inputs. `follow`: they may still grow; `stop`: set to end early.
    pub(crate) fn new(
        args: &PlayerOptions,
        follow: bool,
        stop: Stop,
    ) -> anyhow::Result<Player<'_>> {
        let selection = Selection::of(args)?;
        if follow {
            wait_until_begun(&args.files, &stop)?;
        }
        let inputs = inputs::find(&args.files)?;
        Ok(Player {
            args,
            inputs: inputs.all,
            notices: inputs.notices,
            follow,
            speed: None,
            selection,
            vantage: None,
            is_recorded: false,
            stop,
            show_progress: None,
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
        if (needs_prescan || self.args.last.is_some()) && inputs.iter().any(Input::is_stream) {
            bail!("--last takes a file, not standard input or a pipe: it is read twice");
        }
        if self.vantage.is_some() && inputs.iter().any(Input::is_stream) {
            bail!("--vantage takes a file, not standard input or a pipe: it is read twice");
        }
        if !self.follow {
            check_interfaces(&self.args.interfaces, &inputs, &self.stop)?;
        }
        let passes = 1
            + u64::from(needs_prescan)
            + u64::from(self.needs_survey(&inputs))
            + u64::from(matches!(self.args.last, Some(Span::Packets(_))));
        // One that keeps to the time of its packets has no end to wait for.
        let show = self.show_progress.take();
        let show = show.filter(|_| !self.follow && self.speed.is_none());
        let progress = show.map(|show| Progress::start(size(&inputs, passes), show));
        let offsets = &self.args.clock_offset;
        let prescan = match (needs_prescan, offsets.is_empty()) {
            (true, _) => Some(prescan(&inputs, self.args, &self.stop)?),
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
        // What cannot be read leaves nothing behind.
        let merge = Merge::new(self.streams(&inputs, prescan.as_ref(), self.is_recorded)?);
        if self.stop.is_set() {
            eprintln!("podtrace: interrupted before anything was shown");
            return Ok(Played::interrupted());
        }
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
        self.play(merge, prescan.as_ref(), &mut pipeline, progress)
    }

    /// Whether the files are read once before for their interfaces.
    fn needs_survey(&self, inputs: &[Input]) -> bool {
        let can_be_read = !inputs.iter().any(Input::is_stream);
        self.vantage.is_some() || self.is_recorded && can_be_read
    }

    /// Finds out beforehand which interfaces there are, where that is needed and possible.
    fn survey(&mut self, inputs: &[Input], prescan: Option<&Prescan>) -> anyhow::Result<Outline> {
        if !self.needs_survey(inputs) {
            return Ok(Outline::default());
        }
        let mut pipeline = self.pipeline(inputs);
        let mut merge = Merge::new(self.streams(inputs, prescan, false)?);
        let mut links = Links::default();
        while merge.step(&mut pipeline, &mut links, false)? != Step::Over {
            if self.stop.is_set() {
                return Ok(Outline::default());
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
            notices: Vec::new(),
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
            stop: self.stop.clone(),
            show_progress: None,
        };
        let merge = Merge::new(first.streams(inputs, prescan, false)?);
        first.play(merge, prescan, &mut pipeline, None)?;
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
        if !inputs.iter().any(Input::is_stream) {
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
        for notice in &self.notices {
            pipeline.notice(notice);
        }
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
        let options = inputs::reader_options(inputs, self.args, keep_captured, &self.stop);
        let numbers = inputs::numbers(inputs);
        let streams = inputs.iter().zip(numbers).enumerate();
        streams
            .map(|(number, (input, (session, nodes)))| {
                let clock = prescan.and_then(|prescan| prescan.clocks.get(number));
                let line = clock
                    .filter(|_| number > 0)
                    .map(|clock| Arc::clone(&clock.line));
                let origin = Origin { session, nodes };
                let chain = input.open(options.clone(), self.follow)?;
                Ok(Stream::new(chain, origin, line))
            })
            .collect()
    }

    fn play(
        mut self,
        mut merge: Merge,
        prescan: Option<&Prescan>,
        pipeline: &mut Pipeline,
        progress: Option<Progress>,
    ) -> anyhow::Result<Played> {
        if let (Some(Span::Time(span)), Some(prescan)) = (self.args.last, prescan) {
            let last_ns = last(prescan);
            self.selection.from_ns = last_ns.saturating_sub(nanos(span));
        }
        let mut has_read = false;
        let read = self.read(&mut merge, pipeline, &mut has_read);
        // The end has the terminal for itself.
        drop(progress);
        // Where nothing was read, there is nothing to end in order.
        let read = match read {
            Err(error) if !has_read => return Err(error),
            read => read,
        };
        // Who follows what grows ends so.
        let is_interrupted = self.stop.is_set() && !self.follow;
        if let Some(vantage) = self.vantage.filter(|_| !self.selection.has_matched) {
            pipeline.notice(&format!("no packet was seen at {}", sanitize(&vantage)));
        }
        if is_interrupted {
            pipeline.notice("interrupted: what follows in the files was not read");
        } else if read.is_err() {
            pipeline.notice("failed: what follows in the files was not read");
        } else if let Some(words) = self.selection.missed(pipeline.world()) {
            pipeline.notice(&words);
        }
        let is_cut = is_interrupted || read.is_err();
        let duration_ns = merge.finish(pipeline);
        let (damaged, left_out) = report(&merge, is_cut, pipeline);
        let lost = pipeline.end(duration_ns).total().lost();
        let closed = pipeline.close();
        read?;
        closed?;
        Ok(Played {
            lost,
            damaged,
            left_out,
            is_interrupted,
        })
    }

    /// Reads until the files are over or enough is read; notes when
    /// something was read.
    fn read(
        &mut self,
        merge: &mut Merge,
        pipeline: &mut Pipeline,
        has_read: &mut bool,
    ) -> anyhow::Result<()> {
        let mut pace = self.speed.map(Pace::new);
        while !pipeline.is_done() && !self.stop.is_set() {
            let step = merge.step(pipeline, &mut self.selection, self.follow)?;
            *has_read = true;
            match step {
                Step::Over => break,
                Step::At(ns) => {
                    if let Some(pace) = &mut pace
                        && let Some(pause) = pace.pause(ns)
                    {
                        pipeline.flush()?;
                        self.stop.sleep(pause)?;
                    }
                }
                Step::Waiting => {
                    pipeline.flush()?;
                    add_newer(merge);
                    self.stop.sleep(FOLLOW_PAUSE)?;
                }
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests;
