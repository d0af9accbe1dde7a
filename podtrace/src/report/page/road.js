// One path: the road of its packet, with its times.

const [ID, AT, PROTOCOL, WHAT, ENDS, OUTCOME, DOUBTFUL, TOOK, TRIP, REST, HOPS, TAIL] = Array(12).keys();
/** Nobody looks for less. */
const SLOW_NS = 10_000;
const usual = new Map(data.latency.rows.map((row) => [`${row.from} ${row.to}`, row]));

/** The hops of a path, with the time since the first and that from the hop before. */
function hopsOf(path) {
  const hops = [];
  let after = 0;
  for (let at = 0; at < path[HOPS].length; at += 3) {
    const [number, leg, words] = path[HOPS].slice(at, at + 3);
    after += leg;
    hops.push({ number, leg, after, words: data.texts[words] });
  }
  return hops;
}

/** The time from a hop to the next, how much of the whole it is, and how much is usual. */
function legItem(before, hop, longest) {
  const row = usual.get(`${before.number} ${hop.number}`);
  const isSlow = row && row.count >= 10 && hop.leg > SLOW_NS && hop.leg > 3 * row.p50 && hop.leg > row.p90;
  const share = longest > 0 ? hop.leg / longest : 0;
  const bar = svg("svg", { viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "legfill", width: Math.max(1, 100 * share), height: 1 }));
  return el("li", { class: isSlow ? "leg slow" : "leg" }, el("span"), el("span", { class: "rail" }),
    el("span", { class: "time" }, el("span", { class: "legbar" }, bar), el("span", { class: "num" }, span(hop.leg)),
      row && row.count > 1 ? `${isSlow ? "slow: " : ""}median ${span(row.p50)}` : null));
}

function road(path) {
  const hops = hopsOf(path);
  const longest = Math.max(0, ...hops.slice(1).map((hop) => hop.leg));
  const items = hops.flatMap((hop, at) => {
    const where = places[hop.number];
    const before = hops[at - 1];
    const item = el("li", { class: where.pod === null ? "hop" : "hop in-pod" },
      el("span", { class: "at num number" }, `+${span(hop.after)}`), el("span", { class: "rail" }),
      el("span", {}, owner(where.owner, where.pod !== null), ` ${where.name} `, el("span", { class: "dim" }, where.direction),
        hop.words ? el("span", { class: "words" }, hop.words) : null));
    return before ? [legItem(before, hop, longest), item] : [item];
  });
  const tone = data.summary.tones[path[OUTCOME]];
  const tail = path[TAIL] === null ? outcomeWords(path[OUTCOME]) : data.texts[path[TAIL]];
  return [
    el("p", { class: "head" }, el("span", { class: "num" }, `${clock(path[AT])} UTC`), el("br"), el("b", {}, path[WHAT]), ` ${path[REST]}`),
    el("ol", { class: "hops" }, items),
    el("p", { class: `tail tone${tone}` }, tail),
  ];
}
