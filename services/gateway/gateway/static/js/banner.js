// The big name of whoever clocked in last. "Recorded" is said only when the server said so.

import { initial, minuteOf, say } from "./words.js";

const SHOWN_MS = 12_000;
const banner = document.getElementById("banner");
const parts = ["avatar", "name", "class", "state"].map((part) => document.getElementById(`banner_${part}`));
let hide = 0;
let shown = "";

export function showBanner(person, key) {
  const [avatar, name, group] = parts;
  avatar.textContent = initial(person.name);
  name.textContent = person.name;
  group.textContent = `${person.class} · ${person.num}`;
  shown = key;
  setState("recording", say("recording"));
}

// A punch message for the person on the banner, or for somebody who is gone from it again.
export function showPunch(person, key, state, at) {
  if (shown !== key) showBanner(person, key);
  setState(state, punchWords(state, at));
}

export const punchWords = (state, at) => (state === "pending" ? say("wait_record") : say(state, { time: minuteOf(at) }));

function setState(state, words) {
  banner.dataset.state = state;
  parts[3].textContent = words;
  banner.hidden = false;
  clearTimeout(hide);
  hide = setTimeout(() => {
    banner.hidden = true;
    shown = "";
  }, SHOWN_MS);
}
