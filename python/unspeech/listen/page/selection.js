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

async function does(action, done, utterances = chosen) {
  try {
    await command({ ...action, utterances });
    say(`${utterances.length.toLocaleString()} ${done}`);
    clear();
  } catch {
    // what went wrong has been said
  }
}

// A speaker by what was typed: its id, or the only one of that name. A part of a name is none, as
// nobody would see who was meant.
async function speaker(text) {
  const same = (name) => name.toLowerCase() === text.toLowerCase();
  const lists = await Promise.all([
    get("speakers", { ids: text, limit: 1 }), get("speakers", { query: text, order: "name", limit: 200 }),
  ]);
  const exact = new Map(lists.flatMap((found) => found.items)
    .filter((item) => same(item.id) || same(item.name)).map((item) => [item.id, item]));
  if (exact.size === 1) return [...exact.keys()][0];
  say(exact.size ? `Several speakers are called ${text}: type the id` : `No speaker ${text}`, true);
  return null;
}

export function start() {
  element("move").onclick = async () => {
    const target = element("target").value.trim();
    if (!target) return say("Type the speaker to move them to", true);
    const some = chosen; // as it is now, whatever is selected by the time the speaker is found
    const to = await speaker(target).catch(() => null);
    if (to !== null) does({ action: "move", to }, `moved to ${target}`, some);
  };
  element("move-new").onclick = () => does({ action: "move", to: null }, "are a new speaker");
  element("nobody").onclick = () => does({ action: "no-speaker" }, "are of no speaker");
  element("clear").onclick = clear;
  element("target").addEventListener("input", async (event) => {
    const text = event.target.value;
    const found = await get("speakers", { query: text, limit: 12 }).catch(() => null);
    if (!found || event.target.value !== text) return;
    element("targets").replaceChildren(...found.items.map((item) =>
      make("option", { value: item.id, label: item.name || `${item.size} utterances` })));
  });
  element("target").addEventListener("keydown", (event) => {
    if (event.key === "Enter") element("move").click();
  });
}
