//! Replays of recorded files.
use std::{collections::VecDeque, path::PathBuf};

use super::*;
use crate::{
    model::origin::Origin,
    output::render::Render,
    pipeline::Pipeline,
    replay::merge::{All, Merge, Step, Stream},
    session::{chain::Chain, input::Damage, reader::Reader},
};

/// The output of a replay.
pub(crate) struct Replayed {
    pub(crate) text: String,
    pub(crate) taps: TapCounts,
    pub(crate) damage: Vec<(PathBuf, Damage)>,
    pub(crate) was_broken_off: bool,
}

pub(crate) fn chain(files: &[PathBuf]) -> Chain {
    let mut files: VecDeque<_> = files.iter().cloned().collect();
    let first = files.pop_front().unwrap();
    Chain::ahead(Reader::open(&first, options()).unwrap(), options(), files).unwrap()
}

pub(crate) fn replay(files: &[PathBuf], nodes: &[&str], output: Box<dyn Render>) -> Replayed {
    let origin = Origin {
        session: 0,
        nodes: 0..nodes.len(),
    };
    let stream = Stream::new(chain(files), origin, None);
    play(vec![stream], nodes, output)
}

pub(crate) fn play(streams: Vec<Stream>, nodes: &[&str], output: Box<dyn Render>) -> Replayed {
    let options = DecodeOptions {
        vxlan_ports: Vec::new(),
        ..decode_options()
    };
    let mut pipeline = Pipeline::new(options, TIMEOUT_NS, None);
    let page = Page::default();
    pipeline.add(page.printer(output));
    let world = pipeline.world_mut();
    world.nodes = nodes.iter().map(|name| (*name).into()).collect();
    if streams.len() > 1 {
        world.silent = (0..nodes.len()).collect();
    }
    let mut merge = Merge::new(streams);
    while merge.step(&mut pipeline, &mut All, false).unwrap() != Step::Over {}
    let duration_ns = merge.finish(&mut pipeline);
    let summary = pipeline.end(duration_ns);
    let taps = counted(summary);
    let chains = || merge.streams().iter().map(Stream::chain);
    Replayed {
        text: page.text(&mut pipeline),
        taps,
        damage: chains().flat_map(|chain| chain.damage().to_vec()).collect(),
        was_broken_off: chains().any(Chain::was_broken_off),
    }
}
