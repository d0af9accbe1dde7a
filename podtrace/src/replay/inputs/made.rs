//! Files that podtrace made of others, given together with those.
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::bail;

use super::{Input, Inputs, copies::fingerprint};
use crate::{
    session::{
        format::{CAPTURE, SourceSession},
        input::InputError,
    },
    text::names::list,
};

impl Inputs {
    /// Leaves out what was made of sessions that are given as well.
    ///
    /// # Errors
    /// When only some of these sessions are given: then neither holds all.
    pub(super) fn leave_out_made(&mut self) -> anyhow::Result<()> {
        let mut infos = self.all.iter().filter_map(Input::info);
        let wants_captures = infos.any(|info| !info.made_of.is_empty() && info.holds_captures());
        let mut names = BTreeMap::new();
        for input in &self.all {
            if (input.info().is_some() || wants_captures)
                && let Some(session) = input.session()?
            {
                names.insert(session, input.name());
            }
        }
        let mut kept = Vec::new();
        for input in std::mem::take(&mut self.all) {
            let made_of = input.info().map_or(&[][..], |info| &info.made_of);
            let sources: Vec<_> = made_of.iter().map(|source| given(source, &names)).collect();
            let is_whole = sources.iter().all(|(_, is_whole)| *is_whole);
            let given: BTreeSet<_> = sources.into_iter().flat_map(|(names, _)| names).collect();
            let given: Vec<_> = given.into_iter().collect();
            if given.is_empty() {
                kept.push(input);
            } else if is_whole {
                self.notices.push(format!(
                    "{} left out: made of {}",
                    input.name(),
                    list(&given)
                ));
            } else {
                bail!(
                    "{} was made of {} and of others that are not given: packets would count twice\nhint: leave one of them out",
                    input.name(),
                    list(&given)
                );
            }
        }
        self.all = kept;
        Ok(())
    }
}

/// The files that hold a session, as itself or as what it was made of, and whether they hold
/// all of it.
fn given<'a>(
    source: &SourceSession,
    names: &'a BTreeMap<String, String>,
) -> (Vec<&'a String>, bool) {
    if let Some(name) = names.get(&source.session) {
        return (vec![name], true);
    }
    let given: Vec<_> = source.live.iter().filter_map(|id| names.get(id)).collect();
    let is_whole = !given.is_empty() && given.len() == source.live.len();
    (given, is_whole)
}

impl Input {
    /// The name of its session; of a capture of another tool, a name by its content. None for
    /// a stream, which is not read before.
    ///
    /// # Errors
    /// When the capture cannot be read.
    pub(crate) fn session(&self) -> Result<Option<String>, InputError> {
        Ok(match (&self.info, &self.files[..]) {
            (Some(info), _) => Some(info.session.clone()),
            (None, _) if self.is_stream() => None,
            (None, files) => Some(capture(files)?),
        })
    }

    /// The names of the captures of another tool that it was divided into; none of a whole one.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn parts(&self) -> Result<Vec<String>, InputError> {
        if self.info.is_some() || self.files.len() < 2 {
            return Ok(Vec::new());
        }
        self.files.chunks(1).map(capture).collect()
    }

    /// The name of its first file, safe to show.
    pub(crate) fn name(&self) -> String {
        self.files
            .first()
            .map_or_else(String::new, |file| super::named(file))
    }
}

/// A name for a capture of another tool by its content.
fn capture(files: &[PathBuf]) -> Result<String, InputError> {
    Ok(format!("{CAPTURE}{}", fingerprint(files)?))
}
