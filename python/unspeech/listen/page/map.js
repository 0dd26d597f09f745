// The map: a canvas with a sample of the utterances in view, more as it is zoomed into.

import { element, get, hue, onChange, post, refresh, state } from "./api.js";
import { play } from "./player.js";
import * as selection from "./selection.js";

const canvas = element("canvas");
const pen = canvas.getContext("2d");
const POINTS = 8000;
const view = { x: 0, y: 0, size: 0 }; // of the map, which goes from 0 to 1
let points = null; // { places, numbers, labels }
let lasso = null;
let chosen = new Set();
let over = -1;

const shown = () => !element("map").hidden;
const scale = () => Math.min(canvas.clientWidth, canvas.clientHeight) / view.size;

let wanted = 0;
async function load() {
  if (!shown() || !view.size) return;
  if (!state.map) {
    element("map-info").textContent = "The map is being drawn; for some thousand utterances it " +
      "takes half a minute, once.";
    setTimeout(() => refresh().then(load), 1500);
    return;
  }
  const turn = ++wanted;
  const right = view.x + canvas.clientWidth / scale();
  const bottom = view.y + canvas.clientHeight / scale();
  const content = await get("map", { left: view.x, top: view.y, right, bottom, most: POINTS })
    .catch(() => null);
  if (!(content instanceof ArrayBuffer) || turn !== wanted) return;
  const count = content.byteLength / 16;
  points = {
    places: new Float32Array(content, 0, 2 * count),
    numbers: new Int32Array(content, 8 * count, count),
    labels: new Int32Array(content, 12 * count, count),
  };
  element("map-info").textContent = count < POINTS ? `${count.toLocaleString()} utterances`
    : `${count.toLocaleString()} of the utterances here; zoom in to see all`;
  draw();
}

function draw() {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  pen.scale(ratio, ratio);
  if (!points) return;
  const { places, labels, numbers } = points;
  const radius = Math.max(2, Math.min(7, 160 / Math.sqrt(labels.length)));
  for (let i = 0; i < labels.length; i++) {
    const [x, y] = onScreen(places[2 * i], places[2 * i + 1]);
    pen.fillStyle = hue(labels[i]);
    pen.beginPath();
    pen.arc(x, y, i === over ? radius + 3 : radius, 0, 7);
    pen.fill();
    if (chosen.has(numbers[i])) {
      pen.strokeStyle = getComputedStyle(canvas).color;
      pen.lineWidth = 2;
      pen.stroke();
    }
  }
  if (lasso) {
    pen.strokeStyle = getComputedStyle(canvas).color;
    pen.setLineDash([6, 4]);
    pen.beginPath();
    for (const [x, y] of lasso) pen.lineTo(...onScreen(x, y));
    pen.closePath();
    pen.stroke();
    pen.setLineDash([]);
  }
}

const onScreen = (x, y) => [(x - view.x) * scale(), (y - view.y) * scale()];
const onMap = (event) => {
  const box = canvas.getBoundingClientRect();
  return [view.x + (event.clientX - box.left) / scale(), view.y + (event.clientY - box.top) / scale()];
};

function nearest([x, y]) {
  let best = -1;
  let least = (12 / scale()) ** 2;
  if (!points) return best;
  for (let i = 0; i < points.labels.length; i++) {
    const away = (points.places[2 * i] - x) ** 2 + (points.places[2 * i + 1] - y) ** 2;
    if (away < least) [best, least] = [i, away];
  }
  return best;
}

let loading;
function moved() {
  draw();
  clearTimeout(loading);
  loading = setTimeout(load, 80);
}

const middle = () => [view.x + canvas.clientWidth / scale() / 2,
  view.y + canvas.clientHeight / scale() / 2];

function zoom(factor, [x, y] = middle()) {
  const size = Math.min(1.6, Math.max(1e-4, view.size * factor));
  view.x = x - (x - view.x) * (size / view.size);
  view.y = y - (y - view.y) * (size / view.size);
  view.size = size;
  moved();
}

async function closeLasso() {
  const polygon = lasso;
  lasso = null;
  if (polygon.length < 3) return draw();
  const found = await post("lasso", { polygon }).catch(() => null);
  if (!found) return draw();
  chosen = new Set();
  selection.select(found.utterances, found.total, () => { chosen.clear(); draw(); });
  // A point is in the selection if it is in the polygon: numbers of what is seen are enough.
  points.numbers.forEach((number, i) => {
    if (inside(polygon, points.places[2 * i], points.places[2 * i + 1])) chosen.add(number);
  });
  draw();
}

function inside(polygon, x, y) {
  let odd = false;
  polygon.forEach(([x1, y1], i) => {
    const [x2, y2] = polygon[(i + 1) % polygon.length];
    if ((y1 > y) !== (y2 > y) && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) odd = !odd;
  });
  return odd;
}

export function key(event) {
  const step = view.size / 8;
  const does = {
    "+": () => zoom(0.7), "-": () => zoom(1.4), 0: whole,
    arrowleft: () => { view.x -= step; moved(); }, arrowright: () => { view.x += step; moved(); },
    arrowup: () => { view.y -= step; moved(); }, arrowdown: () => { view.y += step; moved(); },
  }[event.key.toLowerCase()];
  if (!does) return false;
  does();
  return true;
}

function whole() {
  view.size = 1.06;
  view.x = 0.5 - canvas.clientWidth / scale() / 2;
  view.y = 0.5 - canvas.clientHeight / scale() / 2;
  moved();
}

export function show() {
  canvas.focus();
  if (view.size) load();
  else whole();
}

export function start() {
  let drag = null;
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, onMap(event));
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    drag = { x: event.clientX, y: event.clientY, far: false };
    if (event.shiftKey || element("lasso").getAttribute("aria-pressed") === "true") {
      lasso = [onMap(event)];
    }
  });
  canvas.addEventListener("pointermove", async (event) => {
    if (lasso) {
      lasso.push(onMap(event));
      draw();
    } else if (drag) {
      const [right, down] = [event.clientX - drag.x, event.clientY - drag.y];
      if (!drag.far && Math.hypot(right, down) < 4) return;
      drag = { x: event.clientX, y: event.clientY, far: true };
      view.x -= right / scale();
      view.y -= down / scale();
      moved();
    } else {
      const now = nearest(onMap(event));
      if (now === over) return;
      over = now;
      draw();
      if (now < 0) return;
      const found = await get("utterance", { number: points.numbers[now] }).catch(() => null);
      if (found && over === now) {
        element("map-info").textContent =
          `${found.title || "no speaker"} · ${found.utterance} · ${found.text}`;
      }
    }
  });
  canvas.addEventListener("pointerup", async (event) => {
    if (lasso) closeLasso();
    else if (drag && !drag.far) {
      const hit = nearest(onMap(event));
      if (hit >= 0) {
        const found = await get("utterance", { number: points.numbers[hit] }).catch(() => null);
        if (found) {
          play([found.utterance]);
          chosen = new Set([points.numbers[hit]]);
          selection.select([found.utterance], 1, () => { chosen.clear(); draw(); });
          draw();
        }
      }
    }
    drag = null;
  });
  element("lasso").onclick = () => {
    const now = element("lasso").getAttribute("aria-pressed") !== "true";
    element("lasso").setAttribute("aria-pressed", now);
    canvas.classList.toggle("drawing", now);
  };
  element("whole").onclick = whole;
  new ResizeObserver(() => { if (shown() && view.size) moved(); }).observe(canvas);
  onChange(load);
}
