// The answers: BD-rates against the reference that the reader chooses, as sentences, forest plots and heat maps.

const state = { reference: "", speed: "", quality: "" };
const datasets = Object.keys(data.curves);
const SPEEDS = { low: "slow", high: "fast" };
const curveKey = (curve) => `${curve.paradigm.toUpperCase()} ${curve.label}`;
const OWN = "sci";

const cache = new Map();
// BD-rates of a place: a map from reference to a map from curve to figure.
function figures(dataset, quality = state.quality, speed = state.speed) {
  const key = JSON.stringify([dataset, quality, speed]);
  if (!cache.has(key)) {
    const columns = data.bd.speeds[speed]?.[dataset]?.[quality];
    const found = new Map();
    for (const line of columns ? records(columns) : []) {
      if (!found.has(line.anchor)) found.set(line.anchor, new Map());
      found.get(line.anchor).set(line.test, line);
    }
    cache.set(key, found);
  }
  return cache.get(key);
}
const figure = (dataset, test, anchor, speed = state.speed) => figures(dataset, state.quality, speed).get(anchor)?.get(test);

function referenceOf(dataset) {
  const known = figures(dataset);
  if (state.reference) return [...known.keys()].find((name) => curveKey(data.curves[dataset][name]) === state.reference);
  const own = data.bd.references.find(([set, quality]) => set === dataset && quality === state.quality)?.[2];
  return known.has(own) ? own : [...known.keys()][0];
}

const counted = (line) => (line.sequences < line.asked ? ` [${line.sequences} of ${line.asked}]` : "");
const said = (line) => `${percent(line.bd_rate)}${line.low === null ? "" : ` (${range(line.low, line.high)})`}${counted(line)}`;
const high = (line) => line.high ?? line.bd_rate;

// Curves of CAAS beside those of another paradigm that differ in nothing else.
function pairs(dataset, other) {
  const curves = Object.entries(data.curves[dataset]);
  const alike = ["label", "chain", "task"];
  return curves.filter(([, one]) => one.paradigm === "caas").flatMap(([caas, one]) =>
    curves.filter(([, two]) => two.paradigm === other && alike.every((name) => two[name] === one[name])).map(([name]) => [one.label, caas, name]));
}

// How often CAAS needs fewer bits than ATC, with the same codec.
function wins(dataset, speed = state.speed) {
  const lines = pairs(dataset, "atc").map(([, caas, atc]) => figure(dataset, caas, atc, speed)).filter((line) => line?.ranked);
  return { fewer: lines.filter((line) => high(line) < 0).length, count: lines.length, values: lines.map((line) => line.bd_rate) };
}

function paradigmWords(dataset) {
  const { fewer, count, values } = wins(dataset), words = [];
  if (count) words.push(`fewer bits than ATC with ${fewer} of ${count} codecs (${count > 1 ? range(Math.min(...values), Math.max(...values)) : percent(values[0])})`);
  const cta = pairs(dataset, "cta").map(([label, caas, name]) => [label, figure(dataset, name, caas)]).filter(([, line]) => line);
  const known = cta.filter(([, line]) => line.ranked);
  for (const [label, line] of known) words.push(`CTA needs ${percent(line.bd_rate)} bits with ${label}${counted(line)}`);
  if (cta.length > known.length) words.push(`CTA and CAAS reach no common quality on enough sequences with ${cta.length - known.length} of ${cta.length} codecs`);
  return words;
}

function codecWords(dataset) {
  const anchor = referenceOf(dataset);
  const lines = [...(figures(dataset).get(anchor)?.values() || [])].filter((line) => line.bd_rate !== null);
  if (!lines.length) return [];
  const best = lines.reduce((a, b) => (b.bd_rate < a.bd_rate ? b : a));
  const own = lines.filter((line) => data.curves[dataset][line.test].codec === OWN && line.test !== best.test);
  return [!best.ranked ? `which needs the fewest bits is not known; the lowest figure is of too few sequences: ${best.test}, ${said(best)}` : best.bd_rate < 0 ? `fewest bits: ${best.test}, ${said(best)}` : `none needs fewer bits than ${anchor}; the nearest is ${best.test}, ${said(best)}`,
    ...own.reverse().map((line) => `${line.test}: ${said(line)}`)];
}

function speedWords(dataset) {
  const anchor = referenceOf(dataset);
  const own = Object.entries(data.curves[dataset]).filter(([, curve]) => curve.codec === OWN && curve.paradigm === "caas").map(([name]) => name);
  return Object.keys(data.bd.speeds).filter((speed) => speed && figures(dataset, state.quality, speed).size).map((speed) => {
    const { fewer, count } = wins(dataset, speed);
    const line = own.map((test) => figure(dataset, test, anchor, speed)).find((one) => one && one.bd_rate !== null);
    return [`${SPEEDS[speed] || speed} scenes: `, count ? `CAAS beats ATC with ${fewer} of ${count} codecs` : "", line ? `${count ? ", " : ""}${line.test} ${said(line)} against ${anchor}` : ""].join("");
  });
}

function costWords(chart) {
  const own = chart.series.filter((one) => one.label.split(" (")[0] === OWN), order = ["caas", "atc", "cta"];
  const shown = (own.length ? own : chart.series.slice(0, 4)).sort((a, b) => order.indexOf(a.paradigm) - order.indexOf(b.paradigm));
  return [...shown.map((one) => {
    const [gmac, , kbit] = one.points[0].x;
    return `${one.name}: ${one.points[0].at_least ? "at least " : ""}${gmac.toFixed(2)} GMAC, ${kbit.toFixed(1)} kbit a result`;
  }), ...(chart.limit ? [`${chart.limit[1]}: ${chart.limit[0]} GMAC`] : [])];
}

function questions() {
  const sets = datasets.filter((name) => figures(name, state.quality, "").size);
  const each = (words) => sets.map((name) => [name, words(name)]).filter(([, lines]) => lines.length);
  const costs = data.charts.filter((chart) => chart.against);
  const counts = sets.map((name) => wins(name)).filter(({ count }) => count);
  const verdict = !counts.length ? "" : counts.every(({ fewer, count }) => fewer === count) ? "yes" : counts.some(({ fewer }) => fewer) ? "in part" : "no";
  const own = datasets.some((name) => Object.values(data.curves[name]).some((curve) => curve.codec === OWN)) ? OWN : "it";
  const list = [
    ["Does CAAS win?", each(paradigmWords), ["#forests", "Every codec"], "No codec was measured under CAAS and another paradigm.", verdict],
    [`Which codec, and how far is ${own} from ${state.reference || byId("reference").selectedOptions[0].text.split(" (")[0]}?`, each(codecWords), ["#forests", "Every codec"], "No figure against this reference."],
    ["Does it hold on fast scenes?", each(speedWords), byId("speed") ? ["#speed", "Choose fast scenes"] : undefined, "The scenes of these runs have no classes of speed."],
    ["What does it cost the camera?", costs.map((chart) => [chart.against, costWords(chart)]), costs.length ? ["#costs", "Cost against quality"] : undefined, "These runs profiled no chain: `bench profile` does, and suites with `profile`."],
    ["How do I get a number again?", [["", ["Choose a point, a cell or a name: its command is shown, with a button that copies it.", "bench explain JOB says under which conditions a row was measured."]]], ["#curves", "Curves"]],
  ];
  byId("questions").replaceChildren(...list.map(([title, sets, link, none, answer]) => el("div", { class: "card" },
    el("h3", {}, title, answer ? " " : "", answer ? el("span", { class: "badge", "data-verdict": { yes: "held", no: "not held" }[answer] || "held in part" }, answer) : ""),
    ...(sets.length ? sets.flatMap(([name, lines]) => [name ? el("strong", {}, name) : "", el("ul", {}, ...lines.map((line) => el("li", {}, line)))]) : [el("p", { class: "soft" }, none)]),
    link ? el("a", { href: link[0] }, link[1]) : "")));
}

// Places of a forest plot: logarithm of the ratio of bits, so that half and double are equally far from none.
const TICKS = [-90, -75, -50, -25, 0, 50, 100, 200, 400];
const ratio = (value) => Math.log(Math.max(0.02, 1 + value / 100));

function forest(dataset) {
  const anchor = referenceOf(dataset), curves = data.curves[dataset];
  if (!anchor) return el("p", { class: "soft" }, `${state.reference || "Nothing"} can be compared with here.`);
  const lines = [...figures(dataset).get(anchor).values()];
  const known = lines.filter((line) => line.bd_rate !== null).sort((a, b) => b.ranked - a.ranked || a.bd_rate - b.bd_rate);
  const shown = known.filter((line) => line.bd_rate <= 400).flatMap((line) => [line.bd_rate, line.low ?? line.bd_rate, Math.min(400, high(line))]);
  const [low, most] = [Math.min(ratio(-25), ...shown.map(ratio)), Math.max(ratio(50), ...shown.map(ratio))];
  const place = (value) => Math.max(0, Math.min(100, (100 * (ratio(value) - low)) / (most - low)));
  const at = (value) => `${place(value)}%`;
  const within = TICKS.filter((value) => ratio(value) >= low - 1e-9 && ratio(value) <= most + 1e-9);
  const ticks = within.filter((value) => !value || Math.abs(place(value) - place(0)) > 32).filter((value, i, list) => !i || !value || place(value) - place(list[i - 1]) > 32);
  const row = (line) => {
    const curve = curves[line.test], none = line.bd_rate === null;
    const far = !none && ratio(line.bd_rate) > most + 1e-9;
    const bar = el("div", { class: "track", style: look(curve) }, ...ticks.map((value) => el("span", { class: value ? "tick" : "tick zero", style: { left: at(value) } })));
    if (!none && line.low !== null) bar.append(el("span", { class: "whisker", style: { left: at(line.low), width: `${place(line.high) - place(line.low)}%` } }));
    if (!none) bar.append(far ? el("span", { class: "far" }, "\u2192") : el("span", { class: curve.open ? "dot open" : "dot", style: { left: at(line.bd_rate) } }));
    return el("tr", {}, el("th", { scope: "row" }, el("button", { type: "button", class: "name", click: () => pairDetail(dataset, line) }, swatch(curve), curve.short)),
      el("td", { class: "wide", "aria-hidden": "true" }, bar),
      none ? el("td", { class: "number soft" }, el("button", { type: "button", class: "why", "data-tip": line.reason, click: () => pairDetail(dataset, line) }, "no figure"))
        : el("td", { class: "number" }, el("b", {}, percent(line.bd_rate)), " ", el("span", { class: "soft" }, `${range(line.low, line.high)}${counted(line)}`)));
  };
  const head = el("tr", {}, el("th", { scope: "col" }, "curve"), el("td", { class: "wide", "aria-hidden": "true" }, el("div", { class: "track axis" }, ...ticks.map((value) => el("span", { style: { left: at(value) } }, value ? signed(value, 0) : "0")))),
    el("th", { scope: "col" }, "bits, percent (95 % interval)"));
  return el("table", { class: "forest" }, el("caption", {}, `Bits at equal quality against ${anchor}`),
    el("thead", {}, head), el("tbody", {}, ...known.map(row), ...lines.filter((line) => line.bd_rate === null).map(row)));
}

function pairDetail(dataset, line) {
  const curves = data.curves[dataset];
  const commands = unique([curves[line.test].command, curves[line.anchor].command]).filter(Boolean);
  detail(`${line.test} against ${line.anchor}, ${dataset}${state.speed ? `, ${SPEEDS[state.speed] || state.speed} scenes` : ""}`, [
    ["bits at equal quality", line.bd_rate === null ? "no figure" : `${signed(line.bd_rate, 2)} %`],
    ["95 % interval", line.low === null ? "" : `${signed(line.low, 2)} to ${signed(line.high, 2)} %`],
    ["sequences", `${line.sequences} of ${line.asked}`],
    [line.bd_rate === null ? "why there is none" : "without a figure", line.reason], ["remark", line.remark],
  ], [["measures both curves again", commands.length ? `${commands.join(" && ")} && bench report RUN RUN` : ""]]);
}

// Every curve against every other: a colour for the sign and size, the number, and the reason on demand.
function heatMap(dataset) {
  const known = figures(dataset), names = [...known.keys()], curves = data.curves[dataset];
  const cell = (test, anchor, row, col) => {
    if (test === anchor) return el("td", { class: "self", role: "gridcell" }, "");
    const line = known.get(anchor).get(test), none = !line || line.bd_rate === null;
    const words = `${test} against ${anchor}: ${!line ? "not compared" : none ? line.reason : said(line)}`;
    const strength = none ? 0 : Math.round(Math.min(1, Math.abs(ratio(line.bd_rate)) / Math.log(4)) * 80 + 8);
    const shown = none ? "\u2013" : line.bd_rate >= 900 ? percent(line.bd_rate) : signed(line.bd_rate, 0);
    return el("td", { role: "gridcell", class: none ? "none" : line.bd_rate < 0 ? "fewer" : "more", "data-row": row, "data-col": col, "data-tip": words, "aria-label": `${shown}: ${words}`,
      style: { "--strength": `${strength}%` }, click: () => line && pairDetail(dataset, line) },
    shown);
  };
  const table = el("table", { class: "heat", role: "grid", "aria-label": `BD-rates on ${dataset}, percent` },
    el("thead", {}, el("tr", { role: "row" }, el("td", {}), ...names.map((name) => el("th", { scope: "col", role: "columnheader" }, el("span", {}, curves[name].short))))),
    el("tbody", {}, ...names.map((test, row) => el("tr", { role: "row" }, el("th", { scope: "row", role: "rowheader" }, curves[test].short), ...names.map((anchor, col) => cell(test, anchor, row, col))))));
  rove(table);
  return table;
}

function compare() {
  for (const name of ["reference", "speed", "quality"]) state[name] = byId(name)?.value || "";
  questions();
  byId("forests").replaceChildren(...datasets.filter((name) => figures(name, state.quality, "").size).map((name) => el("div", { class: "set" }, el("h3", {}, name),
    figures(name).size ? forest(name) : el("p", { class: "soft" }, "No two curves of these scenes can be compared."))));
  byId("heats").replaceChildren(...datasets.filter((name) => figures(name).size).map((name) => el("div", {}, el("h3", {}, name),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `BD-rates on ${name}` }, heatMap(name)))));
  for (const chart of data.charts.filter((one) => one.against)) byId(`chart-${chart.name}`).dispatchEvent(new Event("compare"));
}
