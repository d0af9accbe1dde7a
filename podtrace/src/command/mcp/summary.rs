//! The tool `summary`.
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{
    answer::{Answer, BODY_MAX, Rows},
    paths::outcomes,
    play::{Made, Place, Request, play},
};
use crate::{
    findings::Findings,
    model::{loss::LostSpan, origin::Origin, start::Start},
    path::{Path, summary::Summary},
    pipeline::consumer::{Consumer, Tick},
    projection::finding::FindingObject,
    report::{Cause, Causes},
    stats::{Stats, StatsOptions, TapPointName},
    update::Update,
    world::World,
};

/// Bytes that findings, and causes, may take.
const LIST_BYTES: usize = 64 << 10;

/// Answers with counts, findings and causes.
pub(super) fn answer(request: &Request) -> anyhow::Result<String> {
    let input = request.given.input()?;
    let limit = request.given.limit();
    let Made {
        made,
        notices,
        is_partial,
    } = play(request, input, |place| Collected {
        limit,
        start: Start::default(),
        findings: Findings::default(),
        causes: Causes::default(),
        stats: Some(Stats::new(StatsOptions {
            epoch_ns: 0,
            top: limit.min(10),
            over_time: false,
        })),
        place,
    })?;
    let mut answer = Answer::new();
    answer.field("nodes", &made.start.nodes)?;
    answer.field("files", &made.start.source)?;
    answer.field("packets", &made.packets)?;
    answer.field("outcomes", &made.outcomes)?;
    if is_partial {
        answer.field("partial", &request.partial())?;
    }
    if let Some(why) = made.unseen {
        answer.field("perhaps_unseen", &why)?;
    }
    answer.rows("findings", &made.findings, LESS)?;
    if made.forgotten > 0 {
        answer.field("conversations_forgotten", &made.forgotten)?;
    }
    answer.rows("causes", &made.causes, LESS)?;
    let used = made.findings.bytes() + made.causes.bytes();
    let bounds = (limit, BODY_MAX - used);
    answer.document("statistics", &made.statistics, bounds, LESS)?;
    answer.finish(notices)
}

const LESS: &str = "ask for less by pod, node, time or expression";

/// What is told of a recording.
struct Told {
    start: Start,
    packets: u64,
    outcomes: BTreeMap<&'static str, u64>,
    unseen: Option<&'static str>,
    findings: Rows,
    forgotten: u64,
    causes: Rows,
    statistics: Value,
}

/// A cause, and where its packets were seen last.
#[derive(Serialize)]
struct PlacedCause<'a> {
    #[serde(flatten)]
    cause: &'a Cause,
    last_seen: Option<&'a TapPointName>,
}

struct Collected {
    limit: usize,
    start: Start,
    findings: Findings,
    causes: Causes,
    stats: Option<Stats>,
    place: Place<Told>,
}

impl Collected {
    fn told(&mut self, stats: Stats, summary: &Summary, world: &World) -> serde_json::Result<Told> {
        let found = self.findings.found(summary.unseen, world);
        let mut findings = Rows::new(self.limit, LIST_BYTES);
        for finding in &found.findings {
            let row = serde_json::to_string(&FindingObject::new(finding, 0))?;
            findings.add(|| row);
        }
        findings.leave_out(found.left_out);
        let (all, others) = std::mem::take(&mut self.causes).finish();
        let mut causes = Rows::new(self.limit, LIST_BYTES);
        for cause in &all {
            let row = serde_json::to_string(&PlacedCause {
                cause,
                last_seen: cause.last.as_ref(),
            })?;
            causes.add(|| row);
        }
        causes.leave_out(others);
        Ok(Told {
            start: std::mem::take(&mut self.start),
            packets: summary.packets,
            outcomes: outcomes(summary),
            unseen: summary.unseen,
            findings,
            forgotten: found.forgotten,
            causes,
            statistics: serde_json::to_value(stats.finish(summary))?,
        })
    }
}

impl Consumer for Collected {
    fn on_update(&mut self, _: &Origin, update: &Update, _: &World) {
        self.findings.note(update);
        if let Update::Start(start) = update {
            self.start = start.clone();
        }
    }

    fn on_path(&mut self, path: &Path, world: &World) {
        self.findings.add(path, world);
        self.causes.count(path, world);
        if let Some(stats) = &mut self.stats {
            stats.add(path, world);
        }
    }

    fn on_loss(&mut self, lost: LostSpan) {
        self.findings.note_loss(lost);
    }

    fn on_tick(&mut self, tick: &Tick<'_>, _: &World) -> Vec<String> {
        self.findings.tick(tick.now_ns);
        Vec::new()
    }

    fn on_end(&mut self, summary: &Summary, world: &World) -> Vec<String> {
        if let Some(stats) = self.stats.take()
            && let Ok(told) = self.told(stats, summary, world)
        {
            self.place.replace(Some(told));
        }
        Vec::new()
    }
}
