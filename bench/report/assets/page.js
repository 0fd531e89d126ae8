// Sets the page up: the answers at once, everything below when it comes near the view.

const defaults = unique(data.bd.references.map(([dataset, , curve]) => data.curves[dataset][curve].codec));
const isVvc = defaults.length && defaults.every((codec) => codec === "vvenc" || codec === "vtm");
const keys = unique(datasets.flatMap((name) => Object.values(data.curves[name]).map(curveKey))).sort();
if (data.bd.references.length) {
  options(byId("reference"), [["", isVvc ? "VVC (VTM, or libvvenc under CAAS)" : "the reference of each set"], ...keys.map((key) => [key, key])]);
  options(byId("quality"), unique(data.bd.references.map(([, quality]) => quality)).map((name) => [name, data.qualities[name] || name]));
  for (const id of ["reference", "speed", "quality"]) byId(id)?.addEventListener("change", compare);
  compare();
}
prepareTables();
onceSeen(byId("plot"), prepareCurves);
for (const chart of data.charts) onceSeen(byId(`chart-${chart.name}`), () => drawSection(chart));
// The pictures' data follow the script in the file, so that what is above them is painted first.
if (byId("tiles")) addEventListener("load", () => onceSeen(byId("tiles"), preparePictures));
for (const button of document.querySelectorAll("button[data-copy]")) button.addEventListener("click", () => copied(button, button.dataset.copy));
byId("detail-close").addEventListener("click", closeDetail);
addEventListener("keydown", (event) => { if (event.key === "Escape") { byId("tip").hidden = true; if (byId("detail").open) closeDetail(); } });
for (const name of ["pointerover", "focusin"]) document.addEventListener(name, tip);
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  root.dataset.theme = dark ? "light" : "dark";
});
