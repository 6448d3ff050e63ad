"""How often the multi-frame check is right: prints the tables of docs/models/liveness.md.

    python -m train.motion_eval FACES [--half test] [--people 150] [--seconds 2] [--seed 11] [--sheets] [--tracks FILE]
    python -m train.motion_eval FACES --nuaa

Each person's first LFW photo and the studio portraits are played as sheets and as heads (train/moved_faces.py), six
frames a second, through detector and mesh. The judge is asked after every frame, as on a stream: a track is LIVE if it
ever says so, else FAKE if it ever says that. People fall into two halves by a hash of their name: limits are chosen on
one (`dev`), figures printed from the other (`test`). `--tracks` keeps the meshes, so that another rule can be tried
without drawing again. `--nuaa` runs windows of ten photos of NUAA's sequences instead.
"""

import argparse
import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.detector import Detector, DetectorSettings
from shared.vision.mesh import Mesh
from shared.vision.motion import FlatnessJudge, Look, look, measure
from shared.vision.runtime import Pixels, RuntimeSettings
from shared.vision.weights import Weights
from train.moved_faces import Kind, Sitter, amplitudes, film, sitter, wandering

Floats = NDArray[np.float32]

PER_SECOND = 6
NUAA_WINDOW, NUAA_STEP, NUAA_SECONDS = 10, 5, 0.2
ANSWERS = ("live", "fake", "not_checked")


class Eyes:
    """Detector and mesh, as the recognizer uses them."""

    def __init__(self) -> None:
        weights, runtime = Weights.load(), RuntimeSettings(precision="f32")
        self.detector = Detector(weights.find("yunet"), runtime, DetectorSettings())
        self.mesh = Mesh(weights.find("face_landmark"), runtime)

    def meshes(self, frames: Iterable[Pixels]) -> Iterator[tuple[int, Floats]]:
        """Number and mesh of each frame in which the face is found; the first face is the one in the middle."""
        before: Floats | None = None
        for number, frame in enumerate(frames):
            found = self.detector(frame)
            if not len(found):
                continue
            middles = found.boxes[:, :2] + found.boxes[:, 2:] / 2
            near = np.array(frame.shape[1::-1]) / 2 if before is None else before
            nearest = int(np.abs(middles - near).sum(axis=1).argmin())
            before = middles[nearest]
            mesh = self.mesh(frame, found.boxes[nearest], found.points[nearest])
            if mesh is not None:
                yield number, mesh


def people(faces: Path, half: str, skip: int, count: int, seed: int) -> list[Path]:
    """One photo of each of this half's people in random order, at most `count` after the first `skip`."""
    firsts = [sorted(folder.glob("*.jpg"))[0] for folder in sorted((faces / "lfw").iterdir()) if folder.is_dir()]
    photos = [*sorted((faces / "studio").rglob("*.jpg")), *firsts]
    wanted = [photo for photo in photos if zlib.crc32(photo.parent.name.encode()) % 2 == (half == "test")]
    order = np.random.default_rng(seed).permutation(len(wanted))
    return [wanted[i] for i in order[skip : skip + count]]


def seated(photo: Path, eyes: Eyes) -> Sitter | None:
    """The face nearest the middle of a photo."""
    picture = np.asarray(cv2.imread(str(photo)), np.uint8)
    found = eyes.detector(picture)
    if not len(found):
        return None
    off = np.abs(found.boxes[:, :2] + found.boxes[:, 2:] / 2 - np.array(picture.shape[1::-1]) / 2).sum(axis=1)
    return sitter(picture, found.boxes[int(off.argmin())], found.points[int(off.argmin())], eyes.mesh)


def tracks(
    photos: Sequence[Path], kinds: Sequence[Kind], eyes: Eyes, seconds: float, seed: int
) -> Iterator[tuple[Kind, Floats, Floats]]:
    """(kind, times, meshes N×468×2) of every person as each of these kinds."""
    for photo in photos:
        rng = np.random.default_rng([seed, zlib.crc32(photo.name.encode())])
        who = seated(photo, eyes)
        for kind in kinds if who else ():
            path = wandering(amplitudes(kind, rng), seconds, round(PER_SECOND * seconds), rng)
            seen = list(eyes.meshes(film(who, kind, path, rng)))
            times = np.array([number / PER_SECOND for number, _ in seen], np.float32)
            yield kind, times, np.array([mesh[:, :2] for _, mesh in seen], np.float32).reshape(-1, 468, 2)


def judged(times: Floats, meshes: Floats) -> tuple[str, float, float]:
    """(answer, turn, tilt): what was ever said, the last two seconds' figures; points rounded as they travel."""
    judge, said = FlatnessJudge(), set[str]()
    for time, mesh in zip(times, meshes, strict=True):
        one = look(mesh, float(time))
        judge.add(Look.unpacked(one.seconds, one.packed(), one.eyes))
        said.add(judge.verdict().answer.value)
    motion = measure(judge.looks) if judge.looks else None
    answer = next(answer for answer in ANSWERS if answer in said or answer == ANSWERS[-1])
    return answer, motion.turn if motion else 0.0, motion.tilt if motion else 0.0


def at_most(hits: int, of: int, error: float = 0.025) -> float:
    """Upper end of the Clopper–Pearson 95 % interval, by bisection on the binomial tail."""
    low, high = hits / of, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        tail = sum(math.comb(of, k) * middle**k * (1 - middle) ** (of - k) for k in range(hits + 1))
        low, high = (middle, high) if tail > error else (low, middle)
    return high


def report(rows: Iterable[tuple[str, str, float, float]]) -> None:
    """Prints the table: (name, answer, turn, tilt)."""
    table: dict[str, list[tuple[str, float, float]]] = defaultdict(list)
    for name, *row in rows:
        table[name].append((row[0], row[1], row[2]))  # type: ignore[arg-type]
    print("| | LIVE | FAKE | NOT_CHECKED | parallax, median and 95 % | tilt, median |\n|---|---|---|---|---|---|")
    for name, marks in table.items():
        counts = Counter(mark[0] for mark in marks)
        turn, high = np.percentile([mark[1] for mark in marks], [50, 95])
        tilt = np.median([mark[2] for mark in marks])
        cells = " | ".join(f"{counts[answer]} / {len(marks)}" for answer in ANSWERS)
        print(f"| {name} | {cells} | {turn:.1f}°, {high:.1f}° | {tilt:.1f}° |")
    flat = [mark for kind in Kind if kind.flat for mark in table.get(kind.value, [])]
    if flat:
        live = sum(mark[0] == "live" for mark in flat)
        print(f"\nsheets LIVE: {live} of {len(flat)}, {live / len(flat):.2%}, at most {at_most(live, len(flat)):.2%}")


def nuaa(faces: Path, eyes: Eyes) -> Iterator[tuple[str, str, float, float]]:
    """Windows of NUAA's sequences: one person, one session, consecutive photos."""
    sessions: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for photo in sorted((faces / "spoof" / "nuaa").rglob("*.jpg")):
        kind = photo.relative_to(faces / "spoof" / "nuaa").parts[0]
        sessions[kind, photo.stem.rsplit("_", 1)[0]].append(photo)
    for (kind, _), photos in sorted(sessions.items()):
        meshes = [mesh for _, mesh in eyes.meshes(_roomy(photo) for photo in photos)]
        for start in range(0, len(meshes) - NUAA_WINDOW + 1, NUAA_STEP):
            times = np.arange(NUAA_WINDOW, dtype=np.float32) * NUAA_SECONDS
            yield f"NUAA {kind}", *judged(times, np.array(meshes[start : start + NUAA_WINDOW]))


def _roomy(photo: Path) -> Pixels:
    """NUAA's crops are tight: the detector wants some room."""
    picture = cv2.imread(str(photo))
    room = max(picture.shape[:2]) // 3
    return np.asarray(cv2.copyMakeBorder(picture, room, room, room, room, cv2.BORDER_REPLICATE), np.uint8)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--half", choices=("dev", "test"), default="test")
    parser.add_argument("--people", type=int, default=150)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--tracks", type=Path, help="an .npz: read if it is there, else written")
    parser.add_argument("--skip", type=int, default=0, help="people left out first: those another run has used")
    parser.add_argument("--sheets", action="store_true", help="no heads")
    parser.add_argument("--nuaa", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.nuaa:
        report(nuaa(options.faces, Eyes()))
        return
    kept = _kept(options)
    report((kind.value, *judged(times, meshes)) for kind, times, meshes in kept)


def _kept(options: argparse.Namespace) -> list[tuple[Kind, Floats, Floats]]:
    if options.tracks and options.tracks.exists():
        with np.load(options.tracks) as file:
            return [(Kind(kind), file[f"t{i}"], file[f"m{i}"]) for i, kind in enumerate(file["kinds"])]
    photos = people(options.faces, options.half, options.skip, options.people, options.seed)
    kinds = [kind for kind in Kind if kind.flat or not options.sheets]
    made = list(tracks(photos, kinds, Eyes(), options.seconds, options.seed))
    if options.tracks:
        arrays = {f"{letter}{i}": row[place] for i, row in enumerate(made) for letter, place in (("t", 1), ("m", 2))}
        np.savez_compressed(options.tracks, kinds=[kind.value for kind, _, _ in made], **arrays)
    return made


if __name__ == "__main__":
    main()
