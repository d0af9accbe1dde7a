//! What a replay knows of packets that some of its inputs have left out.
use super::inputs::{Input, firsts, numbers};
use crate::{pipeline::Pipeline, session::format::SectionInfo};

/// Whether sampling may have skipped a packet at one node that another node traced.
pub(crate) fn differ_in_sampling(inputs: &[Input]) -> bool {
    let mut infos = infos(inputs);
    let adapts = |info: &SectionInfo| info.max_rate.is_some() && inputs.len() > 1;
    have_different_shares(inputs) || infos.any(|info| adapts(info) || info.mixed_sampling)
}

/// Makes known that not all packets of all nodes are there, if it is so: then less can be claimed.
/// `are_told`: whether each session tells of its share from its begin on.
pub(super) fn limit_claims(inputs: &[Input], are_told: bool, pipeline: &mut Pipeline) {
    let is_part = |input: &Input| {
        let info = input.info();
        info.is_some_and(|info| !info.interfaces.is_empty())
    };
    if inputs.iter().any(is_part) {
        pipeline.set_partial_view();
    }
    sample(inputs, are_told, pipeline);
    if firsts(inputs).any(Input::is_selected) {
        pipeline.set_selected();
        // The others need not have what one has.
        if inputs.len() > 1 {
            pipeline.set_partial_view();
        }
    }
    if inputs.len() > 1 {
        let numbers = inputs.iter().zip(numbers(inputs));
        let partly = numbers.filter(|(input, _)| input.is_selected());
        pipeline.world_mut().partly_recorded = partly.flat_map(|(_, (_, nodes))| nodes).collect();
    }
}

/// Lets a pipeline know what the inputs say of their sampling. `are_told`: whether each tells of its
/// share from its begin on, which a file need not have.
fn sample(inputs: &[Input], are_told: bool, pipeline: &mut Pipeline) {
    if are_told && inputs.len() > 1 {
        let shares = infos(inputs).map(|info| info.sample);
        pipeline.set_common_share(shares.max().unwrap_or_default().max(1));
    }
    let may_differ = match are_told {
        true => have_different_shares(inputs),
        false => differ_in_sampling(inputs),
    };
    if may_differ {
        pipeline.set_partial_view();
    }
    let is_sampled = |info: &SectionInfo| {
        info.sample > 1 || info.mixed_sampling || (info.max_rate.is_some() && !are_told)
    };
    if firsts(inputs).filter_map(Input::info).any(is_sampled) {
        pipeline.set_sampled();
    }
}

fn have_different_shares(inputs: &[Input]) -> bool {
    let mut shares = infos(inputs).map(|info| info.sample.max(1));
    let first = shares.next();
    shares.any(|share| Some(share) != first)
}

fn infos(inputs: &[Input]) -> impl Iterator<Item = &SectionInfo> {
    inputs.iter().filter_map(Input::info)
}
