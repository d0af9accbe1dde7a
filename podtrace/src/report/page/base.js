"use strict";
// What comes from packets, runtimes and files becomes text nodes and attributes that name nothing,
// never markup.

const data = JSON.parse(document.getElementById("data").textContent);
const TONES = ["lost", "refused", "arrived", "open"];
const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

/** An element; strings among its children become text. */
function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An element of SVG. */
function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function button(words, attributes, action) {
  const made = el("button", { type: "button", ...attributes }, words);
  made.addEventListener("click", action);
  return made;
}

/** Puts children into a section, which is hidden while it has none. */
function section(id, ...children) {
  const found = document.getElementById(id);
  fill(found, {}, children);
  found.hidden = false;
  return found;
}

/** A number with thin spaces between thousands. */
function grouped(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, "\u2009");
}

/** `3 packets` */
function counted(number, what) {
  return `${grouped(number)} ${what}${number === 1 ? "" : "s"}`;
}

function bytes(number) {
  let [value, unit] = [number, 0];
  const units = ["B", "kB", "MB", "GB", "TB"];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit ? value.toFixed(1) : value} ${units[unit]}`;
}

/** A time span, as in the terminal. */
function span(ns) {
  if (ns < 1e7) return `${(ns / 1e3).toFixed(1)} µs`;
  if (ns < 1e10) return `${(ns / 1e6).toFixed(1)} ms`;
  return `${(ns / 1e9).toFixed(1)} s`;
}

const base = BigInt(data.summary.first_ns ?? 0);

function date(ns) {
  return new Date(Number((base + BigInt(Math.round(ns))) / 1000000n));
}

/** Beyond a day, times have a date. */
const dateFrom = data.summary.duration_ns < 86_400e9 ? 11 : 5;

/** The time of day in UTC, of nanoseconds since the first packet. */
function clock(ns) {
  const at = base + BigInt(Math.round(ns));
  const second = date(ns).toISOString().slice(dateFrom, 19).replace("T", " ");
  return `${second}.${String((at / 1000n) % 1000000n).padStart(6, "0")}`;
}

const places = data.places.map(([node, pod, name, direction]) => ({ node, pod, name, direction, owner: pod ?? node }));

/** `default/web eth0 ingress` */
function placeWords(number) {
  const at = places[number];
  return at ? [at.owner, at.name, at.direction].filter(Boolean).join(" ") : "";
}

function owner(name, isPod) {
  return el("span", { class: isPod ? "pod" : "node" }, name);
}

function place(number) {
  const at = places[number];
  return at ? [owner(at.owner, at.pod !== null), " ", at.name, el("span", { class: "dim" }, ` ${at.direction}`)] : "unknown";
}

function outcomeWords(number) {
  return data.outcomes[number].replaceAll("_", " ");
}

function outcome(number) {
  return el("span", { class: `tone${data.summary.tones[number]}` }, outcomeWords(number));
}

const number = (value) => el("span", { class: "num" }, grouped(value));
const time = (ns) => (ns === null || ns === undefined ? "" : el("span", { class: "num number" }, span(ns)));

/**
 * A table that is sorted by its titles. A column: title, cell, and by what it is sorted; `right`: a
 * number. `first`: how many rows are shown at first. On a narrow page, rows are paragraphs, which is
 * why roles are named.
 */
function table(label, columns, rows, first, sorted) {
  const state = { by: sorted ?? -1, down: true, all: rows.length <= first };
  const body = el("tbody", { role: "rowgroup" });
  const titles = columns.map((column, at) => {
    const title = el("th", { scope: "col", role: "columnheader", class: column.right ? "right" : null });
    title.append(column.key ? button(column.title, {}, () => {
      state.down = state.by === at ? !state.down : true;
      state.by = at;
      show();
    }) : column.title);
    return title;
  });
  const more = el("p", { class: "more" });
  const show = () => {
    const key = columns[state.by]?.key;
    const sign = state.down ? -1 : 1;
    const order = (one, other) => (one < other ? -1 : one > other ? 1 : 0);
    const all = key ? [...rows].sort((one, other) => sign * order(key(one), key(other))) : rows;
    const shown = state.all ? all : all.slice(0, first);
    body.replaceChildren(...shown.map((row) => el("tr", { role: "row" }, columns.map((column) =>
      el("td", { role: "cell", class: column.class ?? (column.right ? "right" : null), "data-title": column.right ? column.title : null },
        column.cell(row))))));
    titles.forEach((title, at) => {
      if (at === state.by) title.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else title.removeAttribute("aria-sort");
    });
    more.replaceChildren(...(state.all ? [] : [button(`Show all ${grouped(rows.length)}`, {}, () => {
      state.all = true;
      show();
    })]));
  };
  show();
  return [el("div", { class: "table", tabindex: 0, role: "region", "aria-label": label },
    el("table", { role: "table" }, el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, titles)), body)), more];
}

/**
 * Lets a strip of columns be read by pointer and keys: `tell` gets the column, `choose` the one that
 * is clicked.
 */
function readable(strip, columns, tell, choose) {
  let at = 0;
  const move = (column) => {
    at = Math.max(0, Math.min(columns - 1, column));
    tell(at);
  };
  strip.setAttribute("tabindex", "0");
  const pointed = (event) => {
    const box = strip.getBoundingClientRect();
    return Math.floor(((event.clientX - box.left) / box.width) * columns);
  };
  strip.addEventListener("pointermove", (event) => move(pointed(event)));
  strip.addEventListener("click", (event) => {
    move(pointed(event));
    choose(at);
  });
  strip.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -columns, End: columns };
    if (event.key in steps) move(at + steps[event.key]);
    else if (event.key === "Enter") choose(at);
    else return;
    event.preventDefault();
  });
}
