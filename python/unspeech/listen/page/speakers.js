// The view of speakers: all of them, and the utterances of one, or what was searched for.

import { command, element, get, hue, make, onChange, say, seconds } from "./api.js";
import { List } from "./list.js";
import { play, playing, toggle } from "./player.js";
import * as selection from "./selection.js";

let speaker = null; // the one that is shown
let naming = null; // the one whose name is being typed, whatever is shown by then
let query = "";
let speakers, utterances;

function fillSpeaker(row, item) {
  row.style.setProperty("--hue", hue(item.colour));
  const title = make("span", { className: "title", textContent: item.name || item.id });
  if (item.name) title.append(make("small", { textContent: item.id }));
  row.append(
    make("span", { className: "dot" }), title,
    item.locked ? make("small", { textContent: "locked" }) : "",
    make("span", { className: "number", textContent: item.size.toLocaleString() }),
    make("meter", { value: item.probability, max: 1, title: `mean probability ${item.probability}` }),
  );
}

function fillUtterance(row, item) {
  row.style.setProperty("--hue", hue(item.colour));
  const title = make("span", { className: "title", textContent: item.text || item.utterance });
  title.append(make("small", { textContent: item.text ? item.utterance : "" }));
  const button = make("button", { className: "play", textContent: "▶", tabIndex: -1 });
  button.setAttribute("aria-label", `Play ${item.utterance}`);
  button.onclick = (event) => {
    event.stopPropagation();
    play([item.utterance]);
  };
  row.append(
    make("input", { type: "checkbox", tabIndex: -1, ariaLabel: "select",
      checked: utterances.chosen.has(item.utterance) }),
    button, title,
    query ? make("span", { className: "number", textContent: item.title || "no speaker" }) : "",
    make("span", { className: "number", textContent: seconds(item.seconds) }),
    make("meter", { value: item.probability, max: 1, title: `probability ${item.probability}` }),
  );
}

function showHead() {
  element("speaker-head").hidden = !speaker || Boolean(query);
  element("found-title").hidden = !query;
  if (!speaker) return;
  if (!naming) element("name").value = speaker.name;
  element("speaker-size").textContent = `${speaker.id}, ${speaker.size} utterances`;
  element("lock").setAttribute("aria-pressed", speaker.locked);
  element("lock").textContent = speaker.locked ? "Locked" : "Lock";
  const others = [...speakers.chosen.keys()].filter((id) => id !== speaker.id);
  element("merge").disabled = !others.length;
  element("merge").textContent = others.length ? `Merge with ${others.length} selected` : "Merge";
}

async function pick(item) {
  if (!speaker || item.id !== speaker.id) {
    element("splitter").hidden = true;
    selection.clear();
  }
  speaker = item;
  query = "";
  showHead();
  await utterances.reload(0);
}

async function fetchUtterances(offset, limit) {
  if (query) {
    const words = query;
    const found = await get("search", { query: words, offset, limit });
    if (query === words) {
      element("found-title").textContent =
        `${found.total.toLocaleString()} utterances with “${words}”`;
    }
    return found;
  }
  if (!speaker) return { total: 0, items: [] };
  const order = element("utterance-order").value;
  const { id } = speaker;
  const found = await get("utterances", { speaker: id, order, offset, limit });
  // Another one may have been picked meanwhile, which keys then mean.
  if (speaker && speaker.id === id) {
    speaker = found.speaker;
    showHead();
  }
  return found;
}

async function merge() {
  if (!speaker || element("merge").disabled) return;
  const ids = [speaker.id, ...[...speakers.chosen.keys()].filter((id) => id !== speaker.id)];
  try {
    await command({ action: "merge", speakers: ids });
    speakers.clear();
    say(`${ids.length} speakers are one now; U takes it back`);
  } catch {
    // what went wrong has been said
  }
}

async function preview() {
  const { id, size } = speaker;
  element("parts").max = Math.max(2, Math.min(20, size));
  const parts = Number(element("parts").value);
  element("parts-value").textContent = parts;
  const found = await get("split", { speaker: id, parts }).catch(() => null);
  if (!found || !speaker || speaker.id !== id || Number(element("parts").value) !== parts) return;
  element("preview").replaceChildren(...found.parts.map((part, number) => make("div", {}, [
    make("strong", { textContent: `${number + 1}: ${part.size} utterances` }),
    ...part.items.map((item) => make("button", {
      textContent: `▶ ${item.text || item.utterance}`, onclick: () => play([item.utterance]),
    })),
  ])));
}

function openSplitter() {
  if (!speaker) return;
  element("splitter").hidden = !element("splitter").hidden;
  element("split").setAttribute("aria-expanded", !element("splitter").hidden);
  if (!element("splitter").hidden) {
    element("parts").focus();
    preview();
  }
}

async function split() {
  const parts = Number(element("parts").value);
  element("splitter").hidden = true;
  await command({ action: "split", speaker: speaker.id, parts })
    .then(() => say(`${parts} speakers out of one; U takes it back`), () => {});
}

const lock = () => speaker &&
  command({ action: "lock", speaker: speaker.id, locked: !speaker.locked }).catch(() => {});

async function rename() {
  const name = element("name").value;
  if (!naming || name.trim() === naming.name) return;
  await command({ action: "name", speaker: naming.id, name }).then(() => say("Named"), showHead);
}

// Speakers that were selected and are not there any more, or are others by now, as an id that was
// undone is given again: nobody sees that they are selected, and "merge" would mean them.
async function forget() {
  const ids = [...speakers.chosen.keys()].slice(0, 199);
  if (speaker) ids.push(speaker.id);
  if (!ids.length) return;
  const found = await get("speakers", { ids, limit: 200 }).catch(() => null);
  if (!found) return;
  const there = new Map(found.items.map((item) => [item.id, item]));
  for (const id of ids) {
    const chosen = speakers.chosen.get(id);
    if (chosen && there.get(id)?.first !== chosen.first) speakers.chosen.delete(id);
  }
  if (speaker && ids.includes(speaker.id) && !there.has(speaker.id)) speaker = null;
  speakers.draw();
  showHead();
}

export function clear() {
  if (speakers.chosen.size) speakers.clear();
}

export function key(event) {
  const shown = speaker && !query; // what is not seen is not changed
  if (!shown && ["m", "s", "l", "e"].includes(event.key.toLowerCase())) return false;
  const inUtterances = document.activeElement === element("utterance-list");
  const item = utterances.current();
  const does = {
    m: merge, s: openSplitter, l: lock, e: () => element("name").focus(),
    "/": () => element("find").focus(),
    " ": () => (playing() === null && item ? play([item.utterance]) : toggle()),
    enter: () => (inUtterances ? item && play([item.utterance])
      : element("utterance-list").focus()),
  }[event.key.toLowerCase()];
  if (!does) return false;
  does();
  return true;
}

export function show() {
  speakers.draw();
  utterances.draw();
  element("speaker-list").focus();
}

export function start() {
  speakers = new List(element("speaker-list"), {
    fetchPage: (offset, limit) => get("speakers", { order: element("order").value, offset, limit,
      query: element("find").value.trim() }),
    fill: fillSpeaker, key: (item) => item.id, picked: pick, chosen: showHead,
  });
  utterances = new List(element("utterance-list"), {
    fetchPage: fetchUtterances, fill: fillUtterance, key: (item) => item.utterance,
    chosen: (chosen) => selection.select([...chosen.keys()], undefined, () => {
      if (utterances.chosen.size) utterances.clear();
    }),
  });
  element("order").onchange = () => speakers.reload(0);
  element("utterance-order").onchange = () => utterances.reload(0);
  element("merge").onclick = merge;
  element("split").onclick = openSplitter;
  element("do-split").onclick = split;
  element("parts").oninput = preview;
  element("lock").onclick = lock;
  element("name").oninput = () => { naming = naming || speaker; };
  element("name").onchange = rename;
  element("name").onblur = () => {
    naming = null;
    showHead();
  };
  element("name").addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.target.blur();
    if (event.key === "Escape") {
      event.target.value = naming ? naming.name : speaker.name;
      event.target.blur();
    }
  });
  let timer;
  element("find").oninput = () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      query = "";
      await speakers.reload(0);
      // What is no speaker's name is looked for among the utterances.
      query = element("find").value.trim();
      showHead();
      await utterances.reload(0);
      if (!query && speakers.current()) pick(speakers.current());
    }, 150);
  };
  onChange(async () => {
    await speakers.reload();
    await forget();
    if (!speaker && !query && speakers.current()) return pick(speakers.current());
    await utterances.reload();
    if (element("splitter").hidden || !speaker) return;
    if (speaker.size > 1) preview();
    else element("splitter").hidden = true;
  });
}
