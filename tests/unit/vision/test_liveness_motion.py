"""A sheet is told from a head by parallax: made heads and sheets under the same motion, and real photos on sheets."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from shared.vision.blink import EYES
from shared.vision.detector import Detector, DetectorSettings
from shared.vision.liveness import Liveness, Verdict
from shared.vision.mesh import Mesh
from shared.vision.motion import POINTS, FlatnessJudge, FlatnessSettings, Look, look, measure
from shared.vision.picture import decode
from shared.vision.pose import canonical
from shared.vision.runtime import RuntimeSettings
from shared.vision.weights import Weights

Photos = dict[str, tuple[bytes, ...]]
Doubles = NDArray[np.float64]

FRAMES, FPS = 16, 8.0
CAMERA = 9.0  # eye distances from face to camera: about 55 cm
NOISE = 0.012  # eye distances, per point: four times what still photos show (docs/models/liveness.md)


def turned(yaw: float, pitch: float, roll: float) -> Doubles:
    """3×3 rotation, degrees."""
    y, p, r = np.radians([yaw, pitch, roll])
    around_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    around_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    around_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(around_z @ around_y @ around_x)


def seen(points: Doubles, motion: Doubles) -> Doubles:
    """N×3 points, moved by (yaw, pitch, roll, x, y, z) and projected: N×2, eye distances."""
    moved = points @ turned(*motion[:3]).T + motion[3:]
    return np.asarray(moved[:, :2] * (CAMERA / (CAMERA + moved[:, 2:])))


def motions(rng: np.random.Generator, yaw: float, pitch: float) -> Doubles:
    """FRAMES×6: smooth to and fro of these amplitudes in degrees, with some of everything else."""
    amplitude = np.array([yaw, pitch, 3, 0.15, 0.15, 0.4])
    times = np.linspace(0, 1, FRAMES)[:, None]
    waves = np.sin(2 * np.pi * rng.uniform(0.5, 1.2, 6) * times + rng.uniform(0, 6.28, 6))
    return np.asarray(amplitude * (waves - waves[0]))


def a_head(rng: np.random.Generator) -> Doubles:
    """Somebody: the canonical face with other proportions."""
    return np.asarray(canonical() * rng.normal(1, 0.06, 3), np.float64)


def a_sheet(rng: np.random.Generator) -> Doubles:
    return np.asarray(a_head(rng) * np.array([1, 1, 0]))


def a_bent_sheet(rng: np.random.Generator) -> Doubles:
    """Rolled around an upright or a level axis, radius two to six eye distances (12–40 cm)."""
    sheet, axis, radius = a_sheet(rng), rng.integers(2), rng.uniform(2, 6)
    sheet[:, 2] = radius * (1 - np.cos(sheet[:, axis] / radius))
    sheet[:, axis] = radius * np.sin(sheet[:, axis] / radius)
    return sheet


def judged(points: Doubles, path: Doubles, rng: np.random.Generator) -> Verdict:
    judge = FlatnessJudge()
    for i, motion in enumerate(path):
        mesh = seen(points, motion) + rng.normal(0, NOISE, (len(points), 2))
        judge.add(look((mesh * 80 + 320).astype(np.float32), i / FPS))
    return judge.verdict()


@pytest.mark.parametrize(("yaw", "pitch"), [(15, 4), (4, 12), (25, 10)], ids=["turn", "nod", "both"])
def test_moving_heads_are_live_and_sheets_never(yaw: float, pitch: float) -> None:
    for seed in range(15):
        rng = np.random.default_rng(seed)
        path = motions(rng, yaw, pitch)
        assert judged(a_head(rng), path, rng).answer is Liveness.LIVE
        assert judged(a_sheet(rng), path, rng).answer is not Liveness.LIVE
        assert judged(a_bent_sheet(rng), path, rng).answer is not Liveness.LIVE


def test_a_tilted_sheet_is_a_fake() -> None:
    verdicts = []
    for seed in range(15):
        rng = np.random.default_rng(seed)
        verdicts.append(judged(a_sheet(rng), motions(rng, 45, 15), rng))
    assert {(verdict.answer, verdict.reason) for verdict in verdicts} == {(Liveness.FAKE, "flat")}
    assert max(verdict.score for verdict in verdicts if verdict.score is not None) < 0.3


@pytest.mark.parametrize("made", [a_head, a_sheet])
def test_without_motion_nothing_is_said(made: object) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        points = a_head(rng) if made is a_head else a_sheet(rng)
        verdict = judged(points, motions(rng, 1, 1), rng)
        assert (verdict.answer, verdict.score) == (Liveness.NOT_CHECKED, None)


def test_a_blink_makes_a_still_face_live_but_not_a_tilted_sheet() -> None:
    for yaw, answer in ((1.0, Liveness.LIVE), (30.0, Liveness.FAKE)):
        rng, judge = np.random.default_rng(3), FlatnessJudge()
        for i, motion in enumerate(motions(rng, yaw, yaw / 2)):
            mesh = seen(a_sheet(np.random.default_rng(3)), motion)
            for _, pairs in EYES:
                for upper, lower in pairs:
                    mesh[upper] = mesh[lower] + (mesh[upper] - mesh[lower]) * (0.1 if i in (7, 8) else 1)
            judge.add(look((mesh * 80).astype(np.float32), i / FPS))
        assert judge.verdict().answer is answer


def test_too_few_or_too_quick_frames_say_nothing() -> None:
    rng = np.random.default_rng(1)
    head, path = a_head(rng), motions(rng, 25, 10)
    for count, apart in ((5, 0.2), (16, 0.01)):
        judge = FlatnessJudge()
        for i in range(count):
            judge.add(look(seen(head, path[i]).astype(np.float32), i * apart))
        assert judge.verdict() == Verdict(Liveness.NOT_CHECKED, None, "too_few_looks")


def test_only_the_window_counts() -> None:
    rng, judge = np.random.default_rng(1), FlatnessJudge(settings=FlatnessSettings(window=1.2))
    head = a_head(rng)
    for i, motion in enumerate(motions(rng, 25, 10)):
        judge.add(look(seen(head, motion).astype(np.float32), i / FPS))
    for i in range(16):
        judge.add(look(seen(head, np.zeros(6)).astype(np.float32), 10 + i / FPS))
    assert judge.verdict().answer is Liveness.NOT_CHECKED


def test_time_does_not_stand_still() -> None:
    judge = FlatnessJudge()
    judge.add(look(canonical(), 1.0))
    with pytest.raises(ValueError, match="after"):
        judge.add(look(canonical(), 1.0))


def test_another_judge_goes_on_from_what_travelled() -> None:
    """Packed after every look and taken up by a new judge, the answer is the one of a judge that saw it all."""
    rng = np.random.default_rng(4)
    head, path = a_head(rng), motions(rng, 20, 5)
    whole, looks = FlatnessJudge(), ()
    for i, motion in enumerate(path):
        new = look((seen(head, motion) * 80).astype(np.float32), i / FPS)
        whole.add(new)
        judge = FlatnessJudge([Look.unpacked(one.seconds, one.packed(), one.eyes) for one in looks])
        judge.add(new)
        looks = judge.looks
    assert (judge.verdict().answer, whole.verdict().answer) == (Liveness.LIVE, Liveness.LIVE)
    assert judge.verdict().score == pytest.approx(whole.verdict().score, abs=0.01)


def test_what_travels_is_bounded_however_fast_the_camera() -> None:
    judge = FlatnessJudge()
    for i in range(600):
        judge.add(look(canonical(), i / 60))
    assert len(judge.looks) <= FlatnessSettings().max_looks
    assert judge.looks[-1].seconds - judge.looks[0].seconds > 1.5
    assert sum(len(one.packed()) for one in judge.looks) <= 24 * POINTS * 4


def test_points_of_the_wrong_length_are_refused() -> None:
    with pytest.raises(ValueError, match="reshape"):
        Look.unpacked(0, bytes(10), 0.3)


def test_size_place_and_roll_of_the_face_do_not_matter() -> None:
    """A sheet that is only moved, turned in its plane and zoomed shows neither parallax nor tilt."""
    rng, judge = np.random.default_rng(2), FlatnessJudge()
    sheet = a_head(rng)[:, :2]
    for i in range(12):
        turn = turned(0, 0, 4.0 * i)[:2, :2]
        judge.add(look((sheet @ turn.T * (60 + 5 * i) + 30 * i).astype(np.float32), i / 6))
    motion = measure(judge.looks)
    assert (motion.turn, motion.tilt) == (pytest.approx(0, abs=0.5), pytest.approx(0, abs=2.0))


@pytest.fixture(scope="module")
def mesh_of(weights: Weights) -> "Watcher":
    return Watcher(weights)


class Watcher:
    """Detector and mesh, as the engine uses them."""

    def __init__(self, weights: Weights) -> None:
        runtime = RuntimeSettings(precision="f32")
        self._detector = Detector(weights.find("yunet"), runtime, DetectorSettings())
        self._mesh = Mesh(weights.find("face_landmark"), runtime)

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = self._detector(picture)
        mesh = self._mesh(picture, found.boxes[0], found.points[0])
        assert mesh is not None
        return mesh


def held_before_the_camera(photo: NDArray[np.uint8], path: Doubles) -> Iterator[NDArray[np.uint8]]:
    """A photo on a flat sheet, six eye distances wide, moving on this path."""
    side = max(photo.shape[:2])
    corners = np.array([[-3, -3, 0], [3, -3, 0], [3, 3, 0], [-3, 3, 0]], np.float64)
    flat = ((corners[:, :2] / 6 + 0.5) * side).astype(np.float32)
    for motion in path:
        target = ((seen(corners, motion) / 6 + 0.5) * side).astype(np.float32)
        matrix = cv2.getPerspectiveTransform(flat, target)
        yield np.asarray(cv2.warpPerspective(photo, matrix, photo.shape[1::-1]), np.uint8)


def test_real_photos_on_a_moving_sheet_are_never_live(mesh_of: Watcher, photos: Photos) -> None:
    """Asked after every frame, as on a stream."""
    said = []
    for seed, files in enumerate(photos.values()):
        photo, judge = decode(files[0]), FlatnessJudge()
        path = motions(np.random.default_rng(seed), 22, 10)[:12]
        for i, frame in enumerate(held_before_the_camera(photo, path)):
            judge.add(look(mesh_of(frame), i / 6))
            said.append(judge.verdict().answer)
    assert Liveness.LIVE not in said
    assert len(said) == 12 * len(photos)
