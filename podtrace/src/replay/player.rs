//! Replays files through the pipeline.
mod advance;
mod clocks;
mod read;

use anyhow::bail;

use super::{
    follow::wait_until_started,
    inputs::{self, Input, common_payload, hop_timeout_ns, size},
    prescan::{Prescan, unread},
    report::{Played, report, undecoded},
    sampling::limit_claims,
    select::Selection,
    wanted::{Unfound, check_interfaces, check_names},
};
use crate::{
    clock::{nanos, nodes::CorrectedClock},
    model::{origin::Origin, start::Start},
    packet::DecodeOptions,
    pipeline::{Pipeline, consumer::Consumer},
    replay::{
        cluster::{Cluster, PATIENCE},
        merge::{Merge, Stream},
        options::{PlayerOptions, Span},
        progress::{Progress, ShowLine},
    },
    select::register::Register,
    session::{chain::Chain, reader::ReaderOptions, recorder::Outline},
    signals::Stop,
    sink,
    text::{count::counted, escape::escape, sanitize::sanitize},
    update::Update,
};

/// Replays files through a pipeline.
pub(crate) struct Player<'a> {
    args: &'a PlayerOptions,
    inputs: Vec<Input>,
    /// Notices of the data that was left out of the inputs.
    notices: Vec<String>,
    follow: bool,
    /// Whether the files may grow: a stream ends where it ends.
    may_grow: bool,
    pub(crate) speed: Option<f64>,
    selection: Selection,
    /// The only interface whose packets are selected.
    pub(crate) vantage: Option<String>,
    /// Whether the packets are recorded again: then events hold the captured bytes, and the
    /// interfaces are known in advance.
    pub(crate) is_recorded: bool,
    /// Whether the captured bytes are shown.
    pub(crate) shows_bytes: bool,
    /// Whether packets are told by their numbers, which count all that is read.
    pub(crate) shows_numbers: bool,
    /// The number of the first packet.
    pub(crate) first_packet: u64,
    /// Shows the progress, if requested.
    pub(crate) show_progress: Option<ShowLine>,
    /// Ends the replay early.
    stop: Stop,
    /// The sessions, if they are recorded meanwhile.
    cluster: Option<Cluster>,
}

/// The files that consumers are made for.
pub(crate) struct Found<'a> {
    /// The files.
    pub(crate) inputs: &'a [Input],
    /// The outline of a recording of them, as far as it is known.
    pub(crate) outline: Outline,
    /// How the clocks of their nodes are corrected.
    pub(crate) clocks: Vec<CorrectedClock>,
    /// Why packets may not have been recorded, if there is a reason for all of the time.
    pub(crate) unrecorded: Option<&'static str>,
}

impl Player<'_> {
    /// Finds the inputs. `follow`: they may still grow; `stop`: set to end early.
    pub(crate) fn new(
        args: &PlayerOptions,
        follow: bool,
        stop: Stop,
    ) -> anyhow::Result<Player<'_>> {
        let player = Player::of(args, stop)?;
        if follow {
            wait_until_started(&args.files, &player.stop)?;
        }
        let inputs = inputs::find(&args.files)?;
        let may_grow = follow && !inputs.all.iter().any(Input::is_stream);
        Ok(Player {
            inputs: inputs.all,
            notices: inputs.notices,
            follow,
            may_grow,
            ..player
        })
    }

    /// Follows sessions that are recorded meanwhile; `stop`: set to end them.
    pub(crate) fn live(
        args: &PlayerOptions,
        cluster: Cluster,
        stop: Stop,
    ) -> anyhow::Result<Player<'_>> {
        Ok(Player {
            inputs: cluster.inputs(),
            follow: true,
            cluster: Some(cluster),
            ..Player::of(args, stop)?
        })
    }

    fn of(args: &PlayerOptions, stop: Stop) -> anyhow::Result<Player<'_>> {
        Ok(Player {
            args,
            inputs: Vec::new(),
            notices: Vec::new(),
            follow: false,
            may_grow: false,
            speed: None,
            selection: Selection::of(args)?,
            vantage: None,
            is_recorded: false,
            shows_bytes: false,
            shows_numbers: true,
            first_packet: 1,
            stop,
            show_progress: None,
            cluster: None,
        })
    }

    /// Replays to consumers, which are made once the inputs are known.
    pub(crate) fn run(
        mut self,
        consumers: impl FnOnce(&Found<'_>) -> anyhow::Result<Vec<Box<dyn Consumer>>>,
    ) -> anyhow::Result<Played> {
        let mut inputs = std::mem::take(&mut self.inputs);
        let wants_end = matches!(self.args.last, Some(Span::Time(_)));
        if self.may_grow && inputs.len() > 1 && self.args.clock_offset.is_empty() {
            sink::tell("the clocks of growing files are taken as they are (--clock-offset)");
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
            if let Some(selector) = &self.args.asked.selector {
                check_names(selector, &inputs, &self.stop)?;
            }
        }
        let passes = 1
            + u64::from(needs_prescan)
            + u64::from(self.needs_outline(&inputs))
            + u64::from(matches!(self.args.last, Some(Span::Packets(_))));
        // A replay at the original speed shows no progress.
        let show = self.show_progress.take();
        let show = show.filter(|_| !self.follow && self.speed.is_none());
        let progress = show.map(|show| Progress::start(size(&inputs, passes), show));
        let offsets = &self.args.clock_offset;
        let prescan = match (needs_prescan, offsets.is_empty()) {
            (true, _) => Some(self.prescan(&mut inputs)?),
            (false, false) => Some(unread(&inputs, offsets)?),
            (false, true) => None,
        };
        let mut outline = self.outline(&inputs, prescan.as_ref())?;
        let show_from = match self.args.last {
            Some(Span::Packets(packets)) => self.last(&inputs, prescan.as_ref(), packets)?,
            _ => 0,
        };
        // An input that cannot be read must leave no output behind.
        let keeps_bytes = self.is_recorded || self.shows_bytes;
        let streams = self.streams(&inputs, prescan.as_ref(), keeps_bytes)?;
        let merge = match self.cluster {
            Some(_) => Merge::live(streams, PATIENCE),
            None => Merge::new(streams),
        };
        let may_differ = |stream: &Stream| stream.chain().is_pcapng();
        if !self.needs_outline(&inputs) && merge.streams().iter().any(may_differ) {
            // Another link layer may follow, at which libpcap stops.
            outline = Outline::ethernet();
        }
        if self.stop.is_set() {
            sink::tell("interrupted before anything was shown");
            return Ok(Played::interrupted());
        }
        let mut pipeline = self.pipeline(&inputs, prescan.as_ref());
        pipeline.show_from(show_from);
        pipeline.number_from(self.first_packet);
        let found = Found {
            inputs: &inputs,
            outline,
            clocks: clocks::corrected(&inputs, prescan.as_ref()),
            unrecorded: pipeline.unrecorded(),
        };
        if let Some(selector) = &self.args.asked.selector
            && (self.follow || inputs.iter().any(Input::is_stream))
        {
            pipeline.add(Box::new(Unfound(Register::new(selector))));
        }
        for consumer in consumers(&found)? {
            pipeline.add(consumer);
        }
        self.introduce(&inputs, prescan.as_ref(), &mut pipeline);
        self.play(merge, prescan.as_ref(), &mut pipeline, progress)
    }

    fn pipeline(&self, inputs: &[Input], prescan: Option<&Prescan>) -> Pipeline {
        let decode = DecodeOptions {
            vxlan_ports: Vec::new(),
            key_payload: common_payload(inputs),
            filter: None,
        };
        let count = match self.args.first {
            Some(Span::Packets(packets)) => Some(packets),
            _ => None,
        };
        let timeout_ns = hop_timeout_ns(inputs, self.args);
        let mut pipeline = Pipeline::new(decode, timeout_ns, count);
        pipeline.show_only(&self.args.asked);
        if self.selection.is_part() {
            pipeline.set_partial_view();
        }
        let tells_shares = |cluster: &Cluster| cluster.budget().is_some();
        let are_told = self.cluster.as_ref().is_some_and(tells_shares);
        limit_claims(inputs, are_told, &mut pipeline);
        let world = pipeline.world_mut();
        if !inputs.iter().any(Input::is_stream) {
            let names = inputs::firsts(inputs).flat_map(Input::nodes);
            world.nodes = names.map(Into::into).collect();
        }
        if inputs.len() > 1 {
            world.silent = (0..world.nodes.len()).collect();
        }
        clocks::set(inputs, prescan, pipeline.world_mut());
        pipeline
    }

    /// Announces the files, and the clocks.
    fn introduce(&self, inputs: &[Input], prescan: Option<&Prescan>, pipeline: &mut Pipeline) {
        let nodes: Vec<_> = inputs::firsts(inputs).map(Input::nodes).collect();
        let files: usize = inputs.iter().map(|input| input.files().len()).sum();
        let is_live = self.cluster.is_some();
        let start = Start {
            nodes: nodes.iter().flatten().cloned().collect(),
            source: (!is_live).then(|| counted(files as u64, "file")),
            agents: is_live.then_some(inputs.len()),
            ..Start::default()
        };
        pipeline.apply(&Origin::default(), &Update::Start(start));
        for notice in &self.notices {
            pipeline.notice(notice);
        }
        for words in clocks::in_words(inputs, prescan) {
            pipeline.notice(&words);
        }
    }

    fn streams(
        &mut self,
        inputs: &[Input],
        prescan: Option<&Prescan>,
        keep_captured: bool,
    ) -> anyhow::Result<Vec<Stream>> {
        let options = ReaderOptions {
            passes_over: self.may_pass_over(inputs),
            ..inputs::reader_options(inputs, self.args, keep_captured, &self.stop)
        };
        let numbers = inputs::numbers(inputs);
        let streams = inputs.iter().zip(numbers).enumerate();
        let mut cluster = self.cluster.as_mut();
        streams
            .map(|(number, (input, (session, nodes)))| {
                let line = prescan.and_then(|prescan| prescan.line(number));
                let origin = Origin { session, nodes };
                let live = cluster.as_mut().and_then(|cluster| cluster.take(number));
                let chain = match live {
                    Some(session) => Chain::live(session, options.clone()),
                    None => input.open(options.clone(), self.may_grow)?,
                };
                let stream = Stream::new(chain, origin, line);
                let stream = stream.continuing(input.after().to_vec(), input.shift_ns());
                Ok(stream.beside(input.beside().to_vec()))
            })
            .collect()
    }

    /// Whether packets that the filter cannot accept need only be counted.
    fn may_pass_over(&self, inputs: &[Input]) -> bool {
        let selects = self.selection.is_part() || self.args.limits_time();
        let stands_alone = |input: &Input| input.beside().is_empty();
        !selects
            && !self.shows_numbers
            && self.args.first.is_none()
            && inputs.iter().all(stands_alone)
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
        // The end may use the terminal.
        drop(progress);
        // Without any read item, the pipeline is not ended.
        let read = match read {
            Err(error) if !has_read => return Err(error),
            read => read,
        };
        // A signal is the usual end of following.
        let is_interrupted = self.stop.is_set() && !self.follow;
        if let Some(vantage) = self.vantage.filter(|_| !self.selection.has_matched) {
            let mut words = format!("no packet was seen at {}", escape(&vantage));
            // Their interfaces are not known.
            if let Some(left_out) = undecoded(&merge) {
                words += &format!("; perhaps its packets were left out: {left_out}");
            }
            pipeline.notice(&words);
        }
        let is_cut = is_interrupted || read.is_err();
        let missed = (!is_cut).then(|| self.selection.missed(pipeline.world()));
        let missed = missed.flatten();
        if is_interrupted {
            pipeline.notice("interrupted: what follows in the files was not read");
        } else if is_cut {
            pipeline.notice("failed: what follows in the files was not read");
        } else if let Some(words) = missed.as_ref().filter(|_| self.follow) {
            pipeline.notice(words);
        }
        if let Some(filter) = &self.args.asked.filter {
            let refusals = filter.expression.refusals();
            refusals.for_each(|words| pipeline.notice(&no_match(words)));
        }
        pipeline.end_paths();
        let recorded_ns = merge.finish(pipeline);
        let duration_ns = match self.args.limits_time() {
            true => pipeline.shown_ns(),
            false => recorded_ns,
        };
        if let Some(cluster) = &self.cluster {
            cluster.sum_up(&merge, pipeline);
        }
        let mut reported = report(&merge, is_cut, pipeline);
        let unended = self.cluster.as_ref().map_or(0, Cluster::unended);
        reported.broken_off = reported.broken_off.max(unended);
        let summary = pipeline.end(duration_ns);
        let total = summary.total();
        let (missing, is_empty) = (total.missing(), summary.packets == 0 && total.seen > 0);
        let closed = pipeline.close();
        read?;
        closed?;
        Ok(Played {
            missing,
            is_empty,
            is_interrupted,
            missed: missed.filter(|_| !self.follow),
            ..reported
        })
    }
}

/// What libpcap has against an expression for cooked captures, in words.
fn no_match(refusal: &str) -> String {
    format!(
        "no packet of a Linux cooked capture (tcpdump -i any) can match: {}",
        sanitize(refusal)
    )
}

/// Time of the last packet by the reference clock.
fn last(prescan: &Prescan) -> u64 {
    let corrected = |(number, times): (usize, &Option<(u64, u64)>)| {
        let (_, last) = (*times)?;
        let line = prescan.line(number);
        Some(line.map_or(last, |line| line.to_reference(last)))
    };
    let all = prescan.times.iter().enumerate();
    all.filter_map(corrected).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
