// Curves of the reader's choice from the rows, and the charts of the report's sections.

const points = records(data.points);

// As Python's shlex.quote.
const quote = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`);
// As Python's join_names, of one name.
const item = (name) => (/[,"]|^\s|\s$/.test(name) ? `"${name.replaceAll('"', '""')}"` : name);
const flag = (name, value) => name + (/^-/.test(quote(item(value))) ? "=" : " ") + quote(item(value));

function command(p) {
  const [before, after] = data.commands[p.command];
  return after === undefined ? before : `${before} ${flag("--rates", p.rate)} ${flag("--sequences", p.sequence)} --limit 0 ${after}`;
}

function boxes(fieldset, name, values) {
  fieldset.replaceChildren(fieldset.firstElementChild, ...values.map((value) =>
    el("label", {}, el("input", { type: "checkbox", checked: true, value, name, change: drawCurves }), " ", value)));
  fieldset.hidden = values.length < 2;
}
const ticked = (name) => new Set([...document.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value));

// Means over sequences, of which a point may stand for several; a rate point that not all of a curve's sequences have is
// left out.
const total = (list, value) => list.reduce((sum, p) => sum + p.count * value(p), 0);
function curvesOf(rows, quality, mean) {
  const groups = new Map();
  for (const p of rows) {
    const name = mean ? p.curve : `${p.curve}, ${p.sequence}`;
    if (!groups.has(name)) groups.set(name, new Map());
    const rates = groups.get(name);
    if (!rates.has(p.rate)) rates.set(p.rate, []);
    rates.get(p.rate).push(p);
  }
  return [...groups].map(([name, rates]) => {
    const lists = [...rates.values()].map((list) => ({ list, n: total(list, () => 1) }));
    const n = Math.max(...lists.map((one) => one.n));
    const left = lists.filter((one) => one.n !== n).map((one) => `${one.list[0].rate} (n = ${one.n})`);
    const kept = lists.filter((one) => one.n === n).map(({ list }) => {
      const [x, y] = [total(list, (p) => p.bpp) / n, total(list, (p) => p[quality]) / n];
      return { x, y, words: `point ${list[0].rate}, n = ${n}, ${x.toPrecision(4)} bpp, ${y.toFixed(3)}`, open: () => pointDetail(name, list, x, quality) };
    }).sort((a, b) => a.x - b.x);
    const first = lists[0].list[0], curve = data.curves[first.dataset][first.curve];
    return { ...curve, name, short: mean ? curve.short : `${curve.short}, ${first.sequence}`, n: left.length ? `${n}; left out: ${left.join(", ")}` : mean ? n : "", points: kept };
  });
}

function pointDetail(name, list, x, quality) {
  const p = list[0], card = data.conditions[p.condition] || {}, n = total(list, (one) => one.segments);
  const mean = (column) => {
    const known = list.filter((one) => one[column] !== null);
    return known.length ? total(known, (one) => one[column]) / total(known, () => 1) : null;
  };
  detail(`${name}, point ${p.rate}`, [
    ["set", `${p.dataset}${list.length > 1 ? "" : ` / ${p.sequence}`}`],
    ["row", `${n > 1 ? `mean of ${n} rows; the first is ` : ""}${p.job} of ${p.run}`],
    ["rate", `${x.toPrecision(6)} bits per spike, ${(100 * (1 - x)).toFixed(2)} % saved`],
    ["quality", Object.entries(data.qualities).map(([column, title]) => [title, mean(column)]).filter(([, value]) => value !== null).map(([title, value]) => `${title} ${value.toFixed(4)}`).join(", ")],
    ["codec", p.version + (p.weights ? `, weights ${p.weights}` : "")],
    ["conditions", `${p.condition}: ${Object.entries(card).map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ")}`],
    ["made by", data.runs[p.run]],
  ], [["says more", `bench explain ${quote(`${p.run}#${p.job}`)}`], [list.length > 1 ? "measures the first row again" : "measures it again", command(p)],
    ["measures the whole curve again", list.length > 1 ? data.curves[p.dataset][p.curve].command : ""]]);
}

function drawCurves() {
  const [paradigms, codecs, chains] = ["paradigm", "codec", "chain"].map(ticked);
  const dataset = byId("dataset").value, speed = byId("curve-speed").value, quality = byId("curve-quality").value, mean = byId("mean").value;
  const rows = points.filter((p) => p.dataset === dataset && (!speed || p.speed === speed) && p[quality] !== null
    && paradigms.has(p.paradigm) && codecs.has(p.codec) && chains.has(p.chain));
  draw(byId("plot"), {
    title: `${dataset}${speed ? `, ${SPEEDS[speed] || speed} scenes` : ""}`, x: "bits per spike (raw = 1)", y: data.qualities[quality], log: true,
    series: named(curvesOf(rows, quality, mean)), ends: Boolean(mean), empty: "No row has this quality here: choose another quality, set or filter.",
  });
}

// Qualities that a set has, so that a change of set leaves no empty plot.
function qualitiesOf(dataset) {
  return Object.entries(data.qualities).filter(([name]) => points.some((p) => p.dataset === dataset && p[name] !== null));
}

function prepareCurves() {
  options(byId("dataset"), unique(points.map((p) => p.dataset)).map((name) => [name, name]));
  const choose = () => {
    const rows = points.filter((p) => p.dataset === byId("dataset").value);
    for (const name of ["paradigm", "codec", "chain"]) boxes(byId(`${name}s`), name, unique(rows.map((p) => p[name])));
    options(byId("curve-quality"), qualitiesOf(byId("dataset").value));
    drawCurves();
  };
  byId("dataset").addEventListener("change", choose);
  for (const id of ["curve-speed", "curve-quality", "mean"]) byId(id).addEventListener("change", drawCurves);
  choose();
}

// A section's chart: of several horizontal axes the reader chooses one; its y may be BD-rates against the reference.
function drawSection(chart) {
  const holder = byId(`chart-${chart.name}`), select = byId(`axis-${chart.name}`);
  const paint = () => {
    const axis = Number(select?.value || 0);
    const anchor = chart.against ? referenceOf(chart.against) : "";
    const series = chart.series.map((one) => ({
      ...one,
      points: one.points.map((p) => {
        const line = chart.against && one.name !== anchor ? figure(chart.against, one.name, anchor) : undefined;
        const y = !chart.against ? p.y : one.name === anchor ? 0 : line?.bd_rate ?? null;
        const value = `${p.x[axis].toPrecision(4)} ${chart.x[axis]}`, level = y === null ? "" : `${y.toFixed(2)} ${chart.y}`;
        return {
          x: p.x[axis], y, low: chart.against ? line?.low : p.low, high: chart.against ? line?.high : p.high, arrow: p.at_least && axis === 0,
          words: `${p.words}, ${value}, ${level}`,
          open: () => detail(`${one.name}, ${p.words}`, [...chart.x.map((title, i) => [title, p.x[i].toPrecision(5)]), [chart.y, level]], [["measures it again", p.command]]),
        };
      }).filter((p) => p.y !== null && !(chart.logarithmic && p.x <= 0)),
    }));
    const without = chart.against ? series.filter((one) => !one.points.length || one.points[0].y > 400).map((one) => one.name) : [];
    byId(`left-${chart.name}`).textContent = without.length ? `Not drawn, since there is no figure or one above 400 %: ${without.join(", ")}.` : "";
    draw(holder, {
      title: chart.title, x: chart.x[axis], y: chart.against ? `${chart.y} against ${anchor}` : chart.y, log: chart.logarithmic, levels: chart.levels,
      limit: axis === 0 ? chart.limit : null, series: named(series.filter((one) => !without.includes(one.name))), empty: "No figure against this reference.",
    });
  };
  select?.addEventListener("change", paint);
  holder.addEventListener("compare", paint);
  paint();
}
