//! Round trips of pings under observation.
use anyhow::Result;
use podtrace::lab::traffic::ping;

use crate::{
    Effort,
    report::{Bound, Goal, Group, Measured, Row, in_turns},
    site::{Route, Site},
    tool::{Observer, Tool},
};

const TOOLS: [Tool; 4] = [Tool::None, Tool::Trace, Tool::Record, Tool::Tcpdump];
/// Bytes of payload, as in ping.
const PAYLOAD: usize = 56;

/// p50 and p99 in microseconds.
struct RoundTrips {
    p50: f64,
    p99: f64,
}

/// Round trips by tool, for each route; the tools observe both nodes.
pub(crate) fn measure(site: &Site, effort: &Effort) -> Result<Measured> {
    let count = effort.pick(3000, 500);
    let mut measured = Measured::default();
    for route in site.routes()? {
        eprintln!("   {}", route.name);
        let turns = in_turns(effort.rounds, &TOOLS, |tool| {
            turn(site, route, *tool, count)
        })?;
        let rows = TOOLS.iter().zip(&turns).map(|(tool, turns)| {
            Row::new(tool.name(), turns.iter().map(|turn| turn.p50))
                .beside("µs p99", turns.iter().map(|turn| turn.p99))
        });
        let title = format!("ping, {}, all nodes looked at", route.name);
        let group = Group::compared(title, "µs p50", rows);
        for row in &group.rows[1..=2] {
            measured.goals.push(Goal::new(
                format!("ping p50, {}, {} over untraced", route.name, row.name),
                Bound::AtMost(1.10),
                "x",
                group.ratio(row),
            ));
        }
        measured.groups.push(group);
    }
    Ok(measured)
}

fn turn(site: &Site, route: Route<'_>, tool: Tool, count: u16) -> Result<RoundTrips> {
    let observers = Observer::start_everywhere(tool, site)?;
    let mut times = ping(&route.from.netns, route.to.ipv4.into(), 1, count, PAYLOAD)?;
    for one in observers {
        one.finish()?;
    }
    times.sort_unstable();
    let percentile = |percent: usize| {
        let time = times.get(times.len() * percent / 100);
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
    };
    Ok(RoundTrips {
        p50: percentile(50),
        p99: percentile(99),
    })
}
