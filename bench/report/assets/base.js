"use strict";
// What all parts of the page share: data, elements, the panel of details, and movement by arrow keys.
// Texts of rows become text nodes and attributes, never HTML.
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const unique = (values) => [...new Set(values)];
const unpacked = (column) => (Array.isArray(column) ? column : column.numbers.map((i) => column.values[i]));
const records = (columns) => {
  const lists = Object.entries(columns).map(([name, column]) => [name, unpacked(column)]);
  return lists[0][1].map((_, i) => Object.fromEntries(lists.map(([name, list]) => [name, list[i]])));
};

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== undefined && child !== ""));
  return node;
}
const el = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

function options(select, pairs) {
  const before = select.value;
  select.replaceChildren(...pairs.map(([value, text]) => new Option(text, value)));
  if (pairs.some(([value]) => String(value) === before)) select.value = before;
}

// Numbers: a percentage with its sign; large ones as a multiple.
const signed = (value, digits) => (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(digits);
function percent(value) {
  if (value >= 900) return `\u00d7${(1 + value / 100).toFixed(0)}`;
  return `${signed(value, Math.abs(value) < 100 ? 1 : 0)}\u202f%`;
}
const range = (low, high) => (low === null ? "" : `${percent(low)} to ${percent(high)}`);

// The line and mark of a curve, as in its figures.
const look = (curve) => ({ "--c": curve.colour });
function swatch(curve, wide = 26) {
  return svg("svg", { class: "swatch", width: wide, height: 14, viewBox: `${-wide / 2} -7 ${wide} 14`, "aria-hidden": "true", style: look(curve) },
    svg("line", { x1: -wide / 2, x2: wide / 2, class: "curve", "stroke-dasharray": curve.dash }), mark(curve));
}
const mark = (curve) => svg("path", { d: curve.mark, transform: "scale(4)", class: curve.open ? "mark open" : "mark" });

// Copies a text, and says so.
function copyButton(text, name = "Copy") {
  return el("button", { type: "button", class: "copy", click: (event) => copied(event.currentTarget, text) }, name);
}
async function copied(button, text) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select the text and copy it"; // the browser refuses access to the clipboard
  }
  byId("said").textContent = button.textContent;
  setTimeout(() => { button.textContent = before; }, 1500);
}

// The panel of details, at the page's lower edge: facts, and commands to copy. Escape closes it.
let opener = null;
function detail(title, facts, commands) {
  const list = el("dl", {}, ...facts.filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  const lines = commands.filter(([, text]) => text).map(([name, text]) =>
    el("div", { class: "command" }, el("span", {}, name), el("code", { tabindex: 0, role: "region", "aria-label": name }, text), copyButton(text)));
  byId("detail-title").textContent = title;
  byId("detail-body").replaceChildren(...lines, list);
  if (!byId("detail").open) opener = document.activeElement;
  byId("detail").show();
  byId("detail-title").focus();
}
function closeDetail() {
  byId("detail").close();
  opener?.focus();
}

// Words beside the pointer or the focus, for elements with data-tip.
function tip(event) {
  const target = event.target.closest?.("[data-tip]"), box = byId("tip");
  box.hidden = !target;
  if (!target) return;
  box.textContent = target.dataset.tip;
  const place = target.getBoundingClientRect(), own = box.getBoundingClientRect();
  const left = Math.min(place.left, document.documentElement.clientWidth - own.width - 8);
  const above = place.top - own.height - 6;
  box.style.left = `${Math.max(4, left) + scrollX}px`;
  box.style.top = `${(above > 0 ? above : place.bottom + 6) + scrollY}px`;
}

// Arrow keys move between elements with data-row and data-col; only one of them is reached by Tab.
function rove(root) {
  const items = [...root.querySelectorAll("[data-row]")];
  const at = (item, name) => Number(item.dataset[name]);
  items.forEach((item, i) => item.setAttribute("tabindex", i ? -1 : 0));
  root.addEventListener("keydown", (event) => {
    const item = event.target.closest("[data-row]");
    if (!item) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      item.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    }
    const [across, along, step] = { ArrowLeft: ["row", "col", -1], ArrowRight: ["row", "col", 1], ArrowUp: ["col", "row", -1], ArrowDown: ["col", "row", 1] }[event.key] || [];
    if (!step) return;
    event.preventDefault();
    const ahead = items.filter((other) => (at(other, along) - at(item, along)) * step > 0 && (across === "col" || at(other, across) === at(item, across)));
    const distance = (other) => 1000 * Math.abs(at(other, along) - at(item, along)) + Math.abs(at(other, across) - at(item, across));
    const next = ahead.sort((a, b) => distance(a) - distance(b))[0];
    if (!next) return;
    item.setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    next.focus();
  });
}

function download(name, text) {
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// Calls `make` once the element comes near the view: what is far below costs no time before the first paint.
function onceSeen(node, make) {
  const watch = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watch.disconnect();
    make();
  }, { rootMargin: "600px" });
  watch.observe(node);
}
