//! The tool `flows`.
use super::{
    answer::{Answer, BODY_MAX, Rows},
    play::{Made, Place, Request, play},
};
use crate::{
    path::{Path, summary::Summary},
    pipeline::consumer::Consumer,
    stats::flows::{Flows, Order},
    world::World,
};

/// What flows may be sorted by.
pub(super) const ORDERS: [&str; 6] = ["packets", "bytes", "rtt", "retransmitted", "lost", "last"];

fn order(name: Option<&str>) -> Order {
    match name {
        Some("bytes") => Order::Bytes,
        Some("rtt") => Order::RoundTrip,
        Some("retransmitted") => Order::Retransmitted,
        Some("lost") => Order::Lost,
        Some("last") => Order::Last,
        _ => Order::Packets,
    }
}

/// Answers with flows.
pub(super) fn answer(request: &Request) -> anyhow::Result<String> {
    let input = request.given.input()?;
    let Made {
        made,
        notices,
        is_partial,
    } = play(request, input, |place| Collected {
        flows: Flows::default(),
        place,
    })?;
    let (count, forgotten) = made.count();
    let limit = request.given.limit();
    let mut rows = Rows::new(limit, BODY_MAX);
    for flow in made.top(order(request.given.text("sort")), limit, 0) {
        let row = serde_json::to_string(&flow)?;
        rows.add(|| row);
    }
    rows.leave_out(count.saturating_sub(limit) as u64);
    let mut answer = Answer::new();
    answer.field("count", &count)?;
    if forgotten > 0 {
        answer.field("forgotten", &forgotten)?;
    }
    if is_partial {
        answer.field("partial", &request.partial())?;
    }
    answer.field("shown", &rows.shown())?;
    answer.rows(
        "flows",
        &rows,
        "ask for less by pod, port or expression, or sort by what matters",
    )?;
    answer.finish(notices)
}

struct Collected {
    flows: Flows,
    place: Place<Flows>,
}

impl Consumer for Collected {
    fn on_path(&mut self, path: &Path, world: &World) {
        self.flows.add(path, world);
    }

    fn on_end(&mut self, _: &Summary, _: &World) -> Vec<String> {
        self.place.replace(Some(std::mem::take(&mut self.flows)));
        Vec::new()
    }
}
