// The page: its views, its keys, and what other windows have changed.

import { command, element, refresh, state } from "./api.js";
import * as map from "./map.js";
import { stop } from "./player.js";
import * as questions from "./questions.js";
import * as selection from "./selection.js";
import * as speakers from "./speakers.js";

const VIEWS = { questions, speakers, map };
let view = "questions";

function open(name) {
  if (view === "questions" && name !== view) stop();
  view = name;
  for (const other of Object.keys(VIEWS)) {
    element(other).hidden = other !== name;
    element(`tab-${other}`).setAttribute("aria-selected", other === name);
    element(`tab-${other}`).tabIndex = other === name ? 0 : -1;
  }
  history.replaceState(null, "", `#${name}`);
  if (VIEWS[name].show) VIEWS[name].show();
}

const undo = () => command(() => state.undo && { action: "undo" }).catch(() => {});
const redo = () => command(() => state.redo && { action: "redo" }).catch(() => {});

document.addEventListener("keydown", (event) => {
  // A key that is held down is one answer, not one to each question that follows.
  if (event.repeat && view !== "map") return;
  const control = event.ctrlKey || event.metaKey;
  if (control && event.key.toLowerCase() === "z") {
    event.preventDefault();
    return event.shiftKey ? redo() : undo();
  }
  const typing = event.target.matches("input:not([type=checkbox]):not([type=range]), select, textarea");
  if (control || event.altKey || typing || element("keys").open) return;
  const onButton = event.target.matches("button, [type=checkbox], audio");
  if (onButton && (event.key === " " || event.key === "Enter")) return;
  const does = {
    q: () => open("questions"), p: () => open("speakers"), a: () => open("map"), u: undo, r: redo,
    "?": () => element("keys").showModal(),
    escape: () => { selection.clear(); speakers.clear(); },
  }[event.key.toLowerCase()];
  if (does) does();
  else if (!VIEWS[view].key(event)) return;
  event.preventDefault();
});

element("undo").onclick = undo;
element("redo").onclick = redo;
element("help").onclick = () => element("keys").showModal();
for (const name of Object.keys(VIEWS)) {
  element(`tab-${name}`).onclick = () => open(name);
  VIEWS[name].start();
}
element("tab-questions").parentElement.addEventListener("keydown", (event) => {
  const names = Object.keys(VIEWS);
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  open(names[(names.indexOf(view) + step + names.length) % names.length]);
  element(`tab-${view}`).focus();
  event.stopPropagation();
});
selection.start();

await refresh();
open(Object.keys(VIEWS).includes(location.hash.slice(1)) ? location.hash.slice(1) : "questions");
setInterval(() => { if (!document.hidden) refresh().catch(() => {}); }, 3000);
