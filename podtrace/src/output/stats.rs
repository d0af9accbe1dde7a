//! The statistics as text: aligned tables.
use std::fmt::Write as _;

use super::{
    grid::{self, Cell, Grid},
    paint::{BOLD, GREEN, LOSS, NODE, POD, Painter, YELLOW},
    text::micros,
    width::Width,
};
use crate::{
    path::Outcome,
    stats::{Count, Latency, Pair, Report, Segment, Talker, TapPointName},
    text::{count::counted, size::bytes, wrap::wrap},
};

/// Rows of the tables that are not bounded by the number of top talkers.
const ROWS_MAX: usize = 40;

/// The options that show the rows that are left out.
const MORE_PAIRS: &str = "--top N, or -o json,";
const MORE_ROWS: &str = "-o json";

/// Appends the whole report. `color`: ANSI colours.
pub fn text(out: &mut String, report: &Report, color: bool, width: Width) {
    let painter = Painter { color };
    let mut view = View {
        out,
        painter,
        width,
    };
    view.head(report);
    view.top("top pairs by packets", &report.top.by_packets, report);
    view.top("top pairs by bytes", &report.top.by_bytes, report);
    view.outcomes(report);
    view.latencies(report);
    view.segments(report);
    view.places(report);
}

struct View<'a> {
    out: &'a mut String,
    painter: Painter,
    width: Width,
}

impl View<'_> {
    // Writing to a String cannot fail.
    fn line(&mut self, text: &str) {
        let begin = self.out.len();
        let _ = writeln!(self.out, "{text}");
        wrap(self.out, begin, self.width.columns(), "  ");
    }

    /// `shows`: the options that show the rows that are left out.
    fn grid(&mut self, title: &str, grid: &Grid, left_out: usize, shows: &str) {
        if grid.is_empty() {
            return;
        }
        self.line("");
        self.painter.paint(self.out, BOLD, title);
        self.line("");
        grid.render(self.out, self.painter, self.width);
        if left_out > 0 {
            self.line(&format!("  and {left_out} more: {shows} shows them"));
        }
    }

    fn head(&mut self, report: &Report) {
        let Count {
            volume,
            outcomes,
            ambiguous,
            incomplete,
            retransmitted,
            ..
        } = &report.total;
        let mut line = counted(volume.packets, "packet");
        let _ = write!(
            line,
            ", {} in {:.1} s",
            bytes(volume.bytes),
            std::time::Duration::from_nanos(report.duration_ns).as_secs_f64()
        );
        for name in Outcome::NAMES {
            if let Some(count @ 1..) = outcomes.get(name) {
                let _ = write!(line, " · {count} {}", name.replace('_', " "));
            }
        }
        for (count, what) in [
            (*ambiguous, "ambiguous"),
            (*incomplete, "incomplete"),
            (*retransmitted, "retransmitted"),
        ] {
            if count > 0 {
                let _ = write!(line, " · {count} {what}");
            }
        }
        if report.unreadable > 0 {
            let events = counted(report.unreadable, "event");
            let _ = write!(line, " · {events} with unreadable headers");
        }
        let left_out: u64 = report.left_out.iter().flatten().map(|of| of.packets).sum();
        if left_out > 0 {
            let packets = counted(left_out, "packet");
            let _ = write!(line, " · {packets} of the files left out");
        }
        self.line(&line);
        let events = report.events;
        if events.seen > 0 {
            self.line(&format!("events: {}", events.in_words()));
        }
    }

    fn top(&mut self, title: &str, talkers: &[Talker], report: &Report) {
        let mut grid = Grid::new(&["from", "to", ""], &["packets", "bytes"]);
        for talker in talkers {
            grid.row([
                Cell::name(&talker.from.to_string()),
                Cell::name(&talker.to.to_string()),
                Cell::plain(talker.protocol.as_str()),
                Cell::plain(talker.volume.packets),
                Cell::plain(bytes(talker.volume.bytes)),
            ]);
        }
        self.grid(title, &grid, report.pairs.len() - talkers.len(), MORE_PAIRS);
    }

    fn outcomes(&mut self, report: &Report) {
        let mut grid = Grid::new(
            &["from", "to", ""],
            &[
                "delivered",
                "left",
                "not seen further",
                "dropped",
                "refused",
                "events lost",
                "given up",
                "under way",
                "others",
                "ambiguous",
                "incomplete",
                "retransmitted",
            ],
        )
        .folding();
        let top = report.top.by_packets.len();
        for pair in report.pairs.iter().take(top) {
            grid.row(ends(pair).into_iter().chain(fates(&pair.count)));
        }
        if let Some(others) = &report.other_pairs {
            let names = ["others", "others", ""].map(Cell::plain);
            grid.row(names.into_iter().chain(fates(others)));
        }
        let left_out = report.pairs.len() - top;
        self.grid("what became of them", &grid, left_out, MORE_PAIRS);
    }

    fn latencies(&mut self, report: &Report) {
        let mut grid = Grid::new(&["from", "to", "", ""], &LATENCY).least(&LATENCY_LEAST);
        let top = report.top.by_packets.len();
        for pair in report.pairs.iter().take(top) {
            let Count { way, rtt, .. } = &pair.count;
            // A round trip is measured by one clock.
            let of_way = pair.count.between_nodes;
            for (what, latency, differ) in [("way", way, of_way), ("RTT", rtt, false)] {
                if let Some(latency) = latency {
                    let ends = ends(pair).into_iter().chain([Cell::plain(what)]);
                    let latency = percentiles(latency, differ);
                    grid.row(ends.chain(latency));
                }
            }
        }
        self.grid("latencies", &grid, 0, MORE_PAIRS);
    }

    fn segments(&mut self, report: &Report) {
        let mut grid = Grid::new(&["from", "to"], &LATENCY).least(&LATENCY_LEAST);
        let segments = report.segments.iter().take(ROWS_MAX);
        for Segment {
            from,
            to,
            between_nodes,
            latency,
        } in segments
        {
            let ends = [place(from), place(to)];
            grid.row(ends.into_iter().chain(percentiles(latency, *between_nodes)));
        }
        if let Some(others) = &report.other_segments {
            let ends = ["others", "others"].map(Cell::plain);
            grid.row(ends.into_iter().chain(percentiles(others, false)));
        }
        let left_out = report.segments.len().saturating_sub(ROWS_MAX);
        self.grid("from hop to hop", &grid, left_out, MORE_ROWS);
        if report.unmeasured > 0 {
            let packets = counted(report.unmeasured, "packet");
            self.line(&format!("  not measured: {packets} with uncertain hops"));
        }
    }

    fn places(&mut self, report: &Report) {
        let mut grid = Grid::new(&["place"], &["packets", "bytes"]);
        for count in report.places.iter().take(ROWS_MAX) {
            grid.row([
                place(&count.place),
                Cell::plain(count.volume.packets),
                Cell::plain(bytes(count.volume.bytes)),
            ]);
        }
        if let Some(others) = &report.other_places {
            grid.row([
                Cell::plain("others"),
                Cell::plain(others.packets),
                Cell::plain(bytes(others.bytes)),
            ]);
        }
        let left_out = report.places.len().saturating_sub(ROWS_MAX);
        self.grid("places", &grid, left_out, MORE_ROWS);
    }
}

const LATENCY: [&str; 5] = ["count", "p50", "p90", "p99", "max"];
const LATENCY_LEAST: [&str; 2] = ["p90", "count"];

fn ends(pair: &Pair) -> [Cell; 3] {
    [
        Cell::name(&pair.from.to_string()),
        Cell::name(&pair.to.to_string()),
        Cell::plain(pair.protocol.as_str()),
    ]
}

/// The outcomes of the paths, and their certainty. Of what is unknown, there is nothing to say.
fn fates(count: &Count) -> [Cell; 12] {
    let of = |names: &[&str]| -> u64 {
        let counts = names.iter().filter_map(|name| count.outcomes.get(name));
        counts.sum()
    };
    let mut others = count.outcomes.values().sum::<u64>() - of(&["unknown"]);
    let mut take = |names: &[&str]| {
        let counted = of(names);
        others -= counted;
        counted
    };
    [
        Cell::count(take(&["delivered"]), GREEN),
        Cell::count(take(&["left_for_vtep", "left_node"]), GREEN),
        Cell::count(take(&["not_seen_further"]), LOSS),
        Cell::count(take(&["dropped"]), LOSS),
        Cell::count(take(&["refused"]), YELLOW),
        Cell::count(take(&["events_lost"]), LOSS),
        Cell::count(take(&["given_up"]), YELLOW),
        Cell::plain(take(&["in_flight"])),
        Cell::plain(others),
        Cell::plain(count.ambiguous),
        Cell::plain(count.incomplete),
        Cell::plain(count.retransmitted),
    ]
}

/// `between_nodes`: marked, since the clocks may differ.
fn percentiles(latency: &Latency, between_nodes: bool) -> [Cell; 5] {
    let mark = if between_nodes { "~" } else { "" };
    let time = |ns: Option<u64>| {
        let Some(ns) = ns else {
            return Cell::plain("-");
        };
        let mut text = mark.to_owned();
        micros(&mut text, ns);
        Cell::plain(text)
    };
    [
        Cell::plain(latency.count),
        time(Some(latency.p50_ns)),
        time(latency.p90_ns),
        time(latency.p99_ns),
        time(Some(latency.max_ns)),
    ]
}

/// `default/mypod1 eth0 egress`
fn place(place: &TapPointName) -> Cell {
    let owner = grid::shorten(place.owner(), grid::NAME_WIDTH);
    let name = format!("{owner} {}", place.interface);
    let style = if place.pod.is_some() { POD } else { NODE };
    Cell::painted(&format!("{name} {}", place.direction.as_str()), style)
}

#[cfg(test)]
mod tests;
