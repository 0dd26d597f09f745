// Utterances that are selected, in a list or on the map, and what can be done with them.

import { command, element, get, make, say } from "./api.js";

let chosen = [];
let forget = () => {};

// select(utterances, total, cleared): names; total, if there are more than can be named; cleared()
// is called when they are not selected any more.
export function select(utterances, total = utterances.length, cleared = () => {}) {
  chosen = utterances;
  forget = cleared;
  element("selection").hidden = !chosen.length;
  element("selected").textContent =
    `${chosen.length.toLocaleString()} utterance${chosen.length === 1 ? "" : "s"}` +
    (total > chosen.length ? ` of ${total.toLocaleString()}` : "");
}

export function clear() {
  const last = forget;
  select([]);
  last();
}

export function selected() {
  return chosen;
}

async function does(action, done) {
  const count = chosen.length;
  try {
    await command({ ...action, utterances: chosen });
    say(`${count.toLocaleString()} ${done}`);
    clear();
  } catch {
    // what went wrong has been said
  }
}

// A speaker by what was typed: its id, or the only one of that name.
async function speaker(text) {
  const found = await get("speakers", { query: text, limit: 50 });
  const exact = found.items.filter((item) => item.id === text || item.name === text);
  if (exact.length === 1) return exact[0].id;
  if (found.items.length === 1) return found.items[0].id;
  say(exact.length ? `Several speakers are called ${text}: type the id` : `No speaker ${text}`, true);
  return null;
}

export function start() {
  element("move").onclick = async () => {
    const target = element("target").value.trim();
    if (!target) return say("Type the speaker to move them to", true);
    const to = await speaker(target);
    if (to !== null) does({ action: "move", to }, `moved to ${target}`);
  };
  element("move-new").onclick = () => does({ action: "move", to: null }, "are a new speaker");
  element("nobody").onclick = () => does({ action: "no-speaker" }, "are of no speaker");
  element("clear").onclick = clear;
  element("target").addEventListener("input", async (event) => {
    const found = await get("speakers", { query: event.target.value, limit: 12 });
    element("targets").replaceChildren(...found.items.map((item) =>
      make("option", { value: item.id, label: item.name || `${item.size} utterances` })));
  });
  element("target").addEventListener("keydown", (event) => {
    if (event.key === "Enter") element("move").click();
  });
}
