// Draws curves as SVG: panels, axes, marks to click, labels at the ends of curves, and a legend.

function steps(low, high, most) {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  return found;
}

function decades(low, high, most) {
  for (const parts of [[1, 2, 5], [1, 3], [1]]) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      found.push(...parts.map((part) => part * 10 ** power).filter((value) => value >= low && value <= high));
    }
    if (found.length <= most || parts.length === 1) return found;
  }
  return [];
}

const written = (value) => String(Number(value.toPrecision(3)));

// A scale from values to pixels, with its ticks.
function scale(values, logarithmic, from, to, most) {
  let low = Math.min(...values), high = Math.max(...values);
  const log = logarithmic && low > 0;
  const [into, back] = log ? [Math.log10, (v) => 10 ** v] : [(v) => v, (v) => v];
  const room = (into(high) - into(low)) * 0.05 || (log ? 0.1 : Math.abs(low) * 0.02 || 1);
  low = back(into(low) - room);
  high = back(into(high) + room);
  const place = (value) => from + ((into(value) - into(low)) / (into(high) - into(low))) * (to - from);
  const ticks = log ? decades(low, high, most) : steps(low, high, most);
  return { place, ticks: log && ticks.length < 2 ? steps(low, high, most) : ticks };
}

// Moves labels apart, so that none lies on another: neighbours that would touch become a block around their mean place.
function spread(places, gap, low, high) {
  const order = places.map((_, i) => i).sort((a, b) => places[a] - places[b]);
  const blocks = [];
  for (const i of order) {
    let block = { at: places[i], list: [i] };
    while (blocks.length && blocks.at(-1).at + blocks.at(-1).list.length * gap > block.at) {
      const before = blocks.pop(), [m, n] = [before.list.length, block.list.length];
      block = { at: (before.at * m + (block.at - m * gap) * n) / (m + n), list: [...before.list, ...block.list] };
    }
    block.at = Math.max(low, Math.min(high - (block.list.length - 1) * gap, block.at));
    blocks.push(block);
  }
  const found = [];
  for (const { at, list } of blocks) list.forEach((i, k) => { found[i] = at + k * gap; });
  return found;
}

// Places for labels right of single points: the nearest height at which a label lies on no other.
function beside(marks, height) {
  const boxes = [];
  return marks.map(({ x, y, width }) => {
    const free = (at) => boxes.every((box) => Math.abs(box.at - at) >= height || x > box.right || x + width < box.left);
    const at = [0, 1, -1, 2, -2, 3, -3, 4, -4].map((k) => y + k * height).find(free) ?? y;
    boxes.push({ at, left: x, right: x + width });
    return at;
  });
}

function panel(spec, series, title, width, firstRow) {
  const narrow = width < 460, letter = 6.1, most = narrow ? 15 : 26;
  const ends = series.map((one) => (one.end.length > most ? `${one.end.slice(0, most - 1)}\u2026` : one.end));
  const labelled = spec.ends !== false && series.length <= 30;
  const single = series.every((one) => one.points.length === 1);
  const right = labelled ? 26 + letter * Math.max(0, ...ends.map((text) => text.length)) : 14;
  const height = Math.max(narrow ? 300 : 400, labelled ? 13 * series.length + 90 : 0);
  const [left, top, bottom] = [54, title ? 34 : 16, 46];
  const points = series.flatMap((one) => one.points);
  const ys = [...points.flatMap((p) => [p.y, p.low ?? p.y, p.high ?? p.y]), ...(spec.levels || []).map(([value]) => value)];
  const xs = [...points.map((p) => p.x), ...(spec.limit ? [spec.limit[0]] : [])];
  const x = scale(xs, spec.log, left, width - right, narrow ? 5 : 9);
  const y = scale(ys, false, height - bottom, top, 7);
  const root = svg("svg", { class: "chart", width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${title || spec.title}: ${spec.y} over ${spec.x}. Arrow keys move between points, Enter shows one.` });
  const grid = svg("g", { class: "grid", "aria-hidden": "true" });
  for (const value of x.ticks) {
    grid.append(svg("line", { x1: x.place(value), x2: x.place(value), y1: top, y2: height - bottom }),
      svg("text", { x: x.place(value), y: height - bottom + 16, "text-anchor": "middle" }, written(value)));
  }
  for (const value of y.ticks) {
    grid.append(svg("line", { x1: left, x2: width - right, y1: y.place(value), y2: y.place(value) }),
      svg("text", { x: left - 7, y: y.place(value) + 4, "text-anchor": "end" }, written(value)));
  }
  grid.append(svg("text", { x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle", class: "title" }, spec.x),
    svg("text", { x: -(top + height - bottom) / 2, y: 13, transform: "rotate(-90)", "text-anchor": "middle", class: "title" }, spec.y));
  if (title) grid.append(svg("text", { x: left, y: 20, class: "title strong" }, title));
  (spec.levels || []).forEach(([value], i) => grid.append(svg("line", { class: `level level-${i % 2}`, x1: left, x2: width - right, y1: y.place(value), y2: y.place(value) })));
  if (spec.limit) {
    const at = x.place(spec.limit[0]);
    grid.append(svg("line", { class: "level", x1: at, x2: at, y1: top, y2: height - bottom }), svg("text", { x: at + 4, y: top + 10 }, spec.limit[1]));
  }
  root.append(grid);
  const last = series.map((one) => one.points.at(-1));
  const labels = single ? beside(last.map((p, i) => ({ x: x.place(p.x), y: y.place(p.y), width: 30 + letter * ends[i].length })), 13)
    : spread(last.map((p) => y.place(p.y)), 13, top + 4, height - bottom);
  series.forEach((one, row) => {
    const group = svg("g", { class: "series", style: look(one) });
    const line = one.points.map((p, i) => `${i ? "L" : "M"}${x.place(p.x).toFixed(1)} ${y.place(p.y).toFixed(1)}`).join("");
    group.append(svg("path", { class: "curve", d: line, "stroke-dasharray": one.dash }));
    if (labelled && single) {
      group.append(svg("text", { class: "end", x: x.place(last[row].x) + (last[row].arrow ? 24 : 10), y: labels[row] + 4, "aria-hidden": "true" }, ends[row]));
    } else if (labelled) {
      group.append(svg("path", { class: "leader", d: `M${x.place(last[row].x) + 5} ${y.place(last[row].y)}L${width - right + 6} ${labels[row]}H${width - right + 12}` }),
        svg("text", { class: "end", x: width - right + 15, y: labels[row] + 4, "aria-hidden": "true" }, ends[row]));
    }
    one.points.forEach((p, col) => {
      const [px, py] = [x.place(p.x), y.place(p.y)];
      const words = `${one.name}: ${p.words}`;
      const point = svg("g", { class: "point", role: "button", "aria-label": words, "data-tip": words, "data-row": row + firstRow, "data-col": col, click: p.open },
        svg("circle", { cx: px, cy: py, r: 11, class: "hit" }));
      if (typeof p.low === "number") point.append(svg("path", { class: "interval", d: `M${px} ${y.place(p.low)}V${y.place(p.high)}M${px - 3} ${y.place(p.low)}h6M${px - 3} ${y.place(p.high)}h6` }));
      if (p.arrow) point.append(svg("path", { class: "interval", d: `M${px + 5} ${py}h14m-5 -4l5 4l-5 4` }));
      point.append(svg("g", { transform: `translate(${px} ${py})` }, mark(one)));
      group.append(point);
    });
    root.append(group);
  });
  return root;
}

// CTA has a panel of its own where its rates would take most of the width.
function panels(series) {
  const spans = (list) => {
    const rates = list.flatMap((one) => one.points.map((p) => p.x));
    return Math.log(Math.max(...rates) / Math.min(...rates));
  };
  const rest = series.filter((one) => one.paradigm !== "cta"), cta = series.filter((one) => one.paradigm === "cta");
  if (!rest.length || !cta.length || spans(series) < 1.5 * spans(rest)) return [["", series]];
  return [[unique(rest.map((one) => one.paradigm.toUpperCase())).join(" and "), rest], ["CTA", cta]];
}

// Draws a chart into an element, and again where its width changes. `spec`: title, x, y, log, levels, limit, series.
function draw(holder, spec) {
  const series = spec.series.filter((one) => one.points.length);
  const paint = () => {
    const whole = holder.clientWidth;
    if (!whole) return;
    if (!series.length) { holder.replaceChildren(el("p", { class: "soft" }, spec.empty || "No points.")); return; }
    const parts = spec.log ? panels(series) : [["", series]];
    const beside = parts.length > 1 && whole > 900;
    let row = 0;
    const figures = parts.map(([title, list], i) => {
      const width = beside ? Math.floor((whole - 12) * (i ? 0.38 : 0.62)) : whole;
      row += list.length;
      return panel(spec, list, title, width, row - list.length);
    });
    const legend = el("ul", { class: "legend" }, ...series.map((one) => el("li", {}, swatch(one), `${one.short}${one.n ? `, n\u202f=\u202f${one.n}` : ""}`)),
      ...(spec.levels || []).map(([, words], i) => el("li", {}, el("span", { class: `level-swatch level-${i % 2}` }), words)));
    holder.replaceChildren(el("div", { class: "panels" }, ...figures), legend);
    rove(holder.firstChild);
  };
  holder.paint = paint;
  if (!holder.watch) {
    let width = 0;
    holder.watch = new ResizeObserver(() => {
      if (holder.clientWidth === width) return;
      width = holder.clientWidth;
      holder.paint();
    });
    holder.watch.observe(holder);
  } else paint();
}

// Short names for the ends of curves: paradigm and codec, and the preset where a codec has several.
function named(series) {
  const plain = (one) => `${one.paradigm.toUpperCase()} ${one.codec || one.label.split(" (")[0]}`;
  const count = new Map();
  for (const one of series) count.set(plain(one), (count.get(plain(one)) || 0) + 1);
  return series.map((one) => ({ ...one, end: one.end || (count.get(plain(one)) > 1 ? one.short : plain(one)) }));
}
