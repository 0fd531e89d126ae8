"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const unique = (values) => [...new Set(values)];
const columns = Object.fromEntries(Object.entries(data.points).map(([name, column]) =>
  [name, Array.isArray(column) ? column : column.numbers.map((i) => column.values[i])]));
const points = columns.job.map((_, i) => Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column[i]])));
const codecs = unique(points.map((p) => p.codec));

// Plotly reads some HTML in names.
const literal = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

function options(select, values) {
  select.replaceChildren(...values.map(([value, text]) => new Option(text, value)));
}

function boxes(fieldset, name, values) {
  for (const value of values) {
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true, value, name });
    box.addEventListener("change", draw);
    label.append(box, " " + value);
    fieldset.append(label);
  }
  fieldset.hidden = values.length < 2;
}

const ticked = (name) => new Set([...document.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value));

function shown() {
  const [paradigms, wanted, chains] = ["paradigm", "codec", "chain"].map(ticked);
  const dataset = byId("dataset").value, speed = byId("speed").value, quality = byId("quality").value;
  return points.filter((p) => p.dataset === dataset && (!speed || p.speed === speed) && p[quality] !== null
    && paradigms.has(p.paradigm) && wanted.has(p.codec) && chains.has(p.chain));
}

// Means over sequences, of which a point may stand for several; a rate point that not all of a curve's sequences have is
// left out.
const total = (list, value) => list.reduce((sum, p) => sum + p.count * value(p), 0);
function curves(rows) {
  const quality = byId("quality").value, mean = byId("mean").value;
  const groups = new Map();
  for (const p of rows) {
    const name = mean ? p.curve : `${p.curve}, ${p.sequence}`;
    if (!groups.has(name)) groups.set(name, new Map());
    const rates = groups.get(name);
    if (!rates.has(p.rate)) rates.set(p.rate, []);
    rates.get(p.rate).push(p);
  }
  return [...groups].map(([name, rates]) => {
    const lists = [...rates.values()].map((list) => ({ list, count: total(list, () => 1) }));
    const most = Math.max(...lists.map(({ count }) => count));
    const found = lists.filter(({ count }) => count === most).map(({ list, count }) => ({
      x: total(list, (p) => p.bpp) / count, y: total(list, (p) => p[quality]) / count, first: list[0], count,
    })).sort((a, b) => a.x - b.x);
    const left = lists.filter(({ count }) => count !== most).map(({ list, count }) => `${list[0].rate}: ${count}`);
    return { name: left.length ? `${name} (${most} sequences; left out, with fewer: ${left.join(", ")})` : name, found, first: found[0].first };
  });
}

let listed = [];
function draw() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const rows = shown();
  const mean = byId("mean").value;
  const traces = curves(rows).map(({ name, found, first }) => {
    const [short, color, dash, symbol] = data.styles[first.dataset][name];
    return {
      name: literal(short), meta: literal(name), customdata: found.map((p) => p.first.job),
      x: found.map((p) => p.x), y: found.map((p) => p.y),
      text: found.map((p) => literal(`point ${p.first.rate}`) + (mean ? `, ${p.count} sequences` : "")),
      hovertemplate: "%{meta}<br>%{text}<br>%{x:.5f} bpp, %{y:.3f}<extra></extra>",
      mode: "lines+markers", line: { dash, color, width: 2 }, marker: { symbol, size: 8 },
    };
  });
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line") };
  // Below the plot, which grows by it, where a list beside it would be too long or too wide.
  const width = byId("plot").clientWidth, entry = 60 + 6 * Math.max(0, ...traces.map(({ name }) => name.length));
  const below = width < 700 || traces.length > 20;
  const lines = below ? Math.ceil(traces.length / Math.max(1, Math.floor((width - 65) / entry))) : 0;
  const height = 500 + 20 * lines;
  Plotly.react("plot", traces, {
    paper_bgcolor: colour("--back"), plot_bgcolor: colour("--back"), font: { color: colour("--fore"), size: 12 },
    height, margin: { l: 55, r: 10, t: 30, b: below ? 60 + 20 * lines : 45 }, hovermode: "closest", showlegend: true,
    legend: below
      ? { orientation: "h", yref: "container", yanchor: "bottom", y: 0, maxheight: 20 * lines + 20, entrywidth: entry - 45, font: { size: 11 } }
      : { font: { size: 11 } },
    xaxis: { ...axis, type: "log", title: { text: "bits per spike (raw = 1)" } },
    yaxis: { ...axis, title: { text: byId("quality").selectedOptions[0].text } },
  }, { responsive: true, displaylogo: false });
  listed = rows;
  options(byId("point"), [["", `${rows.length} points shown: choose one`],
    ...rows.map((p) => [p.job, `${p.curve}, ${p.rate}, ${p.sequence}: ${p.bpp.toPrecision(4)} bpp`])]);
}

// As Python's shlex.quote.
const quote = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`);

// As Python's join_names, of one name.
const item = (name) => (/[,"]|^\s|\s$/.test(name) ? `"${name.replaceAll('"', '""')}"` : name);
const flag = (name, value) => name + (/^-/.test(quote(item(value))) ? "=" : " ") + quote(item(value));

function command(p) {
  const [before, after] = data.commands[p.command];
  return after === undefined ? before : `${before} ${flag("--rates", p.rate)} ${flag("--sequences", p.sequence)} --limit 0 ${after}`;
}

function detail(job) {
  const p = listed.find((q) => q.job === job);
  const panel = byId("detail");
  if (!p) { panel.textContent = "No point chosen."; return; }
  const list = document.createElement("dl");
  const add = (name, value) => {
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name;
    if (name === "command") { const code = document.createElement("code"); code.textContent = value; text.append(code); } else text.textContent = value;
    list.append(term, text);
  };
  const rows = p.count * p.segments;
  add("row", (rows > 1 ? `the mean of ${rows}, the first is ` : "") + `${p.job} of ${p.run}`);
  add("curve", `${p.curve}, ${p.dataset}/${p.sequence}, rate point ${p.rate}`);
  add("measured", `${p.bpp.toPrecision(6)} bpp` + Object.entries(data.qualities).filter(([q]) => p[q] !== null).map(([q, title]) => `, ${title} ${p[q].toFixed(4)}`).join(""));
  add("codec", `${p.version}` + (p.weights ? `, weights ${p.weights}` : ""));
  const card = data.conditions[p.condition] || {};
  add("conditions", `${p.condition}: ` + Object.entries(card).map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", "));
  add("made by", data.runs[p.run]);
  add("command", command(p));
  panel.replaceChildren(list);
  byId("point").value = job;
}

function pictures() {
  if (!data.pictures.length) return;
  const scene = data.pictures[byId("scene").value];
  const side = (name) => {
    const tile = scene.tiles[byId(name).value];
    const image = byId(`image-${name}`);
    image.src = tile.image;
    image.alt = `${scene.title}: ${tile.title}`;
    byId(`caption-${name}`).textContent = `${tile.title} ${tile.words}`;
  };
  side("left"); side("right"); cut();
}

function cut() {
  const value = byId("cut").value;
  byId("image-left").style.clipPath = `inset(0 ${100 - value}% 0 0)`;
  byId("sides").style.setProperty("--cut", `${value}%`);
}

function scene() {
  const tiles = data.pictures[byId("scene").value].tiles.map((tile, i) => [i, tile.title]);
  options(byId("left"), tiles); options(byId("right"), tiles);
  byId("right").selectedIndex = Math.min(1, tiles.length - 1);
  pictures();
}

function download(button) {
  const link = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(new Blob([data.csv[button.dataset.csv]], { type: "text/csv" })), download: button.dataset.name,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

options(byId("dataset"), unique(points.map((p) => p.dataset)).map((name) => [name, name]));
boxes(byId("paradigms"), "paradigm", unique(points.map((p) => p.paradigm)));
boxes(byId("codecs"), "codec", codecs);
boxes(byId("chains"), "chain", unique(points.map((p) => p.chain)));
for (const id of ["dataset", "speed", "quality", "mean"]) byId(id).addEventListener("change", draw);
byId("point").addEventListener("change", (event) => detail(event.target.value));
byId("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).getPropertyValue("--back").trim() !== "#fff";
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  draw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
for (const button of document.querySelectorAll("button[data-csv]")) button.addEventListener("click", () => download(button));
draw();
byId("plot").on("plotly_click", (event) => detail(event.points[0].customdata));
if (data.pictures.length) {
  options(byId("scene"), data.pictures.map((item, i) => [i, item.title]));
  byId("scene").addEventListener("change", scene);
  byId("left").addEventListener("change", pictures);
  byId("right").addEventListener("change", pictures);
  byId("cut").addEventListener("input", cut);
  scene();
}
