//! The files that a command reads, grouped by session.
mod copies;
mod kin;
mod made;
mod names;
mod series;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{self, Metadata},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::bail;

use super::options::PlayerOptions;
use crate::{
    clock::nanos,
    packet::key_payload,
    path::HOP_TIMEOUT,
    session::{
        chain::Chain,
        folder,
        format::SectionInfo,
        input::{InputError, is_stream, named},
        reader::{Item, Reader, ReaderOptions},
    },
    signals::Stop,
    text::{escape::shown, names::list, sanitize::sanitize},
};
use copies::{holds_more, is_copy};
use kin::Kin;
pub(crate) use kin::link;
use names::distinguish;
pub(crate) use series::join;

/// The files of one session, in order, or of one capture of another tool.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    files: Vec<PathBuf>,
    /// The header of its first section; none for other captures and for streams.
    info: Option<SectionInfo>,
    /// The name of a capture of another tool that shares its file's name with another one.
    name: Option<Arc<str>>,
    /// The times of its first and last packet or tick, by its own clock; none before it was read,
    /// and without any.
    pub(super) span: Option<(u64, u64)>,
    /// The link layers of a capture of another tool, once it was read.
    pub(super) links: BTreeSet<u16>,
    /// Whether it has all packets of its interfaces, but for lost ones: it was read, and tells of
    /// none that it left out.
    pub(super) has_all: bool,
    kin: Kin,
}

impl Input {
    /// Names of its nodes.
    pub(crate) fn nodes(&self) -> Vec<String> {
        match &self.info {
            Some(info) => info.nodes.iter().map(|name| sanitize(name)).collect(),
            None => vec![
                self.name
                    .as_ref()
                    .map_or_else(|| self.file_name(), ToString::to_string),
            ],
        }
    }

    /// A session that is recorded meanwhile, of which there is no file.
    pub(super) fn live(info: SectionInfo) -> Self {
        Self {
            files: Vec::new(),
            info: Some(info),
            name: None,
            span: None,
            links: BTreeSet::new(),
            has_all: false,
            kin: Kin::default(),
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

    /// The header of a session of podtrace, if it is known to be one.
    pub(crate) fn info(&self) -> Option<&SectionInfo> {
        self.info.as_ref()
    }

    /// Whether only some packets were recorded.
    pub(crate) fn is_selected(&self) -> bool {
        self.info.as_ref().is_some_and(|info| info.selected)
    }

    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// How many sessions it holds.
    pub(crate) fn sessions(&self) -> usize {
        self.info.as_ref().map_or(1, |info| info.sessions.max(1))
    }

    /// Opens it from the beginning. `follow`: it may still grow.
    pub(crate) fn open(&self, mut options: ReaderOptions, follow: bool) -> anyhow::Result<Chain> {
        options.name.clone_from(&self.name);
        let mut files: VecDeque<_> = self.files.iter().cloned().collect();
        let Some(first) = files.pop_front() else {
            bail!("nothing to read");
        };
        let reader = Reader::open(&first, options.clone())?;
        let chain = if follow {
            Chain::new(reader, options, files)
        } else {
            Chain::ahead(reader, options, files)?
        };
        Ok(match self.info {
            None if self.files.len() > 1 => chain.in_parts(),
            _ => chain,
        })
    }
}

/// The inputs, and notices about what was left out.
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
    inputs.leave_out_made()?;
    distinguish(&mut inputs.all);
    if inputs.all.len() > 1
        && let Some(stream) = inputs.all.iter().find(|input| input.is_stream())
    {
        let name = stream.name();
        bail!(
            "{name} cannot be merged with other files: it can be read only once\nhint: save it to a file first"
        );
    }
    Ok(inputs)
}

impl Inputs {
    /// Adds a file to the session that it is part of, or as an input of its own.
    fn add(&mut self, file: PathBuf) -> anyhow::Result<()> {
        let info = section_info(&file)?;
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
                // A second copy of the recording: one of the two may be cut.
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
            name: None,
            span: None,
            links: BTreeSet::new(),
            has_all: false,
            kin: Kin::default(),
        });
    }

    fn leave_out(&mut self, copy: &Path, known: &str) {
        let copy = named(copy);
        self.notices
            .push(format!("{copy} left out: {known} is the same recording"));
    }
}

/// The files that the paths name. `notices`: the other files of the directories.
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

fn section_info(file: &Path) -> Result<Option<SectionInfo>, InputError> {
    if is_stream(file) {
        return Ok(None);
    }
    let mut reader = Reader::open(file, ReaderOptions::default())?;
    loop {
        match reader.next_item()? {
            Some(Item::Section(info)) => return Ok(Some(info)),
            // The first section may be damaged: a later section of the file serves as well.
            Some(_) if reader.is_damaged() => {}
            _ => return Ok(None),
        }
    }
}

/// Payload bytes that the packets' keys of all inputs can include.
pub(super) fn common_payload(inputs: &[Input]) -> usize {
    let infos = inputs.iter().filter_map(|input| input.info.as_ref());
    let snaplen = infos.map(|info| info.snaplen).min();
    key_payload(snaplen.unwrap_or(u32::MAX))
}

/// How long a packet may stay between two hops, in nanoseconds: as given, or as recorded.
pub(super) fn hop_timeout_ns(inputs: &[Input], args: &PlayerOptions) -> u64 {
    let infos = inputs.iter().filter_map(Input::info);
    let recorded = infos.map(|info| info.hop_timeout_ns).max();
    let given = args.hop_timeout.map(nanos);
    let timeout_ns = given.or(recorded.filter(|ns| *ns > 0));
    timeout_ns.unwrap_or(nanos(HOP_TIMEOUT))
}

/// The options for reading all inputs.
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
        filter: args.asked.filter.clone(),
        passes_over: false,
        name: None,
        stop: stop.clone(),
    }
}

/// The numbers of each input's nodes and of its first session.
pub(crate) fn numbers(inputs: &[Input]) -> Vec<(usize, Range<usize>)> {
    let (mut session, mut node) = (0, 0);
    let mut all: Vec<(usize, Range<usize>)> = Vec::new();
    for (number, input) in inputs.iter().enumerate() {
        let of_kernel = all.get(input.first(number)).cloned();
        all.push(of_kernel.unwrap_or_else(|| {
            let own = (session, node..node + input.nodes().len());
            node = own.1.end;
            session += input.sessions();
            own
        }));
    }
    all
}

/// The number of each input's kernel, from 0.
pub(super) fn kernels(inputs: &[Input]) -> Vec<usize> {
    let mut all: Vec<usize> = Vec::new();
    let mut count = 0;
    for (number, input) in inputs.iter().enumerate() {
        let known = all.get(input.first(number)).copied();
        all.push(known.unwrap_or_else(|| {
            count += 1;
            count - 1
        }));
    }
    all
}

/// An input of each kernel.
pub(crate) fn firsts(inputs: &[Input]) -> impl Iterator<Item = &Input> + Clone {
    inputs.iter().filter(|input| input.is_first())
}

/// Bytes to read in this many passes over the files; none if the size is unknown.
pub(super) fn size(inputs: &[Input], passes: u64) -> Option<u64> {
    let mut files = inputs.iter().flat_map(Input::files);
    let size = files.try_fold(0_u64, |sum, file| {
        let metadata = fs::metadata(file).ok().filter(Metadata::is_file)?;
        Some(sum.saturating_add(metadata.len()))
    });
    size.map(|size| size.saturating_mul(passes))
}
