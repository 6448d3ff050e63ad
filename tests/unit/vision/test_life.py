"""Proof of life: it travels with the face it is of, is dropped with it, and each policy asks for what it says."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from shared.contracts.recognition import NOT_ALIVE, Box, Step, Track, TrackedFace
from shared.vision import engine as vision
from shared.vision.decision import decide
from shared.vision.engine import Face
from shared.vision.life import (
    ALIVE_FOR,
    LOOK_ON,
    TURN_YOUR_HEAD,
    Life,
    challenged,
    held_back,
    likeness,
    lives,
    packed,
    refused,
    still_alive,
)
from shared.vision.liveness import Liveness
from shared.vision.pose import canonical
from shared.vision.quality import Quality

HERE = Box(left=100, top=100, width=100, height=100)
START = datetime(2026, 3, 1, tzinfo=UTC)
ALIKE = 0.3


def embedding(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=128)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


ME, OTHER = embedding(1), embedding(2)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def turned(degrees: float, depth: float = 1.0) -> np.ndarray:
    """The canonical head (depth 1) or its photo on a sheet (0) after a turn, seen from far away."""
    angle = np.radians(degrees)
    head = canonical().astype(np.float64)
    across = head[:, 0] * np.cos(angle) + depth * head[:, 2] * np.sin(angle)
    return (np.column_stack([across, head[:, 1]]) * 70 + 300).astype(np.float32)


def watched(meshes: list[np.ndarray], who: np.ndarray = ME, *, past: TrackedFace | None = None) -> TrackedFace:
    """Five frames a second, packed and unpacked between two, as on their way between recognizers."""
    start = past.seen_at if past else START
    for i, mesh in enumerate(meshes, 1):
        life = lives(past, mesh, who, start + timedelta(seconds=i / 5), ALIKE)
        past = TrackedFace.decode(life.kept(past, HERE).encode())
    assert past is not None
    return past


TURNING = [turned(angle) for angle in (0, 5, 12, 18, 22, 22, 18, 12, 5, 0)]
TILTING = [turned(angle, depth=0.0) for angle in (0, 10, 25, 40, 45, 45, 40, 25, 10, 0)]


def test_a_head_that_turns_is_alive_and_stays_it_for_a_while() -> None:
    face = watched(TURNING)
    assert face.alive_at is not None
    assert still_alive(face, face.alive_at + ALIVE_FOR)
    assert not still_alive(face, face.alive_at + ALIVE_FOR + timedelta(seconds=1))
    later = watched([turned(0)] * 30, past=face)
    assert later.alive_at is not None
    assert later.seen_at - later.alive_at > timedelta(seconds=3), "proved by the turn, not by holding still"


def test_a_sheet_that_tilts_is_fake_and_undoes_an_earlier_proof() -> None:
    proved = watched(TURNING)
    tilted = watched([*[turned(0)] * 11, *TILTING], past=proved)
    assert tilted.alive_at is None
    assert lives(tilted, TILTING[-1], ME, tilted.seen_at + timedelta(seconds=0.2), ALIKE).fake


def test_a_photo_held_up_in_place_of_the_head_inherits_nothing() -> None:
    proved = watched(TURNING)
    swapped = lives(proved, turned(0), OTHER, proved.seen_at + timedelta(seconds=0.2), ALIKE)
    assert (swapped.alive, len(swapped.looks), swapped.likeness) == (False, 1, packed(OTHER))


def test_a_frame_without_an_embedding_goes_on_with_the_evidence() -> None:
    """A steady face is answered from its track."""
    proved = watched(TURNING)
    life = lives(proved, turned(1), None, proved.seen_at + timedelta(seconds=0.2), ALIKE)
    assert life.alive
    assert life.likeness == proved.likeness
    assert life.looks[-1].at == proved.seen_at + timedelta(seconds=0.2)


def test_the_same_frame_twice_counts_once_and_one_without_a_mesh_not_at_all() -> None:
    face = watched(TURNING[:3])
    again = lives(face, TURNING[2], ME, face.seen_at, ALIKE)
    blind = lives(face, None, ME, face.seen_at + timedelta(seconds=1), ALIKE)
    assert again.looks == blind.looks == face.life


def test_what_travels_with_a_face_is_bounded() -> None:
    past = None
    for i in range(300):
        past = lives(past, turned(i % 20), ME, at(i / 30), ALIKE).kept(past, HERE)
    assert past is not None
    assert len(past.encode()) < 8_192


def test_the_likeness_survives_its_packing() -> None:
    face = TrackedFace(box=HERE, seen_at=START, likeness=packed(ME))
    assert likeness(face, ME) == pytest.approx(1, abs=0.002)
    assert likeness(face, OTHER) == pytest.approx(float(ME @ OTHER), abs=0.002)


def life(said: Liveness = Liveness.NOT_CHECKED, *, proved: bool = False, long_enough: bool = True) -> Life:
    return Life(said, long_enough, (), START if proved else None, b"", START)


@pytest.mark.parametrize(
    ("policy", "seen", "stopped", "held"),
    [
        ("off", life(Liveness.FAKE), None, None),
        ("off", None, None, None),
        ("refuse-fake", life(Liveness.FAKE), NOT_ALIVE, None),
        ("refuse-fake", life(), None, None),
        ("refuse-fake", life(long_enough=False), None, LOOK_ON),
        ("refuse-fake", None, None, None),
        ("require-live", life(Liveness.FAKE), NOT_ALIVE, TURN_YOUR_HEAD),
        ("require-live", life(), None, TURN_YOUR_HEAD),
        ("require-live", life(Liveness.LIVE, proved=True), None, None),
        ("require-live", life(proved=True), None, None),
        ("require-live", None, None, TURN_YOUR_HEAD),
    ],
)
def test_policies(policy, seen, stopped, held) -> None:  # type: ignore[no-untyped-def]
    assert refused(policy, seen) == stopped
    assert held_back(policy, seen) == held


def test_who_is_held_is_neither_named_nor_reported_until_the_hold_ends() -> None:
    past, decisions = None, []
    for i, hold in enumerate((True, True, True, False, False)):
        decision = decide(past, HERE, at(i / 5), 7, 90.0, streaming=True, event_id=f"e{i}", hold=hold)
        past = decision.face
        decisions.append((decision.student_id, decision.pending, decision.held, decision.news))
    assert decisions == [
        (0, True, False, False),
        (0, True, True, False),
        (0, True, True, False),
        (7, False, False, True),
        (7, False, False, False),
    ]


def test_a_stranger_is_not_asked_to_prove_anything() -> None:
    past = decide(None, HERE, at(0), 0, 0.0, streaming=True, event_id="e", hold=True).face
    second = decide(past, HERE, at(0.2), 0, 0.0, streaming=True, event_id="e", hold=True)
    assert (second.student_id, second.pending, second.held) == (0, False, False)


def face(mesh: np.ndarray, who: np.ndarray = ME) -> Face:
    quality = Quality(size=100, illumination=120, blur=0.1, completeness=1, yaw=0, roll=0)
    return Face(vision.Box(100, 100, 100, 100), np.zeros((5, 2), np.float32), 0.9, quality, who, mesh)


def asked(track: Track, seen: Face | None, number: int) -> Track:
    """One frame, on its way between recognizers."""
    track = Track.decode(track.encode())
    return challenged(track, seen, good=True, at=at(number / 5), frame_id=f"f{number}", alike=ALIKE)


def test_a_challenge_begins_with_the_first_frame_and_travels() -> None:
    track = asked(Track(), None, 0)
    assert track.challenge is not None
    row = track.challenge.actions
    for number in range(1, 5):
        track = asked(track, face(turned(0)), number)
    assert track.challenge is not None
    assert (track.challenge.actions, track.challenge.step, track.challenge.picture) == (row, Step.ACTING, "f3")
    assert likeness(track.faces[0], ME) == pytest.approx(1, abs=0.002)


def test_once_begun_another_face_counts_as_none_however_long_it_stays() -> None:
    track = Track()
    for number in range(3):
        track = asked(track, face(turned(0)), number)
    for number in range(3, 6):
        track = asked(track, face(turned(0), OTHER), number)
        assert likeness(track.faces[0], ME) == pytest.approx(1, abs=0.002)
    assert track.challenge is not None
    assert track.challenge.step is Step.ACTING
    track = asked(track, face(turned(0), OTHER), 7)
    assert track.challenge is not None
    assert track.challenge.step is Step.FACE_LOST


def test_a_sheet_fails_the_challenge() -> None:
    track = Track()
    for number, angle in enumerate([0, 0, 0, 0, 0, 0, 10, 25, 40, 50, 50, 50, 50]):
        track = asked(track, face(turned(angle, depth=0.0)), number)
    assert track.challenge is not None
    assert track.challenge.step is Step.FLAT
