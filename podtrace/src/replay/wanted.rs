//! Checks that the files have what is asked for by name.
use std::{collections::BTreeSet, io, sync::Arc};

use anyhow::bail;

use super::{
    inputs::{Input, numbers},
    merge::numbers::Numbers,
    select::is_chosen,
};
use crate::{
    model::{origin::Origin, tap_name::TapName},
    pipeline::consumer::Consumer,
    select::{Selector, register::Register},
    session::reader::{Item, ReaderOptions},
    signals::Stop,
    text::names::{list, listed},
    update::Update,
    world::World,
};

/// Fails unless the files have interfaces of all these names; stops reading at the last of
/// them. Does not read an input that can be read only once.
pub(super) fn check_interfaces(
    wanted: &[TapName],
    inputs: &[Input],
    stop: &Stop,
) -> anyhow::Result<()> {
    if wanted.is_empty() || inputs.iter().any(Input::is_stream) {
        return Ok(());
    }
    let mut missing: Vec<_> = wanted.iter().collect();
    let mut names = BTreeSet::new();
    let mut world = World::default();
    for (input, (session, nodes)) in inputs.iter().zip(numbers(inputs)) {
        let mut numbers = Numbers::new(Origin { session, nodes });
        let mut look = |world: &World| {
            for number in 0..world.tap_points.next_number() {
                if let Some(point) = world.tap_points.get(number) {
                    names.insert(Arc::clone(&point.name));
                    missing.retain(|name| !is_chosen(std::slice::from_ref(*name), point, world));
                }
            }
            missing.is_empty()
        };
        read_updates(input, stop, |origin, mut update| {
            if numbers.update(&mut update, world.tap_points.next_number()) {
                world.apply(&numbers.origin_of(origin), &update);
            }
            // The name of a pod may come later than its interface.
            matches!(update, Update::TapPoint { .. }) && look(&world)
        })?;
        if look(&world) {
            return Ok(());
        }
    }
    if stop.is_set() {
        return Ok(());
    }
    let given: Vec<_> = missing.iter().map(ToString::to_string).collect();
    let first = given.first().map(String::as_str);
    let words = list(&given);
    if names.is_empty() {
        bail!("--interface {words}: no interface {words} in the files: they describe none");
    }
    bail!(
        "--interface {words}: no interface {words} in the files\nhint: there is {}",
        listed(names.iter().map(AsRef::as_ref), first)
    )
}

/// Fails unless the files have all that a selector asks for by name. Does not read an input that
/// can be read only once.
pub(super) fn check_names(
    selector: &Selector,
    inputs: &[Input],
    stop: &Stop,
) -> anyhow::Result<()> {
    let mut register = Register::new(selector);
    for node in inputs.iter().flat_map(Input::nodes) {
        register.learn_node(&node);
    }
    if register.is_complete() || inputs.iter().any(Input::is_stream) {
        return Ok(());
    }
    for input in inputs {
        read_updates(input, stop, |_, update| {
            register.learn(&update);
            register.is_complete()
        })?;
    }
    match (register.missing(), register.hint()) {
        (Some(missing), Some(hint)) if !stop.is_set() => {
            let elsewhere = match register.seeks_pod() {
                true => {
                    "; a pod of another node is named by the recording of that node, \
                     or where the Kubernetes API was known; its packets are found by its address"
                }
                false => "",
            };
            let options = register.options();
            bail!("{options}no {missing} in the files\nhint: {hint}{elsewhere}")
        }
        _ => Ok(()),
    }
}

/// Reads the updates of an input until one is the last that is needed.
fn read_updates(
    input: &Input,
    stop: &Stop,
    mut is_enough: impl FnMut(&Origin, Update) -> bool,
) -> anyhow::Result<()> {
    let options = ReaderOptions {
        stop: stop.clone(),
        ..ReaderOptions::default()
    };
    let mut chain = input.open(options, true)?;
    chain.end();
    while let Some(item) = chain.next_item()? {
        if let Item::Update(origin, update) = item
            && is_enough(&origin, update)
        {
            break;
        }
    }
    Ok(())
}

/// Names that were not found in what can be read only once: an error at the end.
pub(super) struct Unfound(pub(super) Register);

impl Consumer for Unfound {
    fn on_update(&mut self, _: &Origin, update: &Update, _: &World) {
        self.0.learn(update);
    }

    fn close(&mut self) -> io::Result<()> {
        match (self.0.missing(), self.0.hint()) {
            (Some(missing), Some(hint)) => Err(io::Error::other(format!(
                "{}no {missing} in what was read\nhint: {hint}",
                self.0.options()
            ))),
            _ => Ok(()),
        }
    }
}
