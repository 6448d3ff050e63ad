// Boxes and names over the video, which is shown mirrored and cropped to fill its frame.

import { initial, say } from "./words.js";

const COLOURS = { identified: "#5fe0a2", pending: "#f0d58a", unknown: "#f4f1e4", unusable: "#f4f1e4" };
const canvas = document.getElementById("overlay");

export function drawFaces(faces, width, height) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * scale;
  canvas.height = canvas.clientHeight * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  if (width && height) for (const face of faces) drawFace(pen, face, placed(face.box, width, height));
}

// From pixels of the sent frame to pixels of the screen: object-fit cover, then the mirror.
function placed([left, top, wide, high], width, height) {
  const zoom = Math.max(canvas.clientWidth / width, canvas.clientHeight / height);
  const [offX, offY] = [(canvas.clientWidth - width * zoom) / 2, (canvas.clientHeight - height * zoom) / 2];
  const x = canvas.clientWidth - (offX + (left + wide) * zoom);
  return { x, y: offY + top * zoom, wide: wide * zoom, high: high * zoom };
}

function drawFace(pen, face, at) {
  pen.strokeStyle = COLOURS[face.verdict] ?? COLOURS.unknown;
  pen.lineWidth = face.verdict === "identified" ? 4 : 2.5;
  pen.beginPath();
  pen.roundRect(at.x, at.y, at.wide, at.high, Math.min(18, at.wide / 6));
  pen.stroke();
  label(pen, labelOf(face), at, pen.strokeStyle);
}

function labelOf(face) {
  if (face.verdict === "identified") return face.name ?? initial("");
  return face.verdict === "pending" ? say("pending") : face.verdict === "unknown" ? say("stranger") : "";
}

function label(pen, text, at, colour) {
  if (!text) return;
  const size = Math.max(16, Math.min(30, at.wide / 7));
  pen.font = `600 ${size}px ${getComputedStyle(document.body).fontFamily}`;
  const wide = pen.measureText(text).width + size;
  const y = at.y - size * 1.9 > 4 ? at.y - size * 1.9 : at.y + at.high + size * 0.3;
  const x = Math.max(4, Math.min(canvas.clientWidth - wide - 4, at.x));
  pen.fillStyle = colour;
  pen.beginPath();
  pen.roundRect(x, y, wide, size * 1.6, size * 0.8);
  pen.fill();
  pen.fillStyle = "#10211b";
  pen.fillText(text, x + size / 2, y + size * 1.15);
}
