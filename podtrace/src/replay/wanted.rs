//! Checks that the files have what is asked for by name.
use std::collections::BTreeSet;

use anyhow::bail;

use super::inputs::Input;
use crate::{
    select::{Selector, register::Register},
    session::reader::{Item, ReaderOptions},
    signals::Stop,
    text::names::{list, listed},
    update::Update,
};

/// Fails unless the files have interfaces of all these names; stops reading at the last of
/// them. Does not read an input that can be read only once.
pub(super) fn check_interfaces(
    wanted: &[String],
    inputs: &[Input],
    stop: &Stop,
) -> anyhow::Result<()> {
    let mut names = BTreeSet::new();
    let is_found = |names: &BTreeSet<_>| wanted.iter().all(|name| names.contains(name.as_str()));
    if is_found(&names) || inputs.iter().any(Input::is_stream) {
        return Ok(());
    }
    read_updates(inputs, stop, |update| {
        if let Update::TapPoint { point, .. } = update {
            names.insert(point.name);
        }
        is_found(&names)
    })?;
    let missing = wanted.iter().filter(|name| !names.contains(name.as_str()));
    let missing: Vec<_> = missing.collect();
    match missing.as_slice() {
        [first, ..] if !stop.is_set() => bail!(
            "no interface {} in the files\nhint: there is {}",
            list(&missing),
            listed(names.iter().map(AsRef::as_ref), Some(first))
        ),
        _ => Ok(()),
    }
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
    read_updates(inputs, stop, |update| {
        register.learn(&update);
        register.is_complete()
    })?;
    match (register.missing(), register.hint()) {
        (Some(missing), Some(hint)) if !stop.is_set() => {
            bail!("no {missing} in the files\nhint: {hint}")
        }
        _ => Ok(()),
    }
}

/// Reads the updates of the files until one is the last that is needed.
fn read_updates(
    inputs: &[Input],
    stop: &Stop,
    mut is_enough: impl FnMut(Update) -> bool,
) -> anyhow::Result<()> {
    for input in inputs {
        let options = ReaderOptions {
            stop: stop.clone(),
            ..ReaderOptions::default()
        };
        let mut chain = input.open(options, true)?;
        chain.end();
        while let Some(item) = chain.next_item()? {
            if let Item::Update(_, update) = item
                && is_enough(update)
            {
                return Ok(());
            }
        }
    }
    Ok(())
}
