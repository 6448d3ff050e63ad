// The scrolling list of results: newest at the bottom, what repeats stays one line.

import { timeNow } from "./clock.js";
import { say } from "./words.js";

const KEPT = 200;
const OUTCOMES = { recorded: "good", repeated: "warn" };
const COUNT_EVERY_MS = 900;
const list = document.getElementById("show_result");
const empty = document.getElementById("results_empty");

// Adds a line, or counts up the last one when it says the same. Returns its element.
export function addLine(kind, words, more = "") {
  empty.hidden = true;
  const last = list.lastElementChild;
  const same = last && last.dataset.words === words + more;
  const line = same ? counted(last) : fresh(kind, words, more);
  line.querySelector("time").textContent = timeNow();
  list.scrollTop = list.scrollHeight;
  return line;
}

// What became of a recognised face: its punch is recorded, stood already, or is on its way.
export function setOutcome(line, state, words) {
  const pill = line.querySelector(".pill") ?? piece("pill", "");
  pill.className = `pill ${OUTCOMES[state] ?? ""}`;
  pill.textContent = words;
  line.append(pill);
  list.scrollTop = list.scrollHeight;
}

// A stream says the same five times a second; counting once a second is what a reader can follow.
function counted(line) {
  if (Date.now() - line.dataset.at < COUNT_EVERY_MS) return line;
  line.dataset.at = Date.now();
  line.dataset.count = Number(line.dataset.count) + 1;
  line.querySelector(".times").textContent = say("times", { count: line.dataset.count });
  return line;
}

function fresh(kind, words, more) {
  const line = document.createElement("div");
  line.className = `line ${kind}`;
  Object.assign(line.dataset, { words: words + more, count: 1, at: Date.now() });
  line.append(document.createElement("time"), piece("line-words", words), piece("times", ""), piece("line-more", more));
  list.append(line);
  if (list.childElementCount > KEPT) list.firstElementChild.remove();
  return line;
}

function piece(name, text) {
  const span = document.createElement("span");
  span.className = name;
  span.textContent = text;
  return span;
}
