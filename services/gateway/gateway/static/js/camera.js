// The camera and pictures: opening it, saying in words why not, taking stills, reading files.

import { say } from "./words.js";

const video = document.getElementById("video");
const frame = document.getElementById("camera");
const stateWords = document.getElementById("camera_state");
const helpWords = document.getElementById("camera_help");

const REASONS = { NotAllowedError: "camera_denied", SecurityError: "camera_denied", NotReadableError: "camera_busy", AbortError: "camera_busy" };

// Opens the camera and shows it. True when there is a picture. `help` names the words that say what to do without.
export async function openCamera(help) {
  try {
    if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("", "insecure");
    const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } } });
    stream.getVideoTracks()[0].addEventListener("ended", () => lost("camera_lost", help));
    video.srcObject = stream;
    await video.play();
    frame.classList.remove("none");
    frame.classList.add("on");
    return true;
  } catch (error) {
    lost(error.name === "insecure" ? "camera_insecure" : (REASONS[error.name] ?? "camera_none"), help);
    return false;
  }
}

function lost(reason, help) {
  frame.classList.remove("on");
  frame.classList.add("none");
  stateWords.textContent = say(reason);
  helpWords.textContent = say(help);
  frame.dispatchEvent(new CustomEvent("nocamera"));
}

export const hasPicture = () => frame.classList.contains("on") && video.readyState >= 2 && video.videoWidth > 0;

// A canvas with the video's present frame, at most `longest` pixels on its longer side.
export const still = (longest) => drawn(video, video.videoWidth, video.videoHeight, longest);

// A canvas with the picture of a file, upright. Rejects what the browser cannot read.
export async function fromFile(file, longest) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const canvas = drawn(bitmap, bitmap.width, bitmap.height, longest);
  bitmap.close();
  return canvas;
}

function drawn(source, width, height, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  return canvas;
}

export const asBlob = (canvas, quality = 0.85) => new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
export const asDataUrl = (canvas, quality = 0.92) => canvas.toDataURL("image/jpeg", quality);
