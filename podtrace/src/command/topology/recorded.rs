//! The topology as it was recorded.
use anyhow::bail;

use crate::{
    cli::{TopologyArgs, TopologyFormat},
    command::{FINE, PROBLEMS, print_out},
    model::topology::RecordedTopology,
    session::{
        input::expand,
        reader::{Item, Reader, ReaderOptions},
    },
    text::sanitize::sanitize_lines,
    update::Update,
};

/// Shows what the files hold: the last of each session's.
pub(super) fn show(args: &TopologyArgs) -> anyhow::Result<u8> {
    let mut found: Vec<(String, RecordedTopology)> = Vec::new();
    for path in &args.files {
        for file in expand(path)? {
            let mut reader = Reader::open(&file, ReaderOptions::default())?;
            while let Some(item) = reader.next_item()? {
                let Item::Update(_, Update::Topology(topology)) = item else {
                    continue;
                };
                let session = reader.section().map(|info| info.session.clone());
                let session = session.unwrap_or_default();
                match found.iter_mut().find(|(other, _)| *other == session) {
                    Some((_, known)) if known.utc_ns > topology.utc_ns => {}
                    Some((_, known)) => *known = *topology,
                    None => found.push((session, *topology)),
                }
            }
        }
    }
    if found.is_empty() {
        bail!(
            "no topology was recorded\nhint: podtrace record and trace -w write it, seconds after their begin"
        );
    }
    let mut out = String::new();
    for (_, topology) in &found {
        print(&mut out, topology, args.output)?;
    }
    print_out(&out)?;
    let is_broken = |topology: &RecordedTopology| {
        let problems = topology
            .json
            .get("problems")
            .and_then(|list| list.as_array());
        problems.is_some_and(|problems| !problems.is_empty())
    };
    let broken = args.check && found.iter().any(|(_, topology)| is_broken(topology));
    Ok(if broken { PROBLEMS } else { FINE })
}

fn print(
    out: &mut String,
    topology: &RecordedTopology,
    format: TopologyFormat,
) -> anyhow::Result<()> {
    match format {
        TopologyFormat::Text => {
            let time = jiff::Timestamp::from_nanosecond(topology.utc_ns.into())?;
            *out += &format!("as of {time:.0}\n{}", sanitize_lines(&topology.text));
        }
        TopologyFormat::Json => {
            *out += &serde_json::to_string_pretty(&topology.json)?;
            out.push('\n');
        }
        TopologyFormat::Dot => bail!("a recorded topology is shown as text or json only"),
    }
    Ok(())
}
