//! A first pass over the files: compares the clocks of the nodes, and finds the last
//! packet.
use std::collections::HashSet;

use anyhow::bail;
use podtrace_ebpf::record::Direction;

use super::{
    inputs::{Input, reader_options},
    options::PlayerOptions,
};
use crate::{
    clock::nodes::{Clock, Side, Sightings},
    model::tap_point::Role,
    session::reader::{Item, ReaderOptions},
    signals::Stop,
    update::Update,
};

/// The results of the first pass.
pub(super) struct Prescan {
    /// The clock of each input.
    pub(super) clocks: Vec<Clock>,
    /// Time of the first and of the last packet of each input, by its own clock; none
    /// without packets.
    pub(super) times: Vec<Option<(u64, u64)>>,
}

/// The result for inputs that still grow: only the offsets given by the user. `offsets`: by
/// node.
pub(super) fn unread(inputs: &[Input], offsets: &[(String, i64)]) -> anyhow::Result<Prescan> {
    Ok(Prescan {
        clocks: Sightings::new(inputs.len()).solve(&given(inputs, offsets)?),
        times: vec![None; inputs.len()],
    })
}

/// Reads all inputs, until `stop` is set, with the offsets by node and the ports that the
/// user gave.
pub(super) fn prescan(
    inputs: &[Input],
    args: &PlayerOptions,
    stop: &Stop,
) -> anyhow::Result<Prescan> {
    let given = given(inputs, &args.clock_offset)?;
    let mut sightings = Sightings::new(inputs.len());
    let mut times = Vec::new();
    let options = reader_options(inputs, args, false, stop);
    for (number, input) in inputs.iter().enumerate() {
        times.push(note(number, input, options.clone(), &mut sightings)?);
    }
    Ok(Prescan {
        clocks: sightings.solve(&given),
        times,
    })
}

fn note(
    number: usize,
    input: &Input,
    options: ReaderOptions,
    sightings: &mut Sightings,
) -> anyhow::Result<Option<(u64, u64)>> {
    let mut chain = input.open(options, false)?;
    // Packets behind damage count as well.
    chain.end();
    let mut uplinks = HashSet::new();
    let mut times: Option<(u64, u64)> = None;
    while let Some(item) = chain.next_item()? {
        match item {
            Item::Update(_, Update::TapPoint { number, point }) if point.role == Role::Uplink => {
                uplinks.insert(number);
            }
            Item::Event => {
                let Some(event) = chain.event() else {
                    continue;
                };
                let (_, last) = times.get_or_insert((event.ts_ns, event.ts_ns));
                *last = event.ts_ns.max(*last);
                let side = match event.direction {
                    _ if !uplinks.contains(&event.interface) => None,
                    Direction::Egress => Some(Side::Left),
                    Direction::Ingress => Some(Side::Entered),
                    Direction::Socket | Direction::Unknown => None,
                };
                match side {
                    Some(side) => sightings.note(number, &event.packet.key(), side, event.ts_ns),
                    None if uplinks.is_empty() => {
                        sightings.note_anywhere(number, &event.packet.key());
                    }
                    None => {}
                }
            }
            _ => {}
        }
    }
    Ok(times)
}

/// The offset of each input, if one was given.
fn given(inputs: &[Input], offsets: &[(String, i64)]) -> anyhow::Result<Vec<Option<i64>>> {
    let mut given = vec![None; inputs.len()];
    for (node, offset_ns) in offsets {
        let is_it = |input: &Input| input.nodes().contains(node);
        let Some(number) = inputs.iter().position(is_it) else {
            let nodes: Vec<_> = inputs.iter().flat_map(Input::nodes).collect();
            bail!(
                "--clock-offset: no file is of node {node}\nhint: there is {}",
                nodes.join(", ")
            );
        };
        given[number] = Some(*offset_ns);
    }
    Ok(given)
}
