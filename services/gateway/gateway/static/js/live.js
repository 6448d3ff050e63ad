// The wall. A recognised face becomes "clocked in" only when its punch arrives: one line, two states.

import { keepAwake } from "./awake.js";
import { startClock } from "./clock.js";
import { Socket } from "./socket.js";
import { clockOf, initial, minuteOf, pick, say } from "./words.js";

const KEPT = 60;
const SILENT_MS = 40_000;
const byId = (id) => document.getElementById(id);
const [list, waiting, link, linkWords, counts] = ["lines", "waiting", "link", "link_words", "counts"].map(byId);
const rows = new Map(); // event id → its line
const seen = new Set(); // what was shown already, so that a reconnect repeats nothing
const tally = { recorded: counts.dataset.punches === "" ? null : Number(counts.dataset.punches), recognised: 0, strangers: 0 };
let day = counts.dataset.day;
let caughtUp = false;

function setLink(state, key) {
  link.dataset.state = state;
  linkWords.textContent = say(key);
}

// ---- lines

function rowOf(event) {
  const row = rows.get(event) ?? document.createElement("li");
  if (!row.isConnected) {
    row.replaceChildren(part("span", "avatar"), part("div", "who", "strong", "span"), part("div", "when", "time", "span"), part("span", "state"));
    list.prepend(row);
    while (list.childElementCount > KEPT) list.lastElementChild.remove();
  }
  if (event) rows.set(event, row);
  if (rows.size > 500) rows.delete(rows.keys().next().value);
  return row;
}

function part(tag, name, ...inside) {
  const element = document.createElement(tag);
  element.className = name;
  element.append(...inside.map((child) => document.createElement(child)));
  return element;
}

function fill(row, state, item, words) {
  row.dataset.state = state;
  const put = (where, text) => (row.querySelector(where).textContent = text);
  put(".avatar", item.name ? initial(item.name) : "?");
  put(".who strong", item.name || say(state === "unusable" ? "somebody" : "stranger"));
  put(".who span", item.name ? `${item.class} · ${item.num}` : pick({ zh: item.problem ?? "", en: item.problem_en ?? item.problem ?? "" }));
  put(".when time", clockOf(item.at));
  put(".when span", item.place);
  put(".state", words);
}

const shown = {
  result(item) {
    if (item.verdict === "identified") {
      if (rows.has(item.event)) return; // its punch was faster
      fill(rowOf(item.event), "recognised", item, say("state_recognised"));
    } else if (item.verdict === "unknown") {
      fill(rowOf(""), "unknown", item, say("stranger"));
    } else {
      fill(rowOf(""), "unusable", item, say("state_unusable"));
    }
  },
  punch(item) {
    const repeated = item.state === "repeated";
    const place = repeated ? `${item.place} · ${say("first_at", { time: minuteOf(item.first_at) })}` : item.place;
    fill(rowOf(item.event), item.state, { ...item, place }, say(`state_${item.state}`));
  },
};

// ---- counts

function count(item) {
  if (item.at.slice(0, 10) > day) {
    day = item.at.slice(0, 10);
    tally.recorded = 0;
  }
  if (item.type === "punch" && item.state === "recorded" && tally.recorded !== null) tally.recorded += 1;
  if (item.type === "result" && item.verdict === "identified") tally.recognised += 1;
  if (item.type === "result" && item.verdict === "unknown") tally.strangers += 1;
  for (const [name, number] of Object.entries(tally)) byId(`count_${name}`).textContent = number ?? "–";
}

// ---- the feed

const keyOf = (item) => `${item.type}|${item.event || `${item.at}|${item.place}|${item.verdict}`}|${item.state ?? ""}`;

function show(item, isNew) {
  const key = keyOf(item);
  if (seen.has(key)) return;
  seen.add(key);
  if (seen.size > 2000) seen.delete(seen.values().next().value);
  waiting.hidden = true;
  shown[item.type]?.(item);
  if (isNew) count(item);
}

function heard(message) {
  if (message.type === "error") return setLink("off", "live_off"); // turned away: the socket closes next
  setLink("on", "live_on");
  if (message.type === "recent") {
    // What happened before the page opened is in today's number already; what was missed in between is not.
    for (const item of message.items) show(item, caughtUp);
    caughtUp = true;
  } else if (message.type !== "alive") {
    show(message, true);
  }
}

async function down(attempts) {
  setLink("off", "live_off");
  if (attempts % 3 !== 0) return;
  const page = await fetch(location.href, { method: "HEAD" }).catch(() => null);
  if (page && (page.redirected || page.status === 403)) location.reload(); // the login or the ticket has ended
}

const ticket = new URLSearchParams(location.search).get("ticket");
const query = new URLSearchParams({ recent: "1", ...(ticket ? { ticket } : {}) });
setLink("wait", "link_wait");
startClock();
keepAwake();
new Socket(`/feed?${query}`, { open: () => setLink("on", "live_on"), text: heard, down }, SILENT_MS);
