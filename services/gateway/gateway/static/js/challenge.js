// One attempt at a challenge: the server asks and judges, this page sends pictures and shows what is asked.

import { asBlob, hasPicture, still } from "./camera.js";
import { pick, say } from "./words.js";

const LONGEST = 800;
const SILENT_MS = 15_000; // the server answers every picture; this long without a word is a dead network
const byId = (id) => document.getElementById(id);
const [ask, words, more, progress] = ["ask", "ask_words", "ask_more", "ask_progress"].map(byId);

// Resolves with { picture, proof }, or with null when it failed; the reason stays on the screen.
export function attempt() {
  return new Promise((done) => {
    const at = new URL("/stream", location.href);
    at.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(at);
    let won = null;
    let said = false;
    let watch = 0;

    const listen = () => {
      clearTimeout(watch);
      watch = setTimeout(() => socket.close(), SILENT_MS);
    };

    const heard = {
      next: () => sendFrame(socket),
      challenge(message) {
        show(message.step, pick(message), message.problem ? pick(message.problem) : "", message.done, message.of);
        said = !["waiting", "acting"].includes(message.step);
        if (message.proof) won = { picture: message.picture, proof: message.proof };
      },
      error(message) {
        said = true;
        show("failed", pick(message), "", 0, 1);
      },
    };

    show("waiting", say("ask_begin"), "", 0, 1);
    listen();
    socket.addEventListener("open", () => socket.send(JSON.stringify({ type: "hello", want: "challenge" })));
    socket.addEventListener("message", (event) => {
      listen();
      const message = JSON.parse(event.data);
      heard[message.type]?.(message);
    });
    socket.addEventListener("close", () => {
      clearTimeout(watch);
      if (won) ask.hidden = true;
      else if (!said) show("failed", say("network"), "", 0, 1);
      done(won);
    });
  });
}

async function sendFrame(socket) {
  if (socket.readyState !== WebSocket.OPEN) return;
  if (!hasPicture() || document.hidden) return void setTimeout(() => sendFrame(socket), 250);
  const picture = await asBlob(still(LONGEST), 0.92);
  if (socket.readyState === WebSocket.OPEN) socket.send(picture);
}

function show(state, sentence, problem, done, of) {
  ask.hidden = false;
  ask.dataset.state = state;
  if (words.textContent !== sentence) words.textContent = sentence; // a screen reader repeats what is set again
  more.textContent = problem;
  progress.max = of;
  progress.value = done;
}
