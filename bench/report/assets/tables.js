// Tables that are sorted, filtered and downloaded. They are built when the reader opens them.

const numeric = (text) => Number.parseFloat(text.replace("\u2212", "-"));

function cellOf(text) {
  // A reason in brackets stands for a number that does not exist.
  if (/^\(.{12,}\)$/s.test(text)) {
    const why = text.slice(1, -1);
    return el("td", {}, el("button", { type: "button", class: "why", "data-tip": why, click: () => detail("Why there is no figure", [["reason", why]], []) }, "no figure"));
  }
  return el("td", { class: text.length > 60 ? "long" : /^[+-]?[\d.]+/.test(text) ? "number" : "" }, text);
}

function csv(table, lines) {
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = lines.map((i) => [...table.lines[i], commandOf(table, i)]);
  return [[...table.columns, "command"], ...rows].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
}
const commandOf = (table, i) => table.commands.values[table.commands.numbers[i]];

function buildTable(name, holder) {
  const table = data.tables[name];
  let order = table.lines.map((_, i) => i), sorted = -1, up = true;
  const again = table.commands.values.some(Boolean);
  const body = el("tbody"), count = el("span", { class: "soft", role: "status" });
  const filter = el("input", { type: "search", "aria-label": `Filter the lines of: ${table.title}`, placeholder: "filter lines", input: () => show() });
  const kept = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    return order.filter((i) => words.every((word) => table.lines[i].some((text) => text.toLowerCase().includes(word))));
  };
  const show = () => {
    const lines = kept();
    count.textContent = `${lines.length} of ${table.lines.length} lines`;
    body.replaceChildren(...lines.map((i) => el("tr", {}, ...table.lines[i].map(cellOf),
      again ? el("td", {}, commandOf(table, i) ? el("button", { type: "button", class: "copy", click: () => lineDetail(table, i) }, "again") : "") : "")));
  };
  const sort = (column) => {
    up = sorted === column ? !up : true;
    sorted = column;
    const value = (i) => table.lines[i][column], numbers = order.every((i) => !value(i) || /^[(]|^[+-]?[\d.]/.test(value(i)));
    const key = (i) => (numbers ? numeric(value(i)) : value(i));
    order = [...order].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (numbers && (Number.isNaN(x) || Number.isNaN(y))) return Number.isNaN(x) - Number.isNaN(y);
      return (up ? 1 : -1) * (numbers ? x - y : x.localeCompare(y));
    });
    heads.forEach((head, i) => head.setAttribute("aria-sort", i === sorted ? (up ? "ascending" : "descending") : "none"));
    show();
  };
  const heads = table.columns.map((title, i) => el("th", { scope: "col", "aria-sort": "none" }, el("button", { type: "button", click: () => sort(i) }, title)));
  holder.replaceChildren(
    el("div", { class: "bar" }, filter, el("button", { type: "button", class: "csv", click: () => download(`${name}.csv`, csv(table, kept())) }, "Download CSV"), count),
    el("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": table.title },
      el("table", { class: "data" }, el("thead", {}, el("tr", {}, ...heads, again ? el("th", { scope: "col" }, "measure") : "")), body)));
  show();
}

function lineDetail(table, i) {
  detail(table.title, table.columns.map((name, k) => [name, table.lines[i][k]]), [["measures this line again", commandOf(table, i)]]);
}

function prepareTables() {
  for (const box of document.querySelectorAll("details[data-table]")) {
    box.addEventListener("toggle", () => {
      const holder = box.querySelector(".holder");
      if (box.open && !holder.firstChild) buildTable(box.dataset.table, holder);
    });
  }
  // A link to a table opens it.
  const open = () => {
    const target = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
    if (target?.matches?.("details")) target.open = true;
  };
  addEventListener("hashchange", open);
  open();
}
