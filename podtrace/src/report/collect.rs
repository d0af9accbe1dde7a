//! The consumer that collects what a page holds, and writes it at the end.
use std::{
    collections::HashMap,
    io::{self, Write},
    sync::Arc,
};

use super::{
    causes::{Cause, Causes},
    data::{Data, LatencyData, PathsData, Rows, SummaryData, Timeline},
    drops::Drops,
    entry::Writer,
    page,
    sample::{Sampled, Samples},
    topologies::Topologies,
};
use crate::{
    findings::{Findings, Found},
    model::{drop::KernelDrop, loss::LostSpan, origin::Origin, start::Start},
    order::Order as _,
    output::{
        notices::with_losses,
        text::Tone,
        topology::{
            picture::{Picture, Traffic, svg},
            recorded::problems,
        },
    },
    packet::Packet,
    path::{Outcome, Path, summary::Summary},
    pipeline::consumer::{Consumer, Failure, Tick},
    projection::finding::FindingObject,
    stats::{
        Report, Stats, StatsOptions,
        flows::{Flows, Order},
        over_time::{self, Columns},
    },
    text::sanitize::sanitize,
    update::Update,
    world::World,
};

/// Upper bound of the notices in a page.
const NOTICES_MAX: usize = 100;
/// Upper bound of the flows in a page.
const FLOWS_MAX: usize = 1000;
/// Upper bound of the segments whose latencies are in a page.
const SEGMENTS_MAX: usize = 256;

/// Collects a page, and writes it.
pub(crate) struct Collector {
    start: Start,
    stats: Option<Stats>,
    flows: Flows,
    findings: Findings,
    causes: Causes,
    drops: Drops,
    topologies: Topologies,
    samples: Option<Samples>,
    writer: Writer,
    columns: Columns,
    cells: Vec<Tones>,
    /// The tone of each outcome that came.
    tones: [Tone; Outcome::NAMES.len()],
    notices: Vec<String>,
    notices_left_out: u64,
    out: Box<dyn Write + Send>,
    failure: Failure,
}

/// How many packets have each tone.
#[derive(Clone, Copy, Default)]
struct Tones([u64; 4]);

impl over_time::Cell for Tones {
    fn join(&mut self, later: Self) {
        for (sum, count) in self.0.iter_mut().zip(later.0) {
            *sum += count;
        }
    }
}

impl Collector {
    /// Writes a page with at most `paths` paths to `out`.
    pub(crate) fn new(paths: usize, out: Box<dyn Write + Send>) -> Self {
        let options = StatsOptions {
            epoch_ns: 0,
            top: 0,
            over_time: true,
        };
        Self {
            start: Start::default(),
            stats: Some(Stats::new(options)),
            flows: Flows::default(),
            findings: Findings::default(),
            causes: Causes::default(),
            drops: Drops::default(),
            topologies: Topologies::default(),
            samples: Some(Samples::new(paths)),
            writer: Writer::default(),
            columns: Columns::default(),
            cells: Vec::new(),
            tones: [Tone::Open; Outcome::NAMES.len()],
            notices: Vec::new(),
            notices_left_out: 0,
            out,
            failure: Failure::default(),
        }
    }

    /// Counts a path by its tone and time.
    fn count(&mut self, path: &Path, tone: Tone) {
        let Some(first) = path.hops.first() else {
            return;
        };
        let cells = &mut self.cells;
        let column = self.columns.of(first.ts_ns, || over_time::halve(cells));
        let Some(Tones(cell)) = over_time::cell(cells, column) else {
            return;
        };
        cell[tone as usize] += 1;
        if let Some(before) = path.late_of {
            let count = &mut cell[Tone::of(before.outcome) as usize];
            *count = count.saturating_sub(1);
        }
    }

    /// Writes the page; returns the notices of what it leaves out.
    fn write(&mut self, summary: &Summary, world: &World) -> io::Result<Vec<String>> {
        let (Some(mut stats), Some(samples)) = (self.stats.take(), self.samples.take()) else {
            return Ok(Vec::new());
        };
        let (columns, over_time) = stats.take_over_time();
        let report = stats.finish(summary);
        let (causes, other_causes) = std::mem::take(&mut self.causes).finish();
        let (drops, other_drops) = std::mem::take(&mut self.drops).finish();
        let found = self.findings.found(summary.unseen, world);
        let picture = Picture::of(self.topologies.documents(), &traffic(&report, &causes), &[]);
        let problems = problems(self.topologies.documents());
        let Sampled { entries, counts } = samples.finish();
        let words = left_out(counts);
        let first_ns = report.total.first_ns.unwrap_or(0);
        let mut rows = Rows::default();
        let shown = &report.segments[..report.segments.len().min(SEGMENTS_MAX)];
        let after = |ns: u64| i64::try_from(i128::from(ns) - i128::from(first_ns)).unwrap_or(0);
        let latency = LatencyData {
            start_ns: after(columns.start_ns()),
            width_ns: columns.width_ns(),
            rows: rows.latencies(shown, over_time),
            left_out: report.segments.len() - shown.len(),
            unmeasured: report.unmeasured,
        };
        let paths = PathsData {
            counts,
            rows: entries
                .into_iter()
                .map(|entry| rows.path(entry, first_ns))
                .collect(),
        };
        let causes = causes.iter();
        let causes = causes.map(|cause| (cause, cause.last.as_ref().map(|at| rows.places.of(at))));
        let causes: Vec<_> = causes.collect();
        let mut flows = self.flows.top(Order::Lost, FLOWS_MAX, 0);
        flows.order_by_key(|flow| {
            std::cmp::Reverse((flow.lost, flow.sent.packets + flow.answered.packets))
        });
        let Found {
            findings,
            left_out: findings_left_out,
            forgotten,
        } = &found;
        let summary = self.summary(summary, &report, &mut rows, world);
        let (places, texts) = rows.finish();
        let data = Data {
            version: env!("CARGO_PKG_VERSION"),
            nodes: &self.start.nodes,
            source: self.start.source.as_deref().unwrap_or_default(),
            summary,
            notices: &self.notices,
            notices_left_out: self.notices_left_out,
            findings: findings
                .iter()
                .map(|finding| FindingObject::new(finding, 0))
                .collect(),
            findings_left_out: *findings_left_out,
            conversations_forgotten: *forgotten,
            causes,
            other_causes,
            drops: &drops,
            other_drops,
            problems: &problems,
            timeline: Timeline {
                start_ns: after(self.columns.start_ns()),
                width_ns: self.columns.width_ns(),
                cells: self.cells.iter().map(|Tones(cell)| *cell).collect(),
            },
            flows,
            flow_counts: self.flows.count(),
            latency,
            outcomes: Outcome::NAMES,
            paths,
            places,
            texts,
        };
        let title = self.start.nodes.join(", ");
        page::write(&mut self.out, &title, &svg::draw(&picture), &data)?;
        self.out.flush()?;
        Ok(words.into_iter().collect())
    }

    fn summary(
        &self,
        summary: &Summary,
        report: &Report,
        rows: &mut Rows,
        world: &World,
    ) -> SummaryData {
        let lossy = summary.taps.iter();
        let lossy = lossy.filter(|(_, tap)| tap.missing() > 0 || !tap.is_conserved());
        SummaryData {
            packets: summary.packets,
            bytes: report.total.volume.bytes,
            outcomes: summary.outcomes,
            tones: self.tones.map(|tone| tone as usize),
            incomplete: summary.incomplete,
            ambiguous: report.total.ambiguous,
            retransmitted: report.total.retransmitted,
            unreadable: summary.unreadable,
            left_out: summary.left_out.total(),
            not_recorded: summary.not_recorded,
            duration_ns: summary.duration_ns,
            first_ns: report.total.first_ns.map(|ns| ns.to_string()),
            events: summary.total(),
            lossy: lossy
                .map(|((interface, direction), tap)| {
                    (rows.tap(*interface, *direction, world), *tap)
                })
                .collect(),
            unseen: summary.unseen,
        }
    }
}

/// Packets and losses by node, pod and interface.
fn traffic(report: &Report, causes: &[Cause]) -> Traffic {
    let mut traffic: HashMap<_, (u64, u64)> = HashMap::new();
    for place in &report.places {
        let at = &place.place;
        let key = (
            Arc::clone(&at.node),
            at.pod.clone(),
            Arc::clone(&at.interface),
        );
        traffic.entry(key).or_default().0 += place.volume.packets;
    }
    for cause in causes.iter().filter(|cause| cause.tone == Tone::Lost) {
        if let Some(at) = &cause.last {
            let key = (
                Arc::clone(&at.node),
                at.pod.clone(),
                Arc::clone(&at.interface),
            );
            traffic.entry(key).or_default().1 += cause.packets;
        }
    }
    traffic
}

/// The words for what the sample leaves out.
fn left_out(counts: [(u64, u64); 4]) -> Option<String> {
    let (kept, all) = counts
        .iter()
        .fold((0, 0), |(kept, all), (some, of)| (kept + some, all + of));
    let of = |tone: Tone| {
        let (kept, all) = counts[tone as usize];
        format!("{kept} of {all}")
    };
    (kept < all).then(|| {
        format!(
            "the report has {kept} of {all} paths: {} lost, {} refused, of the others an even sample; --paths N takes more",
            of(Tone::Lost),
            of(Tone::Refused),
        )
    })
}

impl Consumer for Collector {
    fn on_update(&mut self, origin: &Origin, update: &Update, world: &World) {
        self.findings.note(update);
        match update {
            Update::Start(start) => self.start = start.clone(),
            Update::Topology(topology) => self.topologies.add(origin.session, topology),
            // Paths that it affects count as incomplete.
            Update::Attaching { .. } => {}
            _ => {
                if let Some(words) = with_losses(origin, update, world) {
                    self.on_notice(&words);
                }
            }
        }
    }

    fn on_notice(&mut self, text: &str) {
        if self.notices.len() < NOTICES_MAX {
            self.notices.push(sanitize(text));
        } else {
            self.notices_left_out += 1;
        }
    }

    fn on_path(&mut self, path: &Path, world: &World) {
        let tone = Tone::of(path.outcome);
        self.tones[path.outcome.index()] = tone;
        self.findings.add(path, world);
        self.flows.add(path, world);
        if let Some(stats) = &mut self.stats {
            stats.add(path, world);
        }
        self.count(path, tone);
        self.causes.count(path, world);
        self.writer.pass_over(path);
        if let Some(samples) = &mut self.samples {
            if let Some(before) = path.late_of {
                samples.remove(before.id, Tone::of(before.outcome));
            }
            let writer = &mut self.writer;
            samples.add(path.id, tone, || writer.entry(path, world));
        }
    }

    fn on_hidden(&mut self, path: &Path, _: &World) {
        self.writer.pass_over(path);
    }

    fn on_drop(&mut self, drop: &KernelDrop, _: &Packet, world: &World) {
        self.drops.add(drop, world);
    }

    fn on_loss(&mut self, lost: LostSpan) {
        self.findings.note_loss(lost);
    }

    fn on_tick(&mut self, tick: &Tick<'_>, _: &World) -> Vec<String> {
        self.findings.tick(tick.now_ns);
        Vec::new()
    }

    fn on_end(&mut self, summary: &Summary, world: &World) -> Vec<String> {
        match self.write(summary, world) {
            Ok(notices) => notices,
            Err(error) => {
                self.failure.record(Err(error));
                Vec::new()
            }
        }
    }

    fn has_failed(&self) -> bool {
        self.failure.has_failed()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.failure.take()
    }
}
