"""Somebody before a camera who does not exist: photos brought to life (train/moved_faces.py)."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.runtime import Pixels
from train.motion_eval import Eyes, seated
from train.moved_faces import Kind, Sitter, film, filmed, posed, wandering

Doubles = NDArray[np.float64]

STEPS = 5
"""pictures from rest to the full motion"""


def sitting(photo: bytes, folder: Path) -> Sitter:
    """Who is on a photo."""
    file = folder / "sitter.jpg"
    file.write_bytes(photo)
    who = seated(file, Eyes())
    assert who is not None
    return who


def jpeg(frame: Pixels) -> bytes:
    return cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def moving(
    who: Sitter, kind: Kind, reach: Sequence[float], seconds: float, per_second: float, seed: int
) -> list[bytes]:
    """JPEGs of a sheet or a head that wanders: yaw, pitch, roll in degrees, right, down, away in eye distances."""
    rng = np.random.default_rng(seed)
    path = wandering(np.array(reach, np.float64), seconds, round(seconds * per_second), rng)
    return [jpeg(frame) for frame in film(who, kind, path, rng)]


NOD = "请点点头"
# The words of the page → the motion that answers them: yaw, pitch (as moved_faces turns them), gape.
ANSWERS = {
    "请向左转头": (-34.0, 0.0, 0.0),
    "请向右转头": (34.0, 0.0, 0.0),
    NOD: (0.0, 20.0, 0.0),
    "请张大嘴巴": (0.0, 0.0, 0.5),
}


def obedient_camera(who: Sitter, rest_yaw: float, answers: dict[str, tuple[float, float, float]]) -> str:
    """A script for a page: its camera shows this head, which reads #ask_words and does what they say. It holds what is
    asked, but nods down and up again for as long as it is asked to."""
    rng = np.random.default_rng(1)

    def picture(yaw: float, pitch: float, gape: float) -> str:
        frame = filmed(posed(who, np.array([rest_yaw + yaw, pitch, 0, 0, 0, 0]), gape), rng)
        return "data:image/jpeg;base64," + base64.b64encode(jpeg(frame)).decode()

    films = {
        words: [picture(*(part * step / (STEPS - 1) for part in motion)) for step in range(STEPS)]
        for words, motion in answers.items()
    }
    return _CAMERA.replace("FILMS", json.dumps(films)).replace("NOD", json.dumps(NOD))


_CAMERA = """
(() => {
  const films = FILMS;
  const loaded = {};
  const image = (src) => Object.assign(new Image(), { src });
  for (const [words, urls] of Object.entries(films)) loaded[words] = urls.map(image);
  const rest = Object.values(loaded)[0][0];
  let doing = "", step = 0, way = 1;
  navigator.mediaDevices.getUserMedia = async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 480, height: 360 });
    const pen = canvas.getContext("2d");
    setInterval(() => {
      const words = document.getElementById("ask_words")?.textContent ?? "";
      const last = loaded[words]?.length - 1;
      if (words === NOD && step === last) way = -1;
      if (words !== NOD || step === 0) way = 1;
      if (last) [doing, step] = [words, Math.min(step + way, last)];
      else step = Math.max(step - 1, 0);
      pen.fillStyle = `rgb(120 120 ${120 + (Date.now() % 3)})`;
      pen.fillRect(0, 0, 480, 360);
      pen.drawImage(doing ? loaded[doing][step] : rest, 60, 0);
    }, 80);
    return canvas.captureStream(12);
  };
})();
"""
