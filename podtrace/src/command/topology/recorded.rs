//! The topology as it was recorded.
use std::{collections::BTreeMap, path::PathBuf};

use anyhow::bail;

use crate::{
    cli::{TopologyArgs, TopologyFormat},
    command::{FINE, INTERRUPTED, PROBLEMS, print_out, stop::stop_on_signal, width},
    model::topology::RecordedTopology,
    output::topology::{picture, text},
    replay::inputs::{self, Input},
    session::reader::{Item, ReaderOptions},
    signals::Stop,
    sink,
    text::{escape::shown, names::listed, sanitize::sanitize_lines},
    update::Update,
};

/// Shows the last topology of each session in the files.
pub(super) fn show(args: &TopologyArgs) -> anyhow::Result<u8> {
    let stop = stop_on_signal()?;
    let found = find(&args.files, &stop, sink::tell)?;
    if stop.is_set() {
        sink::tell("interrupted before anything was shown");
        return Ok(INTERRUPTED);
    }
    print_out(&in_format(&found, args.output)?)?;
    let is_broken = |topology: &RecordedTopology| {
        let problems = topology
            .json
            .get("problems")
            .and_then(|list| list.as_array());
        problems.is_some_and(|problems| !problems.is_empty())
    };
    let broken = args.check && found.iter().any(is_broken);
    Ok(if broken { PROBLEMS } else { FINE })
}

/// The last topology of each session in the files; fails where there is none. `tell`: takes what
/// there is to say of the files. Once it is asked to stop, what it finds is not all.
pub(in crate::command) fn find(
    files: &[PathBuf],
    stop: &Stop,
    tell: impl FnMut(&str),
) -> anyhow::Result<Vec<RecordedTopology>> {
    let inputs = inputs::find(files)?;
    inputs.notices.iter().map(String::as_str).for_each(tell);
    let mut found = Vec::new();
    for input in &inputs.all {
        found.extend(last(input, stop)?);
    }
    if found.is_empty() && !stop.is_set() {
        bail!(
            "no topology was recorded in {}\nhint: podtrace record and trace -w write it, seconds after their begin; other tools do not",
            names(files)
        );
    }
    Ok(found)
}

fn names(files: &[PathBuf]) -> String {
    let names: Vec<_> = files.iter().map(shown).collect();
    listed(names.iter().map(AsRef::as_ref), None)
}

/// The last topology of each session in the files of one.
fn last(input: &Input, stop: &Stop) -> anyhow::Result<Vec<RecordedTopology>> {
    let mut last: BTreeMap<usize, RecordedTopology> = BTreeMap::new();
    let options = ReaderOptions {
        stop: stop.clone(),
        ..ReaderOptions::default()
    };
    let mut chain = input.open(options, false)?;
    // Entries after damage count as well.
    chain.end();
    while let Some(item) = chain.next_item()? {
        let Item::Update(origin, Update::Topology(topology)) = item else {
            continue;
        };
        let known = last.get(&origin.session);
        if known.is_none_or(|known| known.utc_ns <= topology.utc_ns) {
            last.insert(origin.session, *topology);
        }
    }
    Ok(last.into_values().collect())
}

fn in_format(found: &[RecordedTopology], format: TopologyFormat) -> anyhow::Result<String> {
    let mut out = String::new();
    match format {
        TopologyFormat::Text => {
            for topology in found {
                let recorded = sanitize_lines(&topology.text);
                let time = time(topology)?;
                out += &format!("as of {time}\n{}", text::fitted(recorded, width()));
            }
        }
        TopologyFormat::Json => {
            for topology in found {
                out += &serde_json::to_string_pretty(&topology.json)?;
                out.push('\n');
            }
        }
        TopologyFormat::Svg => {
            let mut times = found.iter().map(time).collect::<anyhow::Result<Vec<_>>>()?;
            times.sort_unstable();
            times.dedup();
            let documents = found.iter().map(|topology| &topology.json);
            picture::document::write(&mut out, documents, Some(&times.join(", ")));
        }
        TopologyFormat::Dot => bail!(
            "a recorded topology is shown as text, json or svg only: -o svg is a picture, too"
        ),
    }
    Ok(out)
}

/// When a topology was like that.
pub(in crate::command) fn time(topology: &RecordedTopology) -> anyhow::Result<String> {
    let time = jiff::Timestamp::from_nanosecond(topology.utc_ns.into())?;
    Ok(format!("{time:.0}"))
}
