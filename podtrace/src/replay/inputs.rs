//! The files that a command reads, grouped by session.
mod copies;

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, Metadata},
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::bail;

use super::options::PlayerOptions;
use crate::{
    packet::key_payload,
    session::{
        chain::Chain,
        folder,
        format::SectionInfo,
        input::{InputError, named},
        reader::{Item, Reader, ReaderOptions},
    },
    signals::Stop,
    text::{escape::shown, names::list, sanitize::sanitize},
};
use copies::{holds_more, is_copy};

/// Standard input.
const STDIN: &str = "-";

/// The files of one session, in order, or one capture of another tool.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    files: Vec<PathBuf>,
    /// The header of its first section; none for other captures and for streams.
    info: Option<SectionInfo>,
}

impl Input {
    /// Names of its nodes.
    pub(crate) fn nodes(&self) -> Vec<String> {
        match &self.info {
            Some(info) => info.nodes.iter().map(|name| sanitize(name)).collect(),
            None => vec![self.file_name()],
        }
    }

    fn file_name(&self) -> String {
        let name = self.files.first().and_then(|file| file.file_name());
        name.map_or_else(String::new, shown)
    }

    /// Whether it can be read only once.
    pub(crate) fn is_stream(&self) -> bool {
        self.files.iter().any(|file| is_stream(file))
    }

    /// Whether it is a session of podtrace's, as far as that is known.
    pub(crate) fn info(&self) -> Option<&SectionInfo> {
        self.info.as_ref()
    }

    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// How many sessions it holds.
    pub(crate) fn sessions(&self) -> usize {
        self.info.as_ref().map_or(1, |info| info.sessions.max(1))
    }

    /// Opens it from the beginning. `follow`: it may still grow.
    pub(crate) fn open(&self, options: ReaderOptions, follow: bool) -> anyhow::Result<Chain> {
        let mut files: VecDeque<_> = self.files.iter().cloned().collect();
        let Some(first) = files.pop_front() else {
            bail!("nothing to read");
        };
        let reader = Reader::open(&first, options.clone())?;
        Ok(if follow {
            Chain::new(reader, options, files)
        } else {
            Chain::ahead(reader, options, files)?
        })
    }
}

/// Whether a path is of standard input, a pipe or a device, which cannot be read twice.
fn is_stream(path: &Path) -> bool {
    let metadata = || path.metadata().ok();
    path.as_os_str() == STDIN || metadata().is_some_and(|metadata| !metadata.is_file())
}

/// The inputs, and what was left out.
#[derive(Default)]
pub(crate) struct Inputs {
    pub(crate) all: Vec<Input>,
    /// In words.
    pub(crate) notices: Vec<String>,
    /// Numbers in `all`, by session.
    by_session: BTreeMap<String, usize>,
    /// The sections with which the files of each input begin.
    sections: Vec<Vec<u64>>,
    /// Files of other tools' captures, by length.
    by_len: BTreeMap<u64, Vec<PathBuf>>,
}

/// Finds the inputs that the paths name; the first is the reference for the clocks.
pub(crate) fn find(paths: &[PathBuf]) -> anyhow::Result<Inputs> {
    let mut inputs = Inputs::default();
    for file in files(paths, &mut inputs.notices)? {
        inputs.add(file)?;
    }
    if inputs.all.len() > 1
        && let Some(stream) = inputs.all.iter().find(|input| input.is_stream())
    {
        let name = stream
            .files
            .first()
            .map_or_else(String::new, |file| named(file));
        bail!(
            "{name} cannot be merged with other files: it can be read only once\nhint: save it to a file first"
        );
    }
    Ok(inputs)
}

impl Inputs {
    /// Adds a file to the session that it is part of, or as an input of its own.
    fn add(&mut self, file: PathBuf) -> anyhow::Result<()> {
        let info = look_into(&file)?;
        let Some(SectionInfo {
            session, section, ..
        }) = &info
        else {
            return self.add_other(file);
        };
        let Some(number) = self.by_session.get(session).copied() else {
            self.by_session.insert(session.clone(), self.all.len());
            self.push(file, info);
            return Ok(());
        };
        let (input, sections) = (&mut self.all[number], &mut self.sections[number]);
        let at = match sections.binary_search(section) {
            Ok(at) => {
                // The same recording once more: one of the two may be cut.
                let known = &mut input.files[at];
                let copy = if holds_more(&file, known)? {
                    std::mem::replace(known, file)
                } else {
                    file
                };
                let known = named(&input.files[at]);
                self.leave_out(&copy, &known);
                return Ok(());
            }
            Err(at) => at,
        };
        sections.insert(at, *section);
        input.files.insert(at, file);
        if at == 0 {
            input.info = info;
        }
        Ok(())
    }

    /// Adds a capture of another tool.
    fn add_other(&mut self, file: PathBuf) -> anyhow::Result<()> {
        if !is_stream(&file) {
            let known = self.by_len.entry(file.metadata()?.len()).or_default();
            for other in known.iter() {
                if is_copy(&file, other)? {
                    let other = named(other);
                    self.leave_out(&file, &other);
                    return Ok(());
                }
            }
            known.push(file.clone());
        }
        self.push(file, None);
        Ok(())
    }

    fn push(&mut self, file: PathBuf, info: Option<SectionInfo>) {
        self.sections
            .push(info.iter().map(|info| info.section).collect());
        self.all.push(Input {
            files: vec![file],
            info,
        });
    }

    fn leave_out(&mut self, copy: &Path, known: &str) {
        let copy = named(copy);
        self.notices
            .push(format!("{copy} left out: {known} is the same recording"));
    }
}

/// The files that the paths name. `notices`: what the directories hold beside them.
fn files(paths: &[PathBuf], notices: &mut Vec<String>) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let found = folder::find(path)?;
        if !found.others.is_empty() {
            notices.push(format!("{}: left out {}", named(path), list(&found.others)));
        }
        for file in found.captures {
            if files.contains(&file) {
                bail!("{} is named twice", shown(&file));
            }
            files.push(file);
        }
    }
    Ok(files)
}

fn look_into(file: &Path) -> Result<Option<SectionInfo>, InputError> {
    if is_stream(file) {
        return Ok(None);
    }
    let mut reader = Reader::open(file, ReaderOptions::default())?;
    loop {
        match reader.next_item()? {
            Some(Item::Section(info)) => return Ok(Some(info)),
            // The first section may be damaged: a later one in the file serves as well.
            Some(_) if reader.is_damaged() => {}
            _ => return Ok(None),
        }
    }
}

/// Payload bytes that all inputs have for the packets' keys.
pub(super) fn common_payload(inputs: &[Input]) -> usize {
    let infos = inputs.iter().filter_map(|input| input.info.as_ref());
    let snaplen = infos.map(|info| info.snaplen).min();
    key_payload(snaplen.unwrap_or(u32::MAX))
}

/// How all inputs are read.
pub(super) fn reader_options(
    inputs: &[Input],
    args: &PlayerOptions,
    keep_captured: bool,
    stop: &Stop,
) -> ReaderOptions {
    ReaderOptions {
        key_payload: common_payload(inputs),
        keep_captured,
        vxlan_ports: args.vxlan_ports,
        stop: stop.clone(),
    }
}

/// The numbers of each input's nodes and of its first session.
pub(crate) fn numbers(inputs: &[Input]) -> Vec<(usize, Range<usize>)> {
    let (mut session, mut node) = (0, 0);
    let next = |input: &Input| {
        let nodes = node..node + input.nodes().len();
        let first = session;
        node = nodes.end;
        session += input.sessions();
        (first, nodes)
    };
    inputs.iter().map(next).collect()
}

/// Whether sampling may have skipped a packet at one node that another node traced.
pub(crate) fn differ_in_sampling(inputs: &[Input]) -> bool {
    let infos: Vec<_> = inputs.iter().filter_map(Input::info).collect();
    let share = |info: &SectionInfo| info.sample.max(1);
    let differ = |pair: &[&SectionInfo]| {
        share(pair[0]) != share(pair[1]) || pair.iter().any(|info| info.max_rate.is_some())
    };
    infos.windows(2).any(differ) || infos.iter().any(|info| info.mixed_sampling)
}

/// How many bytes are read of files that are read so often; none where nothing tells the size.
pub(super) fn size(inputs: &[Input], passes: u64) -> Option<u64> {
    let mut files = inputs.iter().flat_map(Input::files);
    let size = files.try_fold(0_u64, |sum, file| {
        let metadata = fs::metadata(file).ok().filter(Metadata::is_file)?;
        Some(sum.saturating_add(metadata.len()))
    });
    size.map(|size| size.saturating_mul(passes))
}
