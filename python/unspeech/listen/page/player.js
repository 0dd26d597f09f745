// The one audio element of the page: what plays, and what plays next.

import { audioOf, element, say } from "./api.js";

const audio = element("audio");
let queue = [];
let current = null;
let onStart = () => {};

// play(utterances, started): play some one after the other; started(utterance) at each begin, and
// started(null) at the end.
export function play(utterances, started = () => {}) {
  onStart(null); // what began it learns that it has ended
  queue = [...utterances];
  onStart = started;
  next();
}

export function toggle() {
  if (audio.paused) audio.play().catch(() => {});
  else audio.pause();
}

export function playing() {
  return audio.paused ? null : current;
}

export function stop() {
  queue = [];
  audio.pause();
}

// prepare(utterance): have the browser fetch what is likely to be heard next.
const prepared = new Map();
export function prepare(utterance) {
  if (prepared.has(utterance)) return;
  const ahead = new Audio(audioOf(utterance));
  ahead.preload = "auto";
  prepared.set(utterance, ahead);
  if (prepared.size > 8) prepared.delete(prepared.keys().next().value);
}

function next() {
  current = queue.shift() ?? null;
  onStart(current);
  if (current === null) return;
  element("playing").textContent = current;
  audio.src = audioOf(current);
  audio.play().catch((error) => {
    // A browser plays nothing before the first click or key in a page.
    if (error.name === "NotAllowedError") queue = [];
  });
}

audio.addEventListener("ended", next);
audio.addEventListener("error", async () => {
  const failed = current;
  queue = [];
  const answer = await fetch(audio.src).catch(() => null);
  const text = answer && !answer.ok ? (await answer.json()).error : "cannot be played";
  say(`${failed}: ${text}`, true);
});
