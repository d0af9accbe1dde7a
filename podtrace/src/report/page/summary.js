// Summary, findings, causes, and what the report rests on.

function toneCounts() {
  const counts = [0, 0, 0, 0];
  data.summary.outcomes.forEach((count, at) => { counts[data.summary.tones[at]] += count; });
  return counts;
}

/** What became of the packets, in one sentence. */
function verdictWords() {
  const { packets } = data.summary;
  const [lost, refused, arrived, open] = toneCounts();
  if (packets === 0) return "No packet was seen.";
  const parts = [];
  if (lost > 0) parts.push(el("b", { class: "tone0" }, `${grouped(lost)} lost`));
  if (refused > 0) parts.push(el("b", { class: "tone1" }, `${grouped(refused)} refused or unanswered`));
  if (arrived > 0) parts.push(el("b", { class: "tone2" }, `${grouped(arrived)} delivered or gone on`));
  if (open > 0) parts.push(`${grouped(open)} undecided`);
  const joined = parts.flatMap((part, at) => (at === 0 ? [part] : [at === parts.length - 1 ? " and " : ", ", part]));
  return [`Of ${counted(packets, "packet")}: `, joined, "."];
}

function tiles() {
  const { outcomes, tones } = data.summary;
  const shown = outcomes.map((count, at) => ({ count, at, tone: tones[at] })).filter(({ count }) => count > 0);
  shown.sort((one, other) => one.tone - other.tone || other.count - one.count);
  const extra = [["incomplete", data.summary.incomplete], ["ambiguous", data.summary.ambiguous],
    ["retransmitted", data.summary.retransmitted]].filter(([, count]) => count > 0);
  return el("ul", { class: "tiles" },
    shown.map(({ count, at, tone }) => el("li", { class: `tile edge${tone}` }, el("b", {}, grouped(count)), outcome(at))),
    extra.map(([words, count]) => el("li", { class: "tile" }, el("b", {}, grouped(count)), el("span", { class: "dim" }, words))));
}

function timeline() {
  const { cells, width_ns: width, start_ns: start } = data.timeline;
  if (cells.length < 2) return null;
  const most = Math.max(...cells.map((cell) => cell.reduce((sum, count) => sum + count, 0)));
  const height = 72;
  const bars = cells.map((cell, column) => {
    let y = height;
    return cell.map((count, tone) => {
      if (count === 0) return null;
      // What was lost is seen, however few it was.
      const tall = Math.max(2, (count / most) * (height - 6));
      y -= tall;
      return svg("rect", { class: `fill${tone}`, x: column + 0.06, y, width: 0.88, height: tall });
    });
  });
  const mark = svg("rect", { class: "mark", x: 0, y: 0.5, width: 1, height: height - 1, visibility: "hidden" });
  const strip = svg("svg", { class: "timeline", viewBox: `0 0 ${cells.length} ${height}`, preserveAspectRatio: "none",
    role: "img", "aria-label": "packets over time by outcome; arrow keys read it, Enter shows the paths of a time" }, bars, mark);
  const readout = el("p", { class: "readout hint", "aria-live": "polite" }, "Point at a time to read it; click to see its paths.");
  const at = (column) => start + column * width;
  readable(strip, cells.length, (column) => {
    mark.setAttribute("x", column);
    mark.setAttribute("visibility", "visible");
    const words = cells[column].map((count, tone) => (count ? `${grouped(count)} ${TONES[tone]}` : "")).filter(Boolean);
    readout.textContent = `${clock(at(column))} UTC, ${span(width)}: ${words.join(", ") || "no packets"}`;
  }, (column) => showPaths({ window: [at(column), at(column + 1)] }));
  return el("figure", {}, el("figcaption", { class: "dim" }, "Packets over time, by outcome"), strip,
    el("div", { class: "axis" }, el("span", {}, `${clock(at(0))} UTC`), el("span", {}, clock(at(cells.length)))), readout);
}

/** How bad a finding is, as the outcomes are. */
function findingTone({ kind }) {
  if (["asymmetric_route", "duplicate_address"].includes(kind)) return 3;
  return ["refused", "accept_queue_full", "receive_buffer_full", "dns_unanswered", "neighbour_unanswered"].includes(kind) ? 1 : 0;
}

function findings() {
  if (data.findings.length === 0) return;
  const cards = data.findings.map((finding) => el("article", { class: `card edge${findingTone(finding)} ${finding.confidence}` },
    el("h3", {}, finding.what),
    el("p", { class: "dim" }, `${finding.confidence} · ${counted(finding.conversations, "conversation")} · ${counted(finding.packets, "packet")}`),
    finding.evidence.length ? el("ul", {}, finding.evidence.map((words) => el("li", {}, words))) : null,
    finding.advice ? el("code", { class: "advice" }, `try: ${finding.advice}`) : null,
    el("p", {}, button("Its paths", { class: "plain" }, () => showPaths({ search: finding.client.address + " " + finding.server.address })))));
  const more = data.findings_left_out;
  section("findings", el("div", { class: "cards" }, cards),
    more > 0 ? el("p", { class: "dim" }, `and ${grouped(more)} more that were not kept`) : null,
    data.conversations_forgotten > 0 ? el("p", { class: "dim" }, `${counted(data.conversations_forgotten, "conversation")} forgotten before the end`) : null);
}

function causes() {
  const rows = data.causes.map(([cause, at]) => ({ ...cause, at }));
  if (rows.length > 0) {
    const columns = [
      { title: "packets", right: true, key: (row) => row.packets, cell: (row) => number(row.packets) },
      { title: "outcome", key: (row) => row.outcome, cell: (row) => outcome(data.outcomes.indexOf(row.outcome)) },
      { title: "cause", class: "name", cell: (row) => [row.what ?? "not known",
        row.confidence ? el("span", { class: "dim" }, ` (${row.confidence})`) : null,
        row.advice ? el("code", { class: "advice" }, `try: ${row.advice}`) : null] },
      { title: "last seen at", class: "name", cell: (row) => (row.at === null ? "" : place(row.at)) },
      { title: "example", cell: (row) => button(`packet #${row.example}`, { class: "plain" }, () => openPacket(row.example)) },
    ];
    section("causes", ...table("causes", columns, rows, 20),
      data.other_causes > 0 ? el("p", { class: "dim" }, `${counted(data.other_causes, "packet")} with further causes`) : null);
  }
  if (data.drops.length === 0) return;
  const columns = [
    { title: "dropped", right: true, key: (row) => row.packets, cell: (row) => number(row.packets) },
    { title: "reason", cell: (row) => el("code", {}, row.reason) },
    { title: "by", class: "name", cell: (row) => row.by ?? "" },
    { title: "near", class: "name", cell: (row) => (row.device ? `${row.device} of ${row.owner}` : "no traced interface") },
  ];
  section("causes", el("h3", {}, "What the kernels say to have dropped"),
    el("p", { class: "dim" }, "Of all packets on the machines, also those that no tap has seen."),
    ...table("drops by the kernels", columns, data.drops, 10),
    data.other_drops > 0 ? el("p", { class: "dim" }, `${counted(data.other_drops, "drop")} of further kinds`) : null);
}

function notes() {
  const { summary } = data;
  const { events } = summary;
  const lost = events.lost_ring + events.undecodable;
  const facts = [
    ["events", `${grouped(events.seen)} seen = ${grouped(events.emitted)} shown + ${grouped(events.filtered)} filtered + ${grouped(lost)} lost`
      + (events.unrecorded ? ` + ${grouped(events.unrecorded)} not recorded` : "")],
    ["packets", `${grouped(summary.packets)}, ${bytes(summary.bytes)}, in ${span(summary.duration_ns)}`],
    ["unreadable headers", summary.unreadable ? counted(summary.unreadable, "event") : null],
    ["left out of the files", summary.left_out ? counted(summary.left_out, "packet") : null],
    ["may not have been seen", summary.unseen],
    ["latencies", data.latency.unmeasured ? `not measured for ${counted(data.latency.unmeasured, "packet")}: hops may be missing, or belong to a copy` : null],
    ["made by", `podtrace ${data.version}, from ${data.source}; all times are UTC`],
  ];
  const lossy = summary.lossy.length === 0 ? [] : table("taps with losses", [
    { title: "tap", class: "name", cell: ([at]) => place(at) },
    ...["seen", "emitted", "filtered", "lost_ring", "undecodable", "unrecorded"].map((name) => ({
      title: name.replaceAll("_", " "), right: true, key: ([, tap]) => tap[name] ?? 0, cell: ([, tap]) => number(tap[name] ?? 0) })),
  ], summary.lossy, 20);
  section("notes",
    el("dl", { class: "facts" }, facts.filter(([, words]) => words).map(([name, words]) => [el("dt", {}, name), el("dd", {}, words)])),
    lossy.length ? el("h3", {}, "Taps where events are missing") : null, ...lossy,
    data.notices.length ? [el("h3", {}, "Notices"), el("ul", { class: "notices" }, data.notices.map((words) => el("li", {}, words)))] : null,
    data.notices_left_out ? el("p", { class: "dim" }, `and ${grouped(data.notices_left_out)} more`) : null);
}

function summary() {
  const { events } = data.summary;
  const missing = events.lost_ring + events.undecodable + (events.unrecorded ?? 0);
  const nodes = data.nodes.map((name, at) => [at ? ", " : "", owner(name, false)]);
  fill(document.getElementById("of"), {}, [nodes, el("span", { class: "dim" },
    ` · ${data.source} · ${data.summary.first_ns ? `${date(0).toISOString().slice(0, 10)} ${clock(0)} UTC, ` : ""}${span(data.summary.duration_ns)}`)]);
  section("summary", el("p", { class: "verdict" }, verdictWords()),
    missing > 0 ? el("p", { class: "tone0" }, `podtrace lost ${counted(missing, "event")} itself: what was not seen may have been there.`) : null,
    data.summary.unseen ? el("p", { class: "tone1" }, `Packets may not have been seen: ${data.summary.unseen}.`) : null,
    tiles(), timeline());
}
