//! The files that a command reads, grouped by session.
use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::bail;

use crate::{
    packet::key_payload,
    session::{
        chain::Chain,
        format::SectionInfo,
        input::{InputError, expand},
        reader::{Item, Reader, ReaderOptions},
    },
    text::sanitize::sanitize,
};

/// Standard input.
const STDIN: &str = "-";

/// The files of one session, in order, or one capture of another tool.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    files: Vec<PathBuf>,
    /// The header of its first section; none for other captures and for standard input,
    /// which cannot be read twice.
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
        name.map_or_else(String::new, |name| sanitize(&name.to_string_lossy()))
    }

    pub(crate) fn is_stdin(&self) -> bool {
        self.files.iter().any(|file| file.as_os_str() == STDIN)
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
        let reader = Reader::open(&first, options)?;
        Ok(if follow {
            Chain::new(reader, options, files)
        } else {
            Chain::ahead(reader, options, files)?
        })
    }
}

/// Finds the inputs that the paths name; the first is the reference for the clocks.
pub(crate) fn find(paths: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    let mut inputs: Vec<Input> = Vec::new();
    let mut by_session: BTreeMap<String, usize> = BTreeMap::new();
    let mut sections: Vec<Vec<u64>> = Vec::new();
    let mut refused = None;
    for file in files(paths)? {
        let info = match look_into(&file) {
            Ok(info) => info,
            // One bad file in a directory does not stop the others.
            Err(error @ InputError::Format { .. }) if !paths.contains(&file) => {
                refused = Some(error);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let known = info.as_ref().and_then(|info| by_session.get(&info.session));
        if let (Some(number), Some(info)) = (known, &info) {
            let at = sections[*number].partition_point(|section| *section <= info.section);
            sections[*number].insert(at, info.section);
            inputs[*number].files.insert(at, file);
            if at == 0 {
                inputs[*number].info = Some(info.clone());
            }
            continue;
        }
        if let Some(info) = &info {
            by_session.insert(info.session.clone(), inputs.len());
        }
        sections.push(vec![info.as_ref().map_or(0, |info| info.section)]);
        inputs.push(Input {
            files: vec![file],
            info,
        });
    }
    match refused {
        Some(error) if inputs.is_empty() => return Err(error.into()),
        Some(error) => eprintln!("podtrace: left out: {error}"),
        None => {}
    }
    if inputs.len() > 1 && inputs.iter().any(Input::is_stdin) {
        bail!("standard input (-) cannot be merged with files\nhint: save it to a file first");
    }
    Ok(inputs)
}

fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        for file in expand(path)? {
            if files.contains(&file) {
                bail!("{} is named twice", sanitize(&file.to_string_lossy()));
            }
            files.push(file);
        }
    }
    Ok(files)
}

fn look_into(file: &Path) -> Result<Option<SectionInfo>, InputError> {
    if file.as_os_str() == STDIN {
        return Ok(None);
    }
    let mut reader = Reader::open(file, ReaderOptions::default())?;
    loop {
        match reader.next_item()? {
            Some(Item::Section(info)) => return Ok(Some(info)),
            // The first section may be damaged: a later one in the file serves as well.
            Some(_) if reader.is_damaged() => {}
            None if !reader.is_capture() => {
                let is_empty = file.metadata().is_ok_and(|metadata| metadata.len() == 0);
                return Err(InputError::Format {
                    path: file.to_owned(),
                    hint: if is_empty { ": it is empty" } else { "" },
                });
            }
            _ => return Ok(None),
        }
    }
}

/// Payload bytes that all inputs have for the packets' keys.
pub(crate) fn common_payload(inputs: &[Input]) -> usize {
    let infos = inputs.iter().filter_map(|input| input.info.as_ref());
    let snaplen = infos.map(|info| info.snaplen).min();
    key_payload(snaplen.unwrap_or(u32::MAX))
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
