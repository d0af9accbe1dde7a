// The page as a whole.

const PRINTED = 200;

/** On paper, the paths that are shown, the first of them. */
function print() {
  const shown = view.shown.slice(0, PRINTED).map((number) => all[number]);
  parts.printed.replaceChildren(
    el("p", {}, `The first ${shown.length} of ${counted(view.shown.length, "path")}`),
    el("ul", { class: "notices" }, shown.map((path) => el("li", {}, `${clock(path[AT])} ${path[WHAT]} ${path[REST]} `, outcome(path[OUTCOME])))),
    view.chosen === null ? "" : el("div", {}, el("h3", {}, `Packet #${all[view.chosen][ID]}`), road(all[view.chosen])));
}

/** What is broken in the network by itself. */
function problems() {
  if (data.problems.length === 0) return null;
  return el("div", {}, el("h3", {}, counted(data.problems.length, "problem")), el("ul", { class: "notices" },
    data.problems.map((one) => el("li", {}, el("b", { class: one.severity === "error" ? "tone0" : "tone1" }, one.severity),
      ` ${one.node}, ${one.subject}: ${one.problem}`, one.hint ? el("span", { class: "dim" }, ` (${one.hint})`) : null))));
}

function picture() {
  const found = document.getElementById("picture");
  if (!found.firstElementChild) {
    found.replaceWith(el("p", { class: "dim" }, "No topology was recorded: podtrace record and trace -w write it, seconds after their begin; other tools do not."));
    return;
  }
  found.after(problems() ?? "");
  found.before(el("p", { class: "dim hint" }, "Numbers are packets seen there, or lost behind it. Click a pod, a node or an interface to see its paths."));
  for (const box of found.querySelectorAll(".find")) {
    const show = () => showPaths({ search: box.dataset.find });
    box.setAttribute("tabindex", "0");
    box.setAttribute("role", "button");
    box.addEventListener("click", show);
    box.addEventListener("keydown", (event) => { if (event.key === "Enter") show(); });
  }
}

function navigation() {
  for (const found of document.querySelectorAll("main section")) {
    if (found.hidden) continue;
    document.getElementById("nav").append(el("a", { href: `#${found.id}` }, found.querySelector("h2").textContent));
  }
}

summary();
findings();
causes();
picture();
flows();
latency();
paths();
notes();
navigation();

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input, select")) return;
  event.preventDefault();
  parts.search.focus();
  document.getElementById("paths").scrollIntoView();
});
parts.search.addEventListener("keydown", (event) => {
  if (event.key === "Escape") showPaths({});
  if (event.key === "ArrowDown" || event.key === "Enter") parts.list.focus();
});
narrow.addEventListener("change", draw);
addEventListener("resize", draw);
addEventListener("beforeprint", print);
const linked = /^#p(\d+)$/.exec(location.hash);
if (linked) openPacket(Number(linked[1]));
document.documentElement.dataset.ready = "true";
