// The table of flows.

function end({ name, address, port }) {
  const known = name.kind === "pod" || name.kind === "node";
  const shown = known ? owner(name.name, name.kind === "pod") : name.kind === "unknown" ? address : name.name;
  return [shown, port === undefined ? "" : `:${port}`];
}

/** What finds the packets of a flow: its ends. */
function flowSearch(flow) {
  const ends = [flow.client, flow.server].map(({ name, address }) =>
    (name.kind === "pod" || name.kind === "node" ? name.name : address));
  return [flow.protocol.startsWith("icmp") ? "icmp" : flow.protocol, ...ends, flow.client.port].filter(Boolean).join(" ");
}

function flows() {
  const [count, forgotten] = data.flow_counts;
  if (data.flows.length === 0) return;
  const total = (flow) => flow.sent.packets + flow.answered.packets;
  const volume = (flow) => flow.sent.bytes + flow.answered.bytes;
  const faults = (name, tone) => ({ title: name, right: true, key: (flow) => flow[name],
    cell: (flow) => (flow[name] ? el("b", { class: `num tone${tone}` }, grouped(flow[name])) : el("span", { class: "num dim zero" }, "0")) });
  const columns = [
    { title: "", cell: (flow) => flow.protocol },
    { title: "client", class: "name side", key: (flow) => flow.client.name.name, cell: (flow) => end(flow.client) },
    { title: "server", class: "name side", key: (flow) => flow.server.name.name,
      cell: (flow) => [end(flow.server), flow.service ? el("span", { class: "dim" }, ` ${flow.service}`) : null] },
    { title: "packets", right: true, key: total, cell: (flow) => number(total(flow)) },
    { title: "bytes", right: true, key: volume, cell: (flow) => el("span", { class: "num" }, bytes(volume(flow))) },
    { title: "RTT p50", right: true, key: (flow) => flow.rtt?.p50_ns ?? -1, cell: (flow) => time(flow.rtt?.p50_ns) },
    { title: "p99", right: true, key: (flow) => flow.rtt?.p99_ns ?? -1, cell: (flow) => time(flow.rtt?.p99_ns) },
    { title: "sent again", right: true, key: (flow) => flow.retransmitted, cell: (flow) => (flow.retransmitted ? number(flow.retransmitted) : el("span", { class: "num dim zero" }, "0")) },
    faults("lost", 0),
    faults("refused", 1),
    faults("unknown", 3),
    { title: "", cell: (flow) => button("paths", { class: "plain", "aria-label": `paths of ${flow.client.name.name} and ${flow.server.name.name}` },
      () => showPaths({ search: flowSearch(flow) })) },
  ];
  const left = count - data.flows.length;
  section("flows", ...table("flows", columns, data.flows, 15),
    left > 0 ? el("p", { class: "dim" }, `${counted(left, "flow")} with fewer packets are not shown`) : null,
    forgotten > 0 ? el("p", { class: "dim" }, `${counted(forgotten, "flow")} forgotten, which were silent for longest`) : null);
}
