//! The tool `paths`.
use std::collections::BTreeMap;

use super::{
    answer::{Answer, BODY_MAX, Rows},
    play::{Made, Place, Request, play},
};
use crate::{
    output::{json::Json, render::Render as _},
    path::{Outcome, Path, summary::Summary},
    pipeline::consumer::Consumer,
    world::World,
};

/// Answers with paths.
pub(super) fn answer(request: &Request) -> anyhow::Result<String> {
    let input = request.given.input()?;
    let limit = request.given.limit();
    let Made {
        made,
        notices,
        is_partial,
    } = play(request, input, |place| Paths {
        json: Json::new(0),
        kept: Some(Kept {
            rows: Rows::new(limit, BODY_MAX),
            first_left_out_ns: None,
            packets: 0,
            outcomes: BTreeMap::new(),
        }),
        place,
    })?;
    let mut answer = Answer::new();
    answer.field("packets", &made.packets)?;
    answer.field("outcomes", &made.outcomes)?;
    if is_partial {
        answer.field("partial", &request.partial())?;
    }
    answer.field("shown", &made.rows.shown())?;
    let more = made.first_left_out_ns.map(|ns| {
        let time = jiff::Timestamp::from_nanosecond(ns.into());
        time.map_or_else(
            |_| String::new(),
            |time| format!(", or go on with since={time}"),
        )
    });
    let hint = format!(
        "ask for less by pod, outcome or expression{}",
        more.unwrap_or_default()
    );
    answer.rows("paths", &made.rows, &hint)?;
    answer.finish(notices)
}

/// What is kept of paths.
struct Kept {
    rows: Rows,
    /// When the first packet without a row was first seen.
    first_left_out_ns: Option<u64>,
    packets: u64,
    outcomes: BTreeMap<&'static str, u64>,
}

struct Paths {
    json: Json,
    kept: Option<Kept>,
    place: Place<Kept>,
}

impl Consumer for Paths {
    fn on_path(&mut self, path: &Path, world: &World) {
        let Some(kept) = &mut self.kept else { return };
        let json = &mut self.json;
        let is_there = kept.rows.add(|| {
            let mut line = String::new();
            json.path(&mut line, path, world);
            line.truncate(line.trim_end().len());
            line
        });
        if !is_there {
            kept.first_left_out_ns.get_or_insert(path.first_ns());
        }
    }

    fn on_end(&mut self, summary: &Summary, _: &World) -> Vec<String> {
        if let Some(mut kept) = self.kept.take() {
            kept.packets = summary.packets;
            kept.outcomes = outcomes(summary);
            self.place.replace(Some(kept));
        }
        Vec::new()
    }
}

/// How many packets ended how, without outcomes that none has.
pub(super) fn outcomes(summary: &Summary) -> BTreeMap<&'static str, u64> {
    let all = Outcome::NAMES.into_iter().zip(summary.outcomes);
    all.filter(|(_, packets)| *packets > 0).collect()
}
