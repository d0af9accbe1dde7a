//! The clocks of the nodes: those measured now, and those that a file was corrected by.
use std::sync::Arc;

use crate::{
    clock::nodes::{Clock, CorrectedClock},
    replay::{
        inputs::{self, Input},
        prescan::Prescan,
    },
    world::World,
};

/// Sets the clocks of all sessions except for the reference, and the packets left in doubt.
pub(super) fn set(inputs: &[Input], prescan: Option<&Prescan>, world: &mut World) {
    // None of the kernels has these numbers.
    world.state_clocks(stated(inputs), inputs.len());
    let Some(prescan) = prescan else { return };
    for (number, (_, nodes)) in inputs::numbers(inputs).into_iter().enumerate() {
        if let Some(line) = prescan.line(number) {
            let kernel = prescan.kernels[number];
            let line = |node| (node, (kernel, Arc::clone(&line)));
            world.clocks.extend(nodes.map(line));
        }
    }
    world.doubts = Arc::clone(&prescan.doubts);
}

/// The clocks in words.
pub(super) fn in_words(inputs: &[Input], prescan: Option<&Prescan>) -> Vec<String> {
    let stated = stated(inputs).iter();
    let stated = stated.map(CorrectedClock::in_words);
    stated.chain(measured(inputs, prescan)).collect()
}

/// The clocks of a recording of the inputs, whose times are corrected.
pub(super) fn corrected(inputs: &[Input], prescan: Option<&Prescan>) -> Vec<CorrectedClock> {
    let mut clocks = stated(inputs).to_vec();
    let Some((prescan, between)) = prescan.and_then(|prescan| Some((prescan, span(prescan)?)))
    else {
        return clocks;
    };
    let numbers = inputs::numbers(inputs);
    let measured = measured(inputs, Some(prescan));
    for (kernel, words) in (1..).zip(measured) {
        let of = prescan.kernels.iter().position(|of| *of == kernel);
        if let Some((line, (_, nodes))) =
            of.and_then(|number| prescan.line(number).zip(numbers.get(number)))
        {
            let nodes = nodes.clone().collect();
            clocks.push(CorrectedClock::of(&line, nodes, words, between));
        }
    }
    clocks
}

/// The clocks that the reference file states: its times are corrected already.
fn stated(inputs: &[Input]) -> &[CorrectedClock] {
    let info = inputs.first().and_then(Input::info);
    info.map_or(&[], |info| &info.clocks)
}

/// The measured clocks in words, but for the reference.
fn measured(inputs: &[Input], prescan: Option<&Prescan>) -> Vec<String> {
    let Some(prescan) = prescan else {
        return Vec::new();
    };
    let nodes = inputs::firsts(inputs).map(|input| input.nodes().join("+"));
    let names: Vec<_> = nodes.collect();
    let clocks = prescan.clocks.iter().enumerate().skip(1);
    let words = |(kernel, clock): (usize, &Clock)| {
        let describe = |clock: &Clock| clock.describe(kernel, &names, prescan.middle_ns(kernel));
        let unlike = prescan.unlike.iter().find(|(of, _)| *of == kernel);
        let Some((_, measured)) = unlike else {
            return describe(clock);
        };
        let measured = describe(measured);
        let measured = measured.split_once(": ").map_or("", |(_, words)| words);
        format!(
            "{}, which cannot be right: packets would arrive before they leave (measured: {measured})",
            describe(clock)
        )
    };
    clocks.map(words).collect()
}

/// The first and the last time of all packets, by the reference clock.
fn span(prescan: &Prescan) -> Option<[u64; 2]> {
    let times = prescan.times.iter().enumerate();
    let corrected = times.filter_map(|(number, times)| {
        let (first, last) = (*times)?;
        let line = prescan.line(number);
        let corrected = |ns| line.as_ref().map_or(ns, |line| line.to_reference(ns));
        Some([corrected(first), corrected(last)])
    });
    corrected.reduce(|one, other| [one[0].min(other[0]), one[1].max(other[1])])
}
