// The view of questions: two utterances, and whether one speaker said both.

import { command, element, get, hue, make, onChange, say, seconds, state } from "./api.js";
import { play, prepare, stop } from "./player.js";

let question = null;
let revision = 0; // of the corrections that the question is about
let waiting = false; // whether questions are on their way
let outdated = false; // whether something has changed since they were asked for
let answered = 0;
const skipped = new Set();

export async function ask() {
  outdated = true;
  if (waiting) return;
  waiting = true;
  let found;
  do {
    outdated = false;
    found = await get("questions", { count: 2, without: [...skipped].join(",") }).catch(() => null);
  } while (outdated);
  waiting = false;
  if (!found) return;
  revision = found.revision;
  const [first, second] = found.items;
  if (question && first && first.key === question.key) {
    question = first;
    show(question); // what its answers mean may have changed
    return;
  }
  question = first || null;
  element("question").classList.remove("done");
  element("question").hidden = !question;
  element("no-question").hidden = Boolean(question);
  element("no-question").textContent =
    "Nothing is left that is worth asking. The lists of speakers and the map have everything.";
  if (!question) return;
  show(question);
  if (!element("questions").hidden && element("autoplay").checked) hear();
  if (second) {
    prepare(second.a.utterance);
    prepare(second.b.utterance);
  }
}

function show(asked) {
  const part = asked.within && asked.part < asked.sizes[0];
  element("asked").textContent =
    part && asked.part === 1 ? "Does the first one belong with the second?"
      : "Did one speaker say both?";
  element("worth").textContent =
    `An answer puts about ${Math.round(asked.worth).toLocaleString()} pairs of utterances right`;
  voice("a", asked.a, asked.within ? `one of ${asked.part} that may be somebody else` :
    `speaker of ${asked.sizes[0]}`);
  voice("b", asked.b, asked.within ? `the other ${asked.sizes[0] - asked.part} of the speaker` :
    `speaker of ${asked.sizes[1]}`);
  const utterances = (count) => `${count} utterance${count === 1 ? "" : "s"}`;
  if (asked.within) {
    element("if-same").textContent = "all stay together";
    element("if-different").textContent =
      `${utterances(asked.part)} ${asked.to ? `go to ${asked.to}` : "become a new speaker"}`;
  } else {
    element("if-same").textContent = asked.joins ? "the two are joined"
      : `${utterances(asked.part)} join ${asked.b.title}`;
    element("if-different").textContent = "they stay apart";
  }
}

function voice(which, utterance, whose) {
  const number = which === "a" ? 1 : 2;
  const box = element(`voice-${which}`);
  box.style.setProperty("--hue", hue(utterance.colour));
  const button = make("button", { className: "play", onclick: () => hear([which]) }, [
    make("kbd", { textContent: number }), ` Hear ${number === 1 ? "the first" : "the second"}`,
    utterance.seconds === null ? "" : ` (${seconds(utterance.seconds)})`,
  ]);
  box.replaceChildren(
    make("span", { className: "whose", textContent: `${utterance.title}: ${whose}` }),
    button,
    make("blockquote", { textContent: utterance.text }),
    make("span", { className: "id", textContent: utterance.utterance }),
    make("button", {
      className: "noise", textContent: "This is no speaker", title: "Noise, music, or several people",
      onclick: () => answer(`no-speaker-${which}`),
    }),
  );
}

export function hear(which = ["a", "b"]) {
  if (!question) return;
  const names = which.map((one) => question[one].utterance);
  play(names, (utterance) => {
    for (const one of ["a", "b"]) {
      element(`voice-${one}`).classList.toggle(
        "playing", question !== null && utterance === question[one].utterance);
    }
  });
}

let busy = false;
export async function answer(said) {
  if (!question || busy) return;
  busy = true;
  const { key } = question;
  stop();
  try {
    // As of what the page has shown: the same pair may mean something else by now.
    await command({ action: "answer", key, answer: said, revision });
    question = null; // keys are no answers to the next one before it is there
    element("question").classList.add("done");
    answered += 1;
    element("answered").textContent = `${answered} answered in this window`;
  } catch {
    ask(); // what went wrong has been said
  } finally {
    busy = false;
  }
}

export function skip() {
  if (!question) return;
  skipped.add(question.key);
  question = null;
  say("Skipped; it is not asked again in this window.");
  ask();
}

export function key(event) {
  const does = {
    1: () => hear(["a"]), 2: () => hear(["b"]), " ": () => hear(), y: () => answer("same"),
    n: () => answer("different"), k: skip,
  }[event.key.toLowerCase()];
  if (!does) return false;
  does();
  return true;
}

export function start() {
  element("same").onclick = () => answer("same");
  element("different").onclick = () => answer("different");
  element("skip").onclick = skip;
  onChange(() => { if (state.known) ask(); });
}
