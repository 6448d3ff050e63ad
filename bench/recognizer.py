"""Milliseconds for each step of recognising a face on one core, beside two others on the same frames in the same run.

"Full pass" adds occlusion and passive liveness; "its networks alone" is the floor under it.

    python -m bench.recognizer [--rounds 20] [--core 0]

`face_recognition` (dlib) is measured if it is installed: bench/README.md says how.
"""

import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import Protocol

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from shared.sample_faces import load
from shared.vision.engine import EngineSettings, FaceEngine, Fields
from shared.vision.picture import decode
from shared.vision.runtime import Network, Pixels, best_precision
from shared.vision.weights import Weights

GALLERY = 10_000
STAGES = ("decode", "detect", "points", "align", "quality", "embed", "liveness", "search")
FULL = Fields.OCCLUSION | Fields.LIVENESS
Timings = dict[str, float]
Heard = tuple[str, Network, Pixels]

# Of the processor, not of the wall: on a pinned core other work then counts only for the memory it pushes out.
clock = time.process_time


class Stopwatch:
    """Seconds by stage of one frame."""

    def __init__(self) -> None:
        self.seconds: Timings = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = clock()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + clock() - start


class Listener:
    """Which network got which pictures in which stage of one pass."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        plain = Network.__call__

        def overheard(network: Network, pictures: Pixels) -> dict[str, NDArray[np.float32]]:
            self.heard.append((stage, network, pictures.copy()))
            return plain(network, pictures)

        Network.__call__ = overheard  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            Network.__call__ = plain  # type: ignore[method-assign]


class Candidate(Protocol):
    """Somebody who recognises the face of a JPEG among GALLERY people."""

    name: str

    def recognise(self, jpeg: bytes, watch: Stopwatch) -> bool:
        """True if a face was found."""


def gallery(dimensions: int) -> NDArray[np.float32]:
    """Random unit vectors: a search takes as long whoever is in it."""
    vectors = np.random.default_rng(1).normal(size=(GALLERY, dimensions)).astype(np.float32)
    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


class Rollcall:
    """What the recognizer does, with its default settings. It also judges the quality, which the others do not."""

    def __init__(self, engine: FaceEngine, name: str = "Rollcall", fields: Fields = Fields.NONE) -> None:
        self.name = name
        self._engine, self._fields = engine, fields
        self._people = gallery(128)

    def recognise(self, jpeg: bytes, watch: Stopwatch | Listener) -> bool:
        with watch("decode"):
            picture = decode(jpeg)
        faces = self._engine.analyze(picture, max_faces=1, fields=self._fields, watch=watch)
        with watch("search"):
            best = [int((self._people @ face.embedding).argmax()) for face in faces if face.embedding is not None]
        return bool(best)


class NetworksAlone:
    """The networks of a full pass on the pictures that they got in it, and nothing else."""

    def __init__(self, full: Rollcall) -> None:
        self.name = "its networks alone"
        self._full = full
        self._heard: dict[bytes, list[Heard]] = {}

    def recognise(self, jpeg: bytes, watch: Stopwatch) -> bool:
        if jpeg not in self._heard:  # in the first round, which is not counted
            listener = Listener()
            self._full.recognise(jpeg, listener)
            self._heard[jpeg] = listener.heard
        for stage, network, pictures in self._heard[jpeg]:
            with watch(stage):
                network(pictures)
        return bool(self._heard[jpeg])


class OpenCv:
    """OpenCV's own face classes with the same weights, at the size of picture that its samples use."""

    def __init__(self) -> None:
        self.name = f"OpenCV {cv2.__version__} FaceDetectorYN + FaceRecognizerSF"
        weights = Weights.load()
        self._detector = cv2.FaceDetectorYN.create(str(weights.find("yunet")), "", (320, 240), 0.6)
        self._recogniser = cv2.FaceRecognizerSF.create(str(weights.find("sface")), "")
        self._people = gallery(128)

    def recognise(self, jpeg: bytes, watch: Stopwatch) -> bool:
        with watch("decode"):
            picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        with watch("detect"):
            small = cv2.resize(picture, (320, 240), interpolation=cv2.INTER_AREA)
            faces = self._detector.detect(small)[1]
        if faces is None:
            return False
        face = faces[0] * np.array([2.0] * 14 + [1.0], np.float32)
        with watch("align"):
            crop = self._recogniser.alignCrop(picture, face)
        with watch("embed"):
            vector = self._recogniser.feature(crop)[0]
        with watch("search"):
            (self._people @ vector).argmax()
        return True


class FaceRecognition:
    """face_recognition as its documentation uses it: dlib's HOG detector, five points, ResNet."""

    def __init__(self) -> None:
        import face_recognition

        self.name = "face_recognition (dlib)"
        self._library = face_recognition
        self._people = gallery(128)

    def recognise(self, jpeg: bytes, watch: Stopwatch) -> bool:
        with watch("decode"):
            picture = self._library.load_image_file(io.BytesIO(jpeg))
        with watch("detect"):
            places = self._library.face_locations(picture)
        with watch("embed"):
            vectors = self._library.face_encodings(picture, places[:1])
        with watch("search"):
            for vector in vectors:
                self._library.face_distance(self._people, vector).argmin()
        return bool(vectors)


def camera_frames(cache: Path) -> list[bytes]:
    """Each sample photo as a camera would send it: 640×480 JPEG, the face about 130–200 pixels high."""
    return [_frame(photo) for photos in load(cache).values() for photo in photos]


def _frame(photo: bytes) -> bytes:
    picture = decode(photo)
    scale = min(480 / picture.shape[0], 640 / picture.shape[1])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    frame = np.full((480, 640, 3), 110, np.uint8)
    left = (640 - small.shape[1]) // 2
    frame[: small.shape[0], left : left + small.shape[1]] = small
    return cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def candidates() -> list[Candidate]:
    """Everybody who is installed."""
    engine = FaceEngine(Weights.load(), EngineSettings())
    full = Rollcall(engine, "Rollcall, full pass", FULL)
    present: list[Candidate] = [Rollcall(engine), full, NetworksAlone(full)]
    for make in (OpenCv, FaceRecognition):
        try:
            present.append(make())
        except ImportError:
            print("face_recognition is not installed, so it is left out: see bench/README.md\n", file=sys.stderr)
    return present


def measure(candidate: Candidate, frames: list[bytes]) -> tuple[list[Timings], int]:
    """Timings of each frame, and in how many a face was found."""
    timings, found = [], 0
    for frame in frames:
        watch = Stopwatch()
        start = clock()
        found += candidate.recognise(frame, watch)
        timings.append(watch.seconds | {"total": clock() - start})
    return timings, found


def fastest(rounds: list[list[Timings]]) -> list[Timings]:
    """Of each frame the fastest round: what the work costs, without what else the machine was doing."""
    return [min(same_frame, key=lambda timing: timing["total"]) for same_frame in zip(*rounds, strict=True)]


def summary(timings: list[Timings]) -> Timings:
    """Milliseconds of the average frame, stage by stage and in total."""
    stages = (*STAGES, "total")
    return {stage: 1000 * mean([timing.get(stage, 0.0) for timing in timings]) for stage in stages}


def markdown(rows: dict[str, Timings], found: dict[str, str]) -> str:
    """The table: ours first, the others with the ratio of their total to ours."""
    lines = ["| | " + " | ".join(STAGES) + " | total ms | frames/s | Rollcall is | faces found |"]
    lines.append("|---" * (len(STAGES) + 5) + "|")
    ours = next(iter(rows.values()))["total"]
    for name, row in rows.items():
        cells = [f"{row[stage]:.2f}" if row[stage] else "–" for stage in STAGES]
        ratio = row["total"] / ours
        cells += [f"**{row['total']:.1f}**", f"{1000 / row['total']:.1f}", f"{ratio:.1f}×", found[name]]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def on_one_core(core: int, module: str) -> None:
    """Pins this process and starts it anew, unless it is pinned already: libraries count the cores when imported.

    Where the system cannot pin, everything runs as it likes.
    """
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {core})
        os.execv(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]])


def run(everybody: list[Candidate], frames: list[bytes], rounds: int) -> str:
    """Round about, so that a busy moment of the machine meets everybody. The first round only warms up."""
    timings: dict[str, list[list[Timings]]] = {candidate.name: [] for candidate in everybody}
    found: dict[str, str] = {}
    for number in range(rounds + 1):
        for candidate in everybody:
            times, count = measure(candidate, frames)
            found[candidate.name] = f"{count} of {len(frames)}"
            timings[candidate.name] += [times] if number else []
    return markdown({name: summary(fastest(rounds)) for name, rounds in timings.items()}, found)


@click.command(help=__doc__)
@click.option("--rounds", default=20, show_default=True)
@click.option("--core", default=0, show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), default=Path(".cache/faces"), show_default=True)
def main(rounds: int, core: int, cache: Path) -> None:
    """Command line."""
    on_one_core(core, "bench.recognizer")
    frames = camera_frames(cache)
    print(f"{len(frames)} frames of 640×480, {rounds} rounds, one core, {best_precision()}, {GALLERY} people\n")
    print(run(candidates(), frames, rounds))


if __name__ == "__main__":
    main()
