// The list of paths: only what is on the screen has elements.

const all = data.paths.rows;
const placeTexts = places.map((at) => `${at.node} ${at.owner}/${at.name}`.toLowerCase());
const texts = new Map();
const view = { search: "", outcomes: new Set(), window: null, leg: null, sort: "time", shown: all.map((_, at) => at), chosen: null, at: 0 };
const narrow = matchMedia("screen and (max-width: 760px)");
const parts = {};

/** What a search looks at, beside the places of the hops. */
function textOf(number) {
  if (!texts.has(number)) {
    const path = all[number];
    texts.set(number, [`#${path[ID]}`, data.texts[path[PROTOCOL]], path[WHAT], path[REST], data.texts[path[ENDS]], outcomeWords(path[OUTCOME]),
      path[TAIL] === null ? "" : data.texts[path[TAIL]]].join(" ").toLowerCase());
  }
  return texts.get(number);
}

/** Whether a path has each word of a search, and none with a minus. */
function matcher(search) {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word && word !== "-").map((word) => {
    const isWanted = !word.startsWith("-");
    const text = isWanted ? word : word.slice(1);
    return { isWanted, text, places: new Set(placeTexts.flatMap((place, at) => (place.includes(text) ? [at] : []))) };
  });
  const has = (number, { text, places: found }) => {
    if (textOf(number).includes(text)) return true;
    const hops = all[number][HOPS];
    for (let at = 0; found.size > 0 && at < hops.length; at += 3) if (found.has(hops[at])) return true;
    return false;
  };
  return (number) => words.every((word) => has(number, word) === word.isWanted);
}

/** When a path takes the leg that is asked for, and how long; the whole of it if none is. */
function stretch(path) {
  if (!view.leg) return { at: path[AT], took: path[TOOK] };
  const [from, to] = view.leg;
  const hops = path[HOPS];
  let at = path[AT];
  for (let number = 3; number < hops.length; number += 3) {
    at += hops[number - 2];
    if (hops[number - 3] === from && hops[number] === to) return { at, took: hops[number + 1] };
  }
  return null;
}

function select() {
  const matches = matcher(view.search);
  view.shown = [];
  const took = new Map();
  all.forEach((path, number) => {
    if (view.outcomes.size && !view.outcomes.has(path[OUTCOME])) return;
    const found = stretch(path);
    if (!found || (view.window && (found.at < view.window[0] || found.at >= view.window[1]))) return;
    if (!matches(number)) return;
    view.shown.push(number);
    took.set(number, found.took);
  });
  if (view.sort === "slow") view.shown.sort((one, other) => took.get(other) - took.get(one));
  if (view.sort === "trip") view.shown.sort((one, other) => (all[other][TRIP] ?? -1) - (all[one][TRIP] ?? -1));
  view.at = Math.max(0, view.shown.indexOf(view.chosen));
  tellCount();
  parts.list.scrollTop = 0;
  draw();
}

function tellCount() {
  const kept = data.paths.counts.reduce((sum, [some]) => sum + some, 0);
  const total = data.paths.counts.reduce((sum, [, of]) => sum + of, 0);
  const sampled = kept < total ? ` (of ${grouped(total)} recorded)` : "";
  parts.count.textContent = view.shown.length === all.length
    ? `${counted(all.length, "path")}${sampled}` : `${grouped(view.shown.length)} of ${counted(all.length, "path")}${sampled}`;
  parts.filters.replaceChildren(...[
    view.window && button(`from ${clock(view.window[0])} for ${span(view.window[1] - view.window[0])} \u00d7`, { class: "chip", title: "any time" },
      () => { view.window = null; select(); }),
    view.leg && button(`${placeWords(view.leg[0])} \u2192 ${placeWords(view.leg[1])} \u00d7`, { class: "chip", title: "any hops" },
      () => { view.leg = null; select(); }),
  ].filter(Boolean));
}

const rowHeight = () => (narrow.matches ? 72 : 28);

/** Puts those rows into the list that are on the screen. */
function draw() {
  const tall = rowHeight();
  const { list, room } = parts;
  room.style.height = `${view.shown.length * tall}px`;
  list.style.setProperty("--row", `${tall}px`);
  const first = Math.max(0, Math.floor(list.scrollTop / tall) - 6);
  const last = Math.min(view.shown.length, Math.ceil((list.scrollTop + list.clientHeight) / tall) + 6);
  const rows = [];
  for (let at = first; at < last; at += 1) rows.push(rowOf(at, tall));
  if (view.shown.length === 0) rows.push(el("p", { class: "empty" }, "No path fits. Escape in the search clears it."));
  room.replaceChildren(...rows);
  const isDrawn = view.at >= first && view.at < last;
  if (isDrawn) list.setAttribute("aria-activedescendant", `row-${view.at}`);
  else list.removeAttribute("aria-activedescendant");
}

function rowOf(at, tall) {
  const path = all[view.shown[at]];
  const { took } = stretch(path);
  const row = el("div", { class: "row", role: "option", id: `row-${at}`, "aria-setsize": view.shown.length, "aria-posinset": at + 1,
    "aria-selected": view.shown[at] === view.chosen },
  el("span", { class: "when num dim" }, clock(path[AT])), el("span", { class: "what" }, path[WHAT]), el("span", { class: "ends" }, data.texts[path[ENDS]]),
  el("span", { class: "how" }, outcome(path[OUTCOME]), path[DOUBTFUL] ? el("span", { class: "tone1", title: "hops may be missing, or belong to an equal packet" }, " ?") : null),
  el("span", { class: "took num number" }, took ? span(took) : ""));
  row.style.top = `${at * tall}px`;
  row.addEventListener("click", () => choose(at));
  return row;
}

/** Opens the path of a row; the one that is open is closed. */
function choose(at) {
  const number = view.shown[at];
  view.at = at;
  if (number === undefined || number === view.chosen) return close();
  view.chosen = number;
  const path = all[number];
  parts.road.replaceChildren(
    el("div", { class: "bar-top" }, el("h3", {}, `Packet #${path[ID]}`), button("Close", { class: "close" }, close)), ...road(path));
  parts.road.hidden = false;
  parts.road.scrollTop = 0;
  parts.split.classList.add("open");
  location.replace(`#p${path[ID]}`);
  keepInView();
  draw();
}

function hide() {
  view.chosen = null;
  parts.road.hidden = true;
  parts.split.classList.remove("open");
}

function close() {
  hide();
  draw();
}

function keepInView() {
  const { list } = parts;
  const [top, tall] = [view.at * rowHeight(), rowHeight()];
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + tall > list.scrollTop + list.clientHeight) list.scrollTop = top + tall - list.clientHeight;
}

function move(by) {
  const at = Math.max(0, Math.min(view.shown.length - 1, view.at + by));
  if (at !== view.at && view.chosen !== null) return choose(at);
  view.at = at;
  keepInView();
  draw();
}

function keys(event) {
  const page = Math.max(1, Math.floor(parts.list.clientHeight / rowHeight()) - 1);
  const steps = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in steps) move(Math.max(-view.shown.length, Math.min(view.shown.length, steps[event.key])));
  else if (event.key === "Enter" || event.key === " ") choose(view.at);
  else if (event.key === "Escape") close();
  else return;
  event.preventDefault();
}

/** Shows the paths that others point at: a search, a time, two hops. */
function showPaths({ search = "", window: span = null, leg: hops = null, sort = "time" }) {
  Object.assign(view, { search, window: span, leg: hops, sort });
  view.outcomes.clear();
  parts.search.value = search;
  parts.sort.value = sort;
  parts.chips.forEach((chip) => chip.setAttribute("aria-pressed", "false"));
  hide();
  select();
  document.getElementById("paths").scrollIntoView();
  parts.list.focus({ preventScroll: true });
}

function openPacket(id) {
  const number = all.findIndex((path) => path[ID] === id);
  if (number < 0) return showPaths({ search: `#${id}` });
  showPaths({});
  choose(view.shown.indexOf(number));
}

function paths() {
  const present = data.outcomes.map((_, at) => at).filter((at) => all.some((path) => path[OUTCOME] === at));
  present.sort((one, other) => data.summary.tones[one] - data.summary.tones[other]);
  parts.chips = present.map((at) => button(outcome(at), { class: "chip", "aria-pressed": "false" }, (event) => {
    const isOn = !view.outcomes.has(at);
    if (isOn) view.outcomes.add(at);
    else view.outcomes.delete(at);
    event.currentTarget.setAttribute("aria-pressed", String(isOn));
    select();
  }));
  parts.search = el("input", { type: "search", placeholder: "Search: pod, address, interface, words; -word excludes", "aria-label": "Search the paths", spellcheck: "false", autocomplete: "off" });
  parts.search.addEventListener("input", () => { view.search = parts.search.value; select(); });
  parts.sort = el("select", { "aria-label": "Order" }, [["time", "by time"], ["slow", "slowest first"], ["trip", "longest round trip first"]]
    .map(([value, words]) => el("option", { value }, words)));
  parts.sort.addEventListener("change", () => { view.sort = parts.sort.value; select(); });
  parts.count = el("span", { class: "dim", "aria-live": "polite" });
  parts.filters = el("div", { class: "chips" });
  parts.room = el("div", { class: "room" });
  parts.list = el("div", { class: "list", role: "listbox", tabindex: 0, "aria-label": "paths" }, parts.room);
  parts.list.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  parts.list.addEventListener("keydown", keys);
  parts.road = el("div", { class: "road", hidden: true, tabindex: 0, role: "region", "aria-label": "the chosen path" });
  parts.road.addEventListener("keydown", (event) => { if (event.key === "Escape") { close(); parts.list.focus(); } });
  parts.split = el("div", { class: "split" }, parts.list, parts.road);
  parts.printed = el("div", { class: "printed" });
  section("paths", sampledWords(), el("div", { class: "tools" }, parts.search, parts.sort, el("div", { class: "chips" }, parts.chips)),
    el("div", { class: "tools" }, parts.count, parts.filters), parts.split, parts.printed,
    el("p", { class: "dim tools" }, el("span", {}, el("kbd", {}, "/"), " search  ", el("kbd", {}, "\u2191"), " ", el("kbd", {}, "\u2193"), " choose  ",
      el("kbd", {}, "Enter"), " open  ", el("kbd", {}, "Esc"), " close")));
  select();
}

/** What the report leaves out, if it does. */
function sampledWords() {
  const [lost, refused, arrived, open] = data.paths.counts;
  const others = [arrived[0] + open[0], arrived[1] + open[1]];
  if ([lost, refused, others].every(([some, of]) => some === of)) return null;
  const words = ([some, of], what) => `${some === of ? "all" : `${grouped(some)} of`} ${grouped(of)} ${what}`;
  return el("p", {}, `Too many to hold all: ${words(lost, "lost")}, ${words(refused, "refused or unanswered")}, ${words(others, "others")}, evenly chosen. `
    + "Counts, causes, flows and latencies are of all packets. podtrace report --paths N takes more.");
}
