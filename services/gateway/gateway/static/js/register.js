// 拍照, 重拍, or a file: whichever was last becomes img_data. Without this script the form's own file field does it.
// Where the office asks for a challenge, the picture comes from the server, with its proof, once that is passed.

import { asDataUrl, fromFile, hasPicture, openCamera, still } from "./camera.js";
import { attempt } from "./challenge.js";
import { say } from "./words.js";

const LONGEST = 1280;
const byId = (id) => document.getElementById(id);
const [shoot, again, picture, data, file, proof, form, submit, frame] = ["tkpicture", "retkpicture", "picture", "img_data", "photo", "proof", "reg_form", "submit", "camera"].map(byId);
const challenge = "challenge" in form.dataset;

document.body.classList.add("scripted");

function keep(url, mirrored) {
  data.value = picture.src = url;
  picture.classList.toggle("mirrored", mirrored);
  show(true);
}

function show(taken) {
  picture.hidden = again.hidden = !taken;
  shoot.hidden = taken;
  frame.classList.toggle("held", taken);
}

shoot.addEventListener("click", () => {
  if (!hasPicture()) return;
  if (challenge) beChallenged();
  else keep(asDataUrl(still(LONGEST)), true);
});

async function beChallenged() {
  shoot.disabled = true;
  const won = await attempt();
  shoot.disabled = false;
  shoot.lastChild.textContent = say("ask_again");
  if (!won) return;
  proof.value = won.proof;
  keep(won.picture, true);
}

again.addEventListener("click", () => {
  data.value = "";
  (file ?? proof).value = "";
  show(false);
});

file?.addEventListener("change", async () => {
  if (!file.files.length) return;
  try {
    keep(asDataUrl(await fromFile(file.files[0], LONGEST)), false);
    file.value = ""; // the smaller picture goes instead of the file
  } catch {
    // The server may read what this browser cannot, and says so if not.
    byId("photo_hint").textContent = `${say("picture_chosen")} · ${file.files[0].name}`;
    byId("photo_hint").style.position = "static";
  }
});

form.addEventListener("submit", () => {
  submit.disabled = true;
  submit.textContent = say("submitting");
});

// Coming back with the browser's arrow shows the page as it was left, with its button still off.
window.addEventListener("pageshow", (event) => event.persisted && location.reload());

document.querySelector("[role=alert]")?.scrollIntoView({ block: "center" });
if (data.value) keep(data.value, false);
shoot.disabled = !(await openCamera("camera_help_upload"));
