// Latency of each hop over time, as heat.

const HEATS = 9;

/** The latencies of all cells on a logarithmic scale of HEATS steps. */
function heatScale() {
  let [least, most] = [Infinity, 1];
  for (const row of data.latency.rows) {
    for (const [, , median] of row.cells) {
      least = Math.min(least, Math.max(1, median));
      most = Math.max(most, median);
    }
  }
  const step = Math.log(most / least) / HEATS || 1;
  return {
    of: (ns) => Math.max(0, Math.min(HEATS - 1, Math.floor(Math.log(Math.max(1, ns) / least) / step))),
    from: (heat) => least * Math.exp(step * heat),
  };
}

/** `default/web eth0 egress → node1 veth1 ingress`, the owner once if both have the same. */
function leg(row) {
  const [from, to] = [places[row.from], places[row.to]];
  const side = (at, named) => [named ? [owner(at.owner, at.pod !== null), " "] : null, at.name, el("span", { class: "dim" }, ` ${at.direction}`)];
  return [side(from, true), " \u2192 ", side(to, from.owner !== to.owner),
    row.between_nodes ? el("span", { class: "dim" }, " (two clocks)") : null];
}

function latency() {
  const { rows, width_ns: width, start_ns: start } = data.latency;
  if (rows.length === 0) return;
  const columns = 1 + Math.max(...rows.flatMap((row) => row.cells.map(([column]) => column)));
  const scale = heatScale();
  const at = (column) => start + column * width;
  const hint = "Colour: the median of the packets of a time. Point at a cell to read it; click to see its packets.";
  const readout = el("p", { class: "readout hint", "aria-live": "polite" }, hint);
  const strip = (row) => {
    const cells = new Map(row.cells.map((cell) => [cell[0], cell]));
    const mark = svg("rect", { class: "mark", x: 0, y: 0, width: 1, height: 1, visibility: "hidden" });
    const drawn = svg("svg", { class: "heat", viewBox: `0 0 ${columns} 1`, preserveAspectRatio: "none", role: "img",
      "aria-label": `median latency over time, ${placeWords(row.from)} to ${placeWords(row.to)}: ${span(row.p50)} in all, ${span(row.max)} at most` },
    row.cells.map(([column, , median]) => svg("rect", { class: `h${scale.of(median)}`, x: column, y: 0, width: 1.02, height: 1 })), mark);
    readable(drawn, columns, (column) => {
      mark.setAttribute("x", column);
      mark.setAttribute("visibility", "visible");
      const [, count, median, most] = cells.get(column) ?? [];
      readout.textContent = `${placeWords(row.from)} \u2192 ${placeWords(row.to)}, ${clock(at(column))} UTC, ${span(width)}: `
        + (count ? `${counted(count, "packet")}, median about ${span(median)}, longest ${span(most)}` : "no packets");
    }, (column) => showPaths({ window: [at(column), at(column + 1)], leg: [row.from, row.to], sort: "slow" }));
    return drawn;
  };
  const percentile = (title, name) => ({ title, right: true, key: (row) => row[name] ?? -1, cell: (row) => time(row[name]) });
  const axis = el("div", { class: "axis" }, el("span", {}, clock(at(0))), el("span", {}, `${clock(at(columns))} UTC`));
  const shown = [
    { title: "from a hop to the next", class: "name", cell: leg },
    { title: "packets", right: true, key: (row) => row.count, cell: (row) => number(row.count) },
    percentile("median", "p50"), percentile("p99", "p99"), percentile("longest", "max"),
    { title: axis, class: "strip", cell: strip },
  ];
  const legend = el("div", { class: "legend" }, Array.from({ length: HEATS }, (_, heat) =>
    el("span", {}, svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { class: `h${heat}`, width: 1, height: 1 })), `from ${span(scale.from(heat))}`)));
  section("latency", legend, readout, ...table("latencies", shown, rows, 16, 1),
    data.latency.left_out > 0 ? el("p", { class: "dim" }, `${counted(data.latency.left_out, "pair")} of hops with fewer packets are not shown`) : null);
}
