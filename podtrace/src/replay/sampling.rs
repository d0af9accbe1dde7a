//! What a replay knows of packets that sampling has left out.
use super::inputs::{Input, firsts};
use crate::{pipeline::Pipeline, session::format::SectionInfo};

/// Whether sampling may have skipped a packet at one node that another node traced.
pub(crate) fn differ_in_sampling(inputs: &[Input]) -> bool {
    let mut infos = infos(inputs);
    let adapts = |info: &SectionInfo| info.max_rate.is_some() && inputs.len() > 1;
    have_different_shares(inputs) || infos.any(|info| adapts(info) || info.mixed_sampling)
}

/// Lets a pipeline know what the inputs say of their sampling. `are_told`: whether each tells of its
/// share from its begin on, which a file need not have.
pub(super) fn set(inputs: &[Input], are_told: bool, pipeline: &mut Pipeline) {
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
