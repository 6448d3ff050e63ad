// Clocking in: frames over a WebSocket when the server asks for them, else one POST a second.

import { keepAwake } from "./awake.js";
import { showBanner, showPunch, punchWords } from "./banner.js";
import { asBlob, asDataUrl, fromFile, hasPicture, openCamera, still } from "./camera.js";
import { startClock } from "./clock.js";
import { drawFaces } from "./overlay.js";
import { addLine, setOutcome } from "./results.js";
import { Socket } from "./socket.js";
import { english, pick, say } from "./words.js";

const LONGEST = 640;
const POST_EVERY_MS = 1000;
const GIVE_UP_AFTER = 2; // failed connections before pictures go by POST; the WebSocket is still tried
const SILENT_MS = 12_000;
const NO_FACE = 222202;
const UNKNOWN = 222207;
const BROKEN = 222203;
const SURE_AFTER = 3; // frames in a row that recognised nobody, before the list says so

const byId = (id) => document.getElementById(id);
const [link, linkWords, prompt, place, upload, frame] = ["link", "link_words", "prompt", "place", "upload", "camera"].map(byId);
const lines = new Map(); // event id → its line, to be told about the punch
let socket = null;
let posting = false;
let wanted = false;
let doubts = 0;

document.body.classList.add("scripted");

// ---- what is shown

function setLink(state, key) {
  link.dataset.state = state;
  linkWords.textContent = say(key);
}

function hint(words) {
  prompt.hidden = !words || !byId("banner").hidden;
  prompt.textContent = words;
}

const gender = (text) => (english ? say(text === "男" ? "man" : "woman") : text);
const details = (person) => [person.class, person.num, gender(person.gender)].join(" · ");
const welcome = (person) => addLine("good", say("success", person), details(person));
const failed = (words, code) => addLine("bad", say("failure", { words, code }));

function showPerson(person, event) {
  showBanner(person, event);
  const line = welcome(person);
  setOutcome(line, "recording", say("recording"));
  lines.set(event, line);
  if (lines.size > 200) lines.delete(lines.keys().next().value);
}

function showSettled(person, event, state, at) {
  showPunch(person, event, state, at);
  if (lines.has(event)) setOutcome(lines.get(event), state, punchWords(state, at));
}

// ---- streaming

function startStream() {
  socket = new Socket("/stream", {
    open: (opened) => opened.send(JSON.stringify({ type: "hello", place: place.value })),
    text: (message) => heard[message.type]?.(message),
    down: (attempts) => {
      wanted = false;
      drawFaces([], 0, 0);
      if (attempts >= GIVE_UP_AFTER) startPosting();
      if (!posting) setLink("off", "link_lost");
    },
    quiet: () => wanted, // the server waits for our picture: its silence means nothing
  }, SILENT_MS);
}

const heard = {
  next() {
    stopPosting();
    setLink("on", "link_stream");
    wanted = true;
    sendFrame();
  },
  result: showResult,
  punch(message) {
    showSettled(message, message.event, message.state, message.state === "repeated" ? message.first_at : message.at);
  },
  error(message) {
    failed(pick(message), message.code);
  },
};

async function sendFrame() {
  if (!wanted) return;
  if (!hasPicture() || document.hidden) return void setTimeout(sendFrame, 250);
  wanted = false;
  socket.send(await asBlob(still(LONGEST)));
}

function showResult(message) {
  drawFaces(message.faces, message.width, message.height);
  const problem = message.problem ?? message.faces.find((face) => face.problems.length)?.problems[0];
  hint(problem ? pick(problem) : message.faces.length ? "" : say("face_camera"));
  const known = message.faces.filter((face) => face.verdict === "identified");
  for (const face of known) if (face.event && !lines.has(face.event)) showPerson(face, face.event);
  doubts = message.faces.length && !known.length ? doubts + 1 : 0;
  if (doubts >= SURE_AFTER) message.faces.forEach(showDoubt);
}

function showDoubt({ verdict, problems }) {
  if (verdict === "unknown") failed(say("unknown"), UNKNOWN);
  if (verdict === "unusable" && problems.length) failed(pick(problems[0]), problems[0].code);
}

// ---- posting

function startPosting() {
  if (posting || !frame.classList.contains("on")) return;
  posting = true;
  setLink("slow", "link_post");
  postAgain();
}

function stopPosting() {
  posting = false;
}

async function postAgain() {
  if (!posting) return;
  const began = Date.now();
  if (hasPicture() && !document.hidden) await post(asDataUrl(still(LONGEST), 0.85));
  setTimeout(postAgain, Math.max(100, POST_EVERY_MS - (Date.now() - began)));
}

async function post(picture) {
  try {
    const response = await fetch("/clockin", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ img_data: picture, place: place.value }),
    });
    showAnswer(await response.json());
    if (posting) setLink("slow", "link_post");
  } catch {
    hint(say("network"));
    if (posting) setLink("off", "link_lost");
  }
}

function showAnswer(answer) {
  if (answer.errno !== 0) {
    hint(answer.errno === NO_FACE ? answer.errmsg : "");
    failed(answer.errmsg, answer.errno);
    return;
  }
  hint("");
  const { state, at } = answer.punch ?? { state: "pending", at: "" };
  lines.set(answer.dict.num, welcome(answer.dict));
  showSettled(answer.dict, answer.dict.num, state, at);
}

// ---- a picture instead of a camera

upload.addEventListener("change", async () => {
  const [file] = upload.files;
  upload.value = "";
  if (!file) return;
  hint(say("uploading"));
  try {
    await post(asDataUrl(await fromFile(file, 1280), 0.9));
  } catch {
    failed(say("picture_unreadable"), BROKEN);
  }
  if (prompt.textContent === say("uploading")) hint("");
});

// ---- the place, remembered on this device

const PLACE_KEY = "rollcall.place";
place.value = new URLSearchParams(location.search).get("place") ?? localStorage.getItem(PLACE_KEY) ?? "";
localStorage.setItem(PLACE_KEY, place.value);
place.addEventListener("change", () => {
  localStorage.setItem(PLACE_KEY, place.value.trim());
  socket?.socket.close(); // the next hello says where we are now
});

frame.addEventListener("nocamera", () => {
  stopPosting();
  hint("");
  setLink("wait", "link_none");
});

startClock();
setLink("wait", "link_wait");
if (await openCamera("camera_help_upload")) {
  keepAwake();
  startStream();
}
