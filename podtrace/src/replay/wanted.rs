//! Checks that the requested interfaces are in the files.
use std::collections::BTreeSet;

use anyhow::bail;

use super::inputs::Input;
use crate::{
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
    if wanted.is_empty() || inputs.iter().any(Input::is_stream) {
        return Ok(());
    }
    let mut names = BTreeSet::new();
    for input in inputs {
        let options = ReaderOptions {
            stop: stop.clone(),
            ..ReaderOptions::default()
        };
        let mut chain = input.open(options, true)?;
        chain.end();
        while let Some(item) = chain.next_item()? {
            if let Item::Update(_, Update::TapPoint { point, .. }) = item {
                names.insert(point.name);
                if wanted.iter().all(|name| names.contains(name.as_str())) {
                    return Ok(());
                }
            }
        }
    }
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
