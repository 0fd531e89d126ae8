// Pictures of one scene: a magnifier that moves over all of them together, maps of errors, and films.

// Errors as colours from black over blue and orange to white, for shares of the largest one shown.
const HEAT = [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 164]];
function heat(share) {
  const place = Math.min(1, share) * (HEAT.length - 1), i = Math.min(HEAT.length - 2, Math.floor(place));
  return HEAT[i].map((from, k) => from + (place - i) * (HEAT[i + 1][k] - from));
}

const view = { sheet: null, x: 0.5, y: 0.5, zoom: 1, at: -1, errors: false, timer: 0 };

const loaded = (source) => new Promise((resolve, reject) => {
  const image = new Image();
  image.onload = () => resolve(image);
  image.onerror = reject;
  image.src = source;
});

// The picture of a tile as canvas, at the shown instant (-1: the still, without loss) or as map of its errors.
async function frame(tile) {
  const key = `${view.at} ${view.errors && tile.compared}`;
  tile.frames ??= new Map();
  if (!tile.frames.has(key)) {
    const still = view.at < 0 || !tile.film;
    const image = await loaded(still ? tile.image : tile.film);
    const [width, height] = [image.width, still ? image.height : image.height / view.sheet.film.length];
    const canvas = el("canvas", { width, height }), context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, still ? 0 : view.at * height, width, height, 0, 0, width, height);
    if (view.errors && tile.compared) await paintErrors(canvas, context);
    tile.frames.set(key, canvas);
  }
  return tile.frames.get(key);
}

async function paintErrors(canvas, context) {
  const errors = view.errors;
  view.errors = false;
  const truth = await frame(view.sheet.tiles[0]);
  view.errors = errors;
  const own = context.getImageData(0, 0, canvas.width, canvas.height);
  const other = truth.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const most = Number(byId("scale").value);
  for (let i = 0; i < other.length; i += 4) {
    const [red, green, blue] = heat(Math.abs(own.data[i] - other[i]) / 255 / most);
    own.data.set([red, green, blue], i);
  }
  context.putImageData(own, 0, 0);
}

async function paintTiles() {
  for (const tile of view.sheet.tiles) {
    const source = await frame(tile), canvas = tile.canvas, context = canvas.getContext("2d");
    const [width, height] = [source.width / view.zoom, source.height / view.zoom];
    const left = Math.max(0, Math.min(source.width - width, view.x * source.width - width / 2));
    const top = Math.max(0, Math.min(source.height - height, view.y * source.height - height / 2));
    canvas.width = 2 * Math.max(160, Math.min(400, source.width));
    canvas.height = Math.round((canvas.width * source.height) / source.width);
    context.imageSmoothingEnabled = false;
    context.drawImage(source, left, top, width, height, 0, 0, canvas.width, canvas.height);
  }
  const { film, still } = view.sheet;
  byId("instant-words").textContent = film.length ? (view.at < 0 ? `still (${view.sheet.exact ? "kept without loss" : "compressed again"})` : `instant ${film[view.at]} (film, compressed again)`) : `${view.sheet.exact ? "" : "Compressed again. "}${still}`;
  byId("zoom-words").textContent = `${view.zoom}\u00d7`;
}

function zoom(factor) {
  view.zoom = Math.max(1, Math.min(16, view.zoom * factor));
  paintTiles();
}

function lookAt(event) {
  const place = event.currentTarget.getBoundingClientRect();
  [view.x, view.y] = [(event.clientX - place.left) / place.width, (event.clientY - place.top) / place.height];
  paintTiles();
}

function move(event) {
  const step = 0.1 / view.zoom;
  const [dx, dy] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key] || [];
  if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 2 : 0.5);
  if (dx === undefined) return;
  event.preventDefault();
  view.x = Math.max(0, Math.min(1, view.x + dx));
  view.y = Math.max(0, Math.min(1, view.y + dy));
  paintTiles();
}

function chooseSheet() {
  view.sheet = view.all[Number(byId("scene").value)];
  view.at = -1;
  stop();
  const { tiles, film, truth, title } = view.sheet;
  tiles.forEach((tile, i) => {
    // Spikes are no estimate of the truth, so they have no errors.
    tile.compared = truth && i > 0 && !tile.title.startsWith("spikes") && !tile.title.includes("spikes at");
    tile.canvas = el("canvas", { tabindex: 0, role: "img", "aria-label": `${tile.title} ${tile.words}. Arrow keys move the magnifier of all pictures, plus and minus change it.`, pointermove: (event) => view.zoom > 1 && lookAt(event), click: (event) => { if (view.zoom === 1) { view.zoom = 4; lookAt(event); } else { view.zoom = 1; paintTiles(); } }, keydown: move });
  });
  byId("tiles").replaceChildren(...tiles.map((tile) => el("figure", {}, tile.canvas, el("figcaption", {}, el("b", {}, tile.title), el("br"), tile.words))));
  byId("tiles-title").textContent = title;
  byId("errors").disabled = !truth;
  byId("film").hidden = !film.length;
  byId("instant").max = film.length - 1;
  errorsOnOff();
}

function errorsOnOff() {
  view.errors = byId("errors").checked && !byId("errors").disabled;
  for (const tile of view.sheet.tiles) tile.frames = new Map();
  byId("error-scale").hidden = !view.errors;
  byId("scale-most").textContent = `${(100 * Number(byId("scale").value)).toFixed(0)} % of white and more`;
  byId("scale-bar").style.background = `linear-gradient(to right, ${HEAT.map((colour) => `rgb(${colour})`).join(", ")})`;
  paintTiles();
}

function stop() {
  clearInterval(view.timer);
  view.timer = 0;
  byId("play").textContent = "Play";
}
function play() {
  if (view.timer) { stop(); return; }
  byId("play").textContent = "Stop";
  view.timer = setInterval(() => showInstant((view.at + 1) % view.sheet.film.length), 250);
}
function showInstant(at) {
  view.at = at;
  byId("instant").value = at;
  paintTiles();
}

function preparePictures() {
  view.all = JSON.parse(byId("pictures-data").textContent);
  options(byId("scene"), view.all.map((sheet, i) => [i, sheet.title]));
  byId("scene").addEventListener("change", chooseSheet);
  byId("errors").addEventListener("change", errorsOnOff);
  byId("scale").addEventListener("change", errorsOnOff);
  byId("larger").addEventListener("click", () => zoom(2));
  byId("smaller").addEventListener("click", () => zoom(0.5));
  byId("play").addEventListener("click", play);
  byId("instant").addEventListener("input", (event) => { stop(); showInstant(Number(event.target.value)); });
  chooseSheet();
}
