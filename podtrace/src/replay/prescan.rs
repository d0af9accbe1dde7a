//! A first pass over the files: compares the clocks of the nodes, and finds the last
//! packet.
use std::{collections::BTreeSet, sync::Arc};

use anyhow::bail;

use super::{
    inputs::{Input, firsts, hop_timeout_ns, kernels, reader_options},
    options::PlayerOptions,
    same::{Copy, Sightings},
    uplinks::Uplinks,
};
use crate::{
    clock::nodes::{Clock, Crossings, Doubts, Line},
    session::reader::{Item, ReaderOptions},
    signals::Stop,
    text::names::list,
    update::Update,
};

/// The results of the first pass.
pub(super) struct Prescan {
    /// The number of each input's kernel.
    pub(super) kernels: Vec<usize>,
    /// The clock of each kernel.
    pub(super) clocks: Vec<Clock>,
    /// The clocks of kernels as measured, where those that the user gave cannot be right.
    pub(super) unlike: Vec<(usize, Clock)>,
    /// The packets that these clocks may tell apart wrongly.
    pub(super) doubts: Arc<Doubts>,
    /// Time of the first and of the last packet of each input, by the clock of its kernel; none
    /// without packets.
    pub(super) times: Vec<Option<(u64, u64)>>,
    /// Inputs whose packets others have.
    pub(super) copies: Vec<Copy>,
    /// Time of the first and of the last packet or tick of each input, by its own clock.
    pub(super) spans: Vec<Option<(u64, u64)>>,
    /// The link layers of each input.
    pub(super) links: Vec<BTreeSet<u16>>,
    /// Whether each input has counts, and left out no packets.
    pub(super) has_all: Vec<bool>,
}

impl Prescan {
    /// The clock of an input; none for the reference.
    pub(super) fn line(&self, number: usize) -> Option<Arc<Line>> {
        let kernel = *self.kernels.get(number)?;
        let clock = self.clocks.get(kernel).filter(|_| kernel > 0)?;
        Some(Arc::clone(&clock.line))
    }

    /// The middle of a kernel's packets, by its own clock; 0 without packets.
    pub(super) fn middle_ns(&self, kernel: usize) -> u64 {
        let all = self.kernels.iter().zip(&self.times);
        let all = all.filter(|(of, _)| **of == kernel);
        let mut span = None;
        for (first, last) in all.filter_map(|(_, times)| *times) {
            widen(&mut span, first);
            widen(&mut span, last);
        }
        span.map_or(0, |(first, last)| first + (last - first) / 2)
    }
}

/// The result for inputs that still grow: only the offsets given by the user. `offsets`: by
/// node.
pub(super) fn unread(inputs: &[Input], offsets: &[(String, i64)]) -> anyhow::Result<Prescan> {
    Ok(Prescan {
        kernels: kernels(inputs),
        clocks: Crossings::new(firsts(inputs).count()).solve(&given(inputs, offsets)?),
        unlike: Vec::new(),
        doubts: Arc::default(),
        times: vec![None; inputs.len()],
        copies: Vec::new(),
        spans: vec![None; inputs.len()],
        links: vec![BTreeSet::new(); inputs.len()],
        has_all: vec![false; inputs.len()],
    })
}

/// Reads all inputs, until `stop` is set, with the offsets by node and the ports given by the
/// user.
pub(super) fn prescan(
    inputs: &[Input],
    args: &PlayerOptions,
    stop: &Stop,
) -> anyhow::Result<Prescan> {
    let given = given(inputs, &args.clock_offset)?;
    let mut found = Found {
        crossings: Crossings::new(firsts(inputs).count()),
        sightings: Sightings::new(inputs),
    };
    let (mut times, mut spans) = (Vec::new(), Vec::new());
    let (mut links, mut has_all) = (Vec::new(), Vec::new());
    let options = reader_options(inputs, args, false, stop);
    let kernels = kernels(inputs);
    for (number, kernel) in kernels.iter().enumerate() {
        let who = (number, *kernel);
        let own = scan(who, inputs, options.clone(), &mut found)?;
        times.push(own.packets);
        spans.push(own.all);
        links.push(own.links);
        has_all.push(own.has_all);
    }
    let Found {
        crossings,
        sightings,
    } = found;
    let clocks = crossings.solve(&given);
    let mut found = Prescan {
        doubts: Arc::new(crossings.doubts(&clocks, hop_timeout_ns(inputs, args))),
        kernels,
        clocks,
        unlike: Vec::new(),
        times,
        copies: sightings.copies(),
        spans,
        links,
        has_all,
    };
    if given.iter().any(Option::is_some) {
        let measured = crossings.solve(&vec![None; given.len()]);
        found.unlike = unlike(&found, &given, measured);
    }
    Ok(found)
}

/// The measured clocks that rule out those that were given: with these, packets would arrive before
/// they leave.
fn unlike(found: &Prescan, given: &[Option<i64>], measured: Vec<Clock>) -> Vec<(usize, Clock)> {
    let is_ruled_out = |(kernel, clock): &(usize, Clock)| {
        let Some(Some(given_ns)) = given.get(*kernel) else {
            return false;
        };
        let at_ns = found.middle_ns(*kernel);
        let error_ns = clock.line.offset_ns(at_ns) - i128::from(*given_ns);
        let bound_ns = clock.line.uncertainty_ns(at_ns);
        bound_ns.is_some_and(|bound_ns| error_ns.unsigned_abs() > bound_ns.into())
    };
    let measured = measured.into_iter().enumerate().skip(1);
    measured.filter(is_ruled_out).collect()
}

/// What the pass collects of all inputs.
struct Found {
    crossings: Crossings,
    sightings: Sightings,
}

/// The first and the last time of an input, in nanoseconds, and its other properties.
#[derive(Default)]
struct Times {
    links: BTreeSet<u16>,
    has_all: bool,
    /// Of its packets, by the clock of its kernel.
    packets: Option<(u64, u64)>,
    /// Of packets and ticks, by its own clock.
    all: Option<(u64, u64)>,
}

impl Times {
    fn tick(&mut self, ts_ns: u64) {
        widen(&mut self.all, ts_ns);
    }
}

fn widen(span: &mut Option<(u64, u64)>, ts_ns: u64) {
    let (first, last) = span.get_or_insert((ts_ns, ts_ns));
    *first = ts_ns.min(*first);
    *last = ts_ns.max(*last);
}

/// Reads an input. `who`: its number, and that of its kernel.
fn scan(
    (number, kernel): (usize, usize),
    inputs: &[Input],
    options: ReaderOptions,
    found: &mut Found,
) -> anyhow::Result<Times> {
    let Found {
        crossings,
        sightings,
    } = found;
    sightings.begin();
    let input = &inputs[number];
    // Another input of its kernel tells of the same packets.
    let is_beside = |ts_ns: u64| {
        let mut spans = input
            .beside()
            .iter()
            .filter_map(|other| inputs[*other].span);
        spans.any(|(begin, end)| (begin..=end).contains(&ts_ns))
    };
    let mut chain = input.open(options, false)?;
    // Packets behind damage count as well.
    chain.end();
    let mut uplinks = Uplinks::default();
    let mut times = Times::default();
    while let Some(item) = chain.next_item()? {
        uplinks.note(&item);
        match item {
            Item::Update(_, Update::TapPoint { number, point }) => {
                sightings.place(number, &point);
                times.links.extend(point.captured_link);
            }
            Item::Event => {
                let Some(event) = chain.event() else {
                    continue;
                };
                sightings.see(number, event);
                times.tick(event.ts_ns);
                let ts_ns = event.ts_ns.saturating_add_signed(input.shift_ns());
                widen(&mut times.packets, ts_ns);
                if is_beside(event.ts_ns) {
                    continue;
                }
                match uplinks.side(event) {
                    Some(side) => {
                        crossings.record(kernel, &event.packet.key(), side, ts_ns);
                    }
                    None if uplinks.is_empty() => {
                        crossings.record_anywhere(kernel, &event.packet.key());
                    }
                    None => {}
                }
            }
            Item::Tick(tick) => times.tick(tick.now_ns),
            _ => {}
        }
    }
    sightings.leave_out(number, chain.unread().packets.total());
    chain.finish();
    let mut counts = chain.counts().values();
    times.has_all = counts.len() > 0 && counts.all(|count| count.filtered == 0);
    Ok(times)
}

/// The offset of each input, if one was given.
fn given(inputs: &[Input], offsets: &[(String, i64)]) -> anyhow::Result<Vec<Option<i64>>> {
    let mut given = vec![None; firsts(inputs).count()];
    for (node, offset_ns) in offsets {
        let of_node = |(_, input): &(usize, &Input)| input.nodes().contains(node);
        let found: Vec<_> = firsts(inputs).enumerate().filter(of_node).collect();
        match found[..] {
            [(0, _)] if *offset_ns != 0 => bail!(
                "--clock-offset {node}: the times of all are told by the clock of {node}, that of the \
                 first file\nhint: give those of others, or name another file first"
            ),
            [(number, _)] => given[number] = Some(*offset_ns),
            [] => {
                let nodes: Vec<_> = firsts(inputs).flat_map(Input::nodes).collect();
                bail!(
                    "--clock-offset: no file is of node {node}\nhint: there is {}",
                    nodes.join(", ")
                );
            }
            _ => {
                let names: Vec<_> = found.iter().map(|(_, input)| input.name()).collect();
                bail!(
                    "--clock-offset: {} are of node {node}, by different clocks\nhint: leave out all but one of them",
                    list(&names)
                );
            }
        }
    }
    Ok(given)
}
