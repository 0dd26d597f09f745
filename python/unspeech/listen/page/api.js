// Requests to the server, the state that all views share, and messages to the user.

export const element = (id) => document.getElementById(id);
export const state = { revision: 0, undo: false, redo: false, map: false };
const listeners = [];

// onChange(f): f() is called whenever speakers have changed, here or in another window.
export function onChange(listener) {
  listeners.push(listener);
}

async function request(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    say("The server has ended. What the page said was done is kept: start listen.sh again, " +
        "and open the address that it prints.", true);
    throw new Error("no server");
  }
  const type = answer.headers.get("Content-Type") || "";
  if (!answer.ok) {
    const error = type.includes("json") ? (await answer.json()).error : answer.statusText;
    say(error, true);
    if (answer.status === 409) await refresh();
    throw new Error(error);
  }
  return type.includes("json") ? answer.json() : answer.arrayBuffer();
}

export function get(path, values = {}) {
  return request(`api/${path}?${new URLSearchParams(values)}`);
}

export function post(path, content) {
  return request(`api/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(content),
  });
}

export function audioOf(utterance) {
  return `audio?${new URLSearchParams({ utterance })}`;
}

// command(action): correct something, as of the revision that the page shows. Commands that follow
// each other quickly wait for their turn, else the second would count as another window's; what was
// decided before one of them was refused is not done. action may be a function that says what to do
// when its turn comes, or nothing.
let last = Promise.resolve();
let refused = 0;
export function command(action) {
  const before = refused;
  const done = last.then(async () => {
    if (refused !== before) throw new Error("the one before was refused");
    const wanted = typeof action === "function" ? action() : action;
    if (!wanted) return;
    try {
      take(await post("command", { revision: state.revision, ...wanted }));
    } catch (error) {
      refused += 1;
      throw error;
    }
  });
  last = done.catch(() => {});
  return done;
}

export async function refresh() {
  take(await get("state"));
}

function take(now) {
  // Answers may overtake each other: what the state was before a command is no news after it.
  if (state.known && now.revision < state.revision) return;
  const changed = now.revision !== state.revision || !state.known;
  Object.assign(state, now, { known: true });
  const nobody = now.nobody ? `, ${now.nobody.toLocaleString()} of no speaker` : "";
  element("counts").textContent =
    `${now.speakers.toLocaleString()} speakers, ${now.utterances.toLocaleString()} utterances` +
    `${nobody}; corrections: ${now.revision}`;
  element("undo").disabled = !now.undo;
  element("redo").disabled = !now.redo;
  if (changed) for (const listener of listeners) listener();
}

let timer;
export function say(text, bad = false) {
  const message = element("message");
  message.textContent = text;
  message.classList.toggle("bad", bad);
  message.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => { message.hidden = true; }, bad ? 12000 : 4000);
}

// make(tag, values, children): an element; values are properties, text never HTML.
export function make(tag, values = {}, children = []) {
  const made = Object.assign(document.createElement(tag), values);
  made.append(...children);
  return made;
}

// hue(number): a colour for a speaker, the same everywhere; -1 is nobody's.
export function hue(number) {
  if (number < 0) return "hsl(0 0% 55%)";
  return `hsl(${(number * 137.508) % 360} 60% ${42 + (number % 3) * 9}%)`;
}

export function seconds(value) {
  return value === null ? "" : `${value.toFixed(1)} s`;
}
