"""Is the face of a stream a head, and does it do as it is asked? Pure: what earlier frames said travels in the track,
so any recognizer can go on with it. The rules themselves are shared/vision/motion.py and challenge.py."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shared.contracts.recognition import NOT_ALIVE, Box, LifeLook, Problem, Track, TrackedFace
from shared.vision.challenge import after, drawn, sight
from shared.vision.engine import Face
from shared.vision.liveness import Liveness
from shared.vision.motion import FlatnessJudge, Look, look

Floats = NDArray[np.float32]

Policy = Literal["off", "refuse-fake", "require-live"]

ALIVE_FOR = timedelta(seconds=30)
"""So long a proof holds for a face that stays in view; then it is asked again."""

TURN_YOUR_HEAD = Problem(
    code=223120,
    zh="请轻轻左右转一下头，确认是本人",
    en="Please turn your head a little to each side, to show that it is you",
)
LOOK_ON = Problem(code=223120, zh="请再看一会儿镜头", en="Please keep looking at the camera for a moment")
LIVE_ONLY = Problem(
    code=223120,
    zh="这里不接受单张照片，请在镜头前实时打卡",
    en="A single picture is not accepted here: please face the camera live",
)


@dataclass(frozen=True, slots=True)
class Life:
    """What is known of one face after one more frame."""

    said: Liveness
    """by the last seconds"""
    long_enough: bool
    """looked at for long enough to see a sheet move, or named before"""
    looks: tuple[LifeLook, ...]
    alive_at: datetime | None
    likeness: bytes
    at: datetime

    @property
    def alive(self) -> bool:
        """It was proved to be a head, lately."""
        return _recent(self.alive_at, self.at)

    @property
    def fake(self) -> bool:
        """It moves as a sheet does."""
        return self.said is Liveness.FAKE

    def kept_in(self, face: TrackedFace) -> TrackedFace:
        """The face with this beside it."""
        return face.model_copy(update={"life": self.looks, "alive_at": self.alive_at, "likeness": self.likeness})

    def kept(self, past: TrackedFace | None, box: Box) -> TrackedFace:
        """The track of a face that was not answered in this frame; what it was before is not forgotten."""
        seen = past or TrackedFace(box=box, seen_at=self.at)
        return self.kept_in(seen.model_copy(update={"box": box, "seen_at": self.at}))


def lives(past: TrackedFace | None, mesh: Floats | None, embedding: Floats | None, at: datetime, alike: float) -> Life:
    """Continue the evidence with a frame's mesh (468×2 or ×3) and embedding (unit length); either may be missing. All
    earlier evidence is dropped when the embedding is not `alike` (a cosine) to that of the look before: a photo held
    up in front of a head is no head."""
    known = past if past is not None and likeness(past, embedding) >= alike else None
    judge = FlatnessJudge([_unpacked(one) for one in known.life] if known else ())
    if mesh is not None and (not judge.looks or at.timestamp() > judge.looks[-1].seconds):
        judge.add(look(mesh, at.timestamp()))
    said = judge.verdict().answer
    before = known.alive_at if known and said is not Liveness.FAKE else None
    kept = packed(embedding) if embedding is not None else (known.likeness if known else b"")
    times = {one.at.timestamp(): one.at for one in known.life} if known else {}
    looks = tuple(_packed(one, times.get(one.seconds, at)) for one in judge.looks)
    long_enough = judge.long_enough or (known is not None and known.reported_id != 0)
    return Life(said, long_enough, looks, at if said is Liveness.LIVE else before, kept, at)


def still_alive(face: TrackedFace, at: datetime) -> bool:
    """What `Life.alive` will say, unless this frame shows a sheet."""
    return _recent(face.alive_at, at)


def _recent(proved: datetime | None, at: datetime) -> bool:
    return proved is not None and at - proved <= ALIVE_FOR


def likeness(past: TrackedFace, embedding: Floats | None) -> float:
    """Cosine to the track's last embedding; 1 where there is nothing to compare."""
    if embedding is None or not past.likeness:
        return 1.0
    return float(np.frombuffer(past.likeness, "<f2").astype(np.float32) @ embedding)


def packed(embedding: Floats) -> bytes:
    """128 little-endian f16: good to 0.001 in a cosine."""
    return embedding.astype("<f2").tobytes()


def held_back(policy: Policy, life: Life | None) -> Problem | None:
    """Why a face that is recognised must not be named yet; a single picture has no life, and only "require-live" holds
    that against it."""
    if policy == "require-live":
        return None if life is not None and life.alive else TURN_YOUR_HEAD
    return LOOK_ON if life is not None and not life.long_enough else None


def refused(policy: Policy, life: Life | None) -> Problem | None:
    """Why a face must not be named whoever it is."""
    return NOT_ALIVE if policy != "off" and life is not None and life.fake else None


def challenged(track: Track, face: Face | None, *, good: bool, at: datetime, frame_id: str, alike: float) -> Track:
    """The track of a source whose person is challenged, after one more frame; the first one draws what is asked.

    `good`: the face may be registered as it is. From the first rest on every look is held against the face that
    rested: one that is not `alike` counts as none.
    """
    challenge = track.challenge or drawn(random.SystemRandom())
    past = track.faces[0] if track.faces else None
    rested = past if challenge.rest else None
    if face is None or face.mesh is None or (rested and likeness(rested, face.embedding) < alike):
        return Track(faces=track.faces, challenge=after(challenge, None, at, frame_id))
    life = lives(past, face.mesh, face.embedding, at, alike)
    seen = sight(face.mesh, face.quality.yaw, face.quality.pitch, good=good, flat=life.fake)
    box = Box(left=face.box.left, top=face.box.top, width=face.box.width, height=face.box.height)
    kept = life.kept(past, box)
    if rested:
        kept = kept.model_copy(update={"likeness": rested.likeness})
    return Track(faces=(kept,), challenge=after(challenge, seen, at, frame_id))


def _unpacked(one: LifeLook) -> Look:
    return Look.unpacked(one.at.timestamp(), one.points, one.eyes)


def _packed(one: Look, at: datetime) -> LifeLook:
    return LifeLook(at=at, points=one.packed(), eyes=one.eyes)
