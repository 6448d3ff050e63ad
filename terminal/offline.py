"""A terminal that recognises by itself: its own engine, its own copy of the library, the same rules as the server's.

Everything that computes runs in one thread. What it learns goes into `hear`, as what the server says does: results, and
punches whose state is "kept" (on this disk, to be sent) or "repeated".
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.contracts.base import new_id
from shared.contracts.recognition import NO_FACE, NOT_ALIVE, Box, Problem, Track, TrackedFace
from shared.vision import engine as vision
from shared.vision.calibration import DEFAULT_FPIR, score100, threshold_for
from shared.vision.crowd import Crowd, Match, likeness
from shared.vision.decision import TWICE_ENROLLED_FPIR, continued, decide, known_from_track, sure
from shared.vision.engine import EngineSettings, Face, FaceEngine
from shared.vision.feature import Feature
from shared.vision.life import Life, Policy, held_back, lives, refused, still_alive
from shared.vision.limits import TO_ENROL, TO_IDENTIFY, Limits, check
from shared.vision.liveness import LEVELS
from shared.vision.picture import PictureError, decode
from shared.vision.runtime import Pixels
from shared.vision.weights import Weights
from terminal.events import Channel, Event, Punch, Result, Trouble
from terminal.events import Face as Told
from terminal.library import Known, Library
from terminal.offline_cards import FULL
from terminal.punches import PunchStore, StoreFull
from terminal.reserve import LIBRARY, Camera
from terminal.sealing import CannotOpen

EVERY_S: Final = 0.2
"""between two looks: five a second are enough to agree on somebody who walks up, and leave a small machine alone"""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EyeSettings:
    """As ROLLCALL_FPIR, ROLLCALL_LIVENESS and ROLLCALL_LIVENESS_MOTION of the recognizer."""

    fpir: float = DEFAULT_FPIR
    liveness: Literal["NONE", "LOW", "NORMAL", "HIGH"] = "NONE"
    liveness_motion: Policy = "off"
    threads: int = 1


class Person(NamedTuple):
    """`held`: only this terminal knows them, and the server must not hear of their punches yet."""

    known: Known
    held: bool


class People:
    """Who can be recognised here: those of the server's library, and those that were registered on this box. The same
    number in both is two people until the server knows the second one."""

    def __init__(self, model: str, server: Library, own: Library) -> None:
        self._model, self._libraries = model, (server, own)
        self._crowd, self._persons, self._faces = Crowd(model), list[Person](), 0
        self._build()

    @property
    def faces(self) -> int:
        """How many a stranger could be taken for."""
        return self._faces

    def refresh(self) -> bool:
        """Take changes of the files over; whether there were any. Raises CannotOpen."""
        for library in self._libraries:
            library.refresh()
        if [library.people for library in self._libraries] == self._seen:
            return False
        self._build()
        return True

    def _build(self) -> None:
        self._seen = [library.people for library in self._libraries]
        self._crowd, self._persons, self._faces = Crowd(self._model), [], 0
        for held, people in zip((False, True), self._seen, strict=True):
            for known in people.values():
                photos = vectors(known, self._model)
                if len(photos) and not (held and self._known_to_server(photos)):
                    self._persons.append(Person(known, held))
                    self._crowd.put(len(self._persons), photos)
                    self._faces += len(photos)

    def _known_to_server(self, photos: Floats) -> bool:
        """Under another number, or under the same and not sent yet: nobody shall be two people here."""
        match = self._crowd.search(likeness(photos))
        return sure(match, threshold_for(TWICE_ENROLLED_FPIR, self._faces, self._model)) > 0

    def search(self, embedding: Floats) -> Match | None:
        """Ids are good for `get` until the next `refresh`."""
        return self._crowd.search(embedding)

    def get(self, person_id: int) -> Person | None:
        """None for 0 and for who is not there any more."""
        return self._persons[person_id - 1] if 0 < person_id <= len(self._persons) else None


def vectors(known: Known, model: str) -> Floats:
    """K×128 f32, of the features that the model made."""
    features = [Feature.unpacked(packed) for packed in known.features]
    rows = [np.frombuffer(f.embedding, "<f4").astype(np.float32) for f in features if f.model == model]
    return np.stack(rows) if rows else np.zeros((0, 128), np.float32)


class Eye:
    """Looks at pictures and keeps punches."""

    def __init__(
        self,
        faces: FaceEngine,
        thread: ThreadPoolExecutor,
        people: People,
        punches: PunchStore,
        settings: EyeSettings = EyeSettings(),
    ) -> None:
        self._vision, self._thread, self._people, self._punches = faces, thread, people, punches
        self._settings = settings
        self._track = Track()
        self._stale_because = ""
        self._threshold = lru_cache(maxsize=64)(lambda count, fpir: threshold_for(fpir, count, faces.model_id))

    async def run(self, camera: Camera, hear: Callable[[Event], None], now: Callable[[], datetime]) -> None:
        """Until cancelled. `now` gives the time that punches are written down with."""
        loop = asyncio.get_running_loop()
        self._track = Track()
        while True:
            jpeg = await camera()
            began = loop.time()
            for event in await loop.run_in_executor(self._thread, self.look, jpeg, now()):
                hear(event)
            await asyncio.sleep(max(0.0, EVERY_S - (loop.time() - began)))

    # ---- in the thread

    def look(self, jpeg: bytes, at: datetime) -> list[Event]:
        """What a picture of this time says: a result, and a punch if it is time for one. What it keeps is on the
        disk."""
        try:
            picture = decode(jpeg)
        except PictureError as error:
            return [Result(Channel.HERE, (), error.zh)]
        stale = self._refresh()
        return [*stale, *self._see(picture, at)]

    def _refresh(self) -> list[Event]:
        """A library that cannot be read any more is told, once; whoever was in it is known until the end."""
        try:
            if self._people.refresh():
                self._track = Track()  # its ids are of the people before
            reason = ""
        except (CannotOpen, OSError) as error:
            reason = str(error)
        told: list[Event] = [Trouble(LIBRARY, reason)] if reason != self._stale_because else []
        self._stale_because = reason
        return told

    def _see(self, picture: Pixels, at: datetime) -> list[Event]:
        life = vision.Fields.NONE if self._settings.liveness == "NONE" else vision.Fields.LIVENESS
        found = self._vision.analyze(picture, max_faces=1, fields=life, embed=self._needs_embedding(at))
        if not found:
            self._track = Track()
            return [Result(Channel.HERE, (), NO_FACE.zh)]
        told, tracked, person = self._identify(found[0], at)
        self._track = Track(faces=(tracked,) if tracked else ())
        return [Result(Channel.HERE, (told,)), *self._keep(person, told, at)]

    def _identify(self, face: Face, at: datetime) -> tuple[Told, TrackedFace | None, Person | None]:
        """The answer, the continued track, and who is to be clocked in."""
        box = _box(face.box)
        past = continued(self._track, box, at)
        policy, life = self._settings.liveness_motion, self._life(past, face, at)
        if fake := refused(policy, life):
            return _unusable(fake), life.kept(past, box) if life else None, None
        hold = held_back(policy, life)
        if face.embedding is None and past is not None and hold is None:
            seen = past.model_copy(update={"box": box, "seen_at": at})
            return self._told(past.reported_id, past.score), life.kept_in(seen) if life else seen, None
        if problems := self._problems(face, TO_IDENTIFY):
            return _unusable(problems[0]), life.kept(past, box) if life else None, None
        match = None if face.embedding is None else self._people.search(face.embedding)
        found = sure(match, self._threshold(self._people.faces, self._settings.fpir))
        score = score100(match.cosine, self._vision.model_id) if match else 0.0
        decision = decide(past, box, at, found, score, streaming=True, event_id=new_id(), hold=hold is not None)
        tracked = life.kept_in(decision.face) if life else decision.face
        person = self._people.get(decision.student_id)
        if person is None:
            problem = hold.zh if hold and decision.held else ""
            return Told("pending" if decision.pending else "unknown", problem=problem), tracked, None
        return self._told(decision.student_id, score), tracked, person if decision.news else None

    def _told(self, person_id: int, score: float) -> Told:
        person = self._people.get(person_id)
        if person is None:
            return Told("unknown")
        return Told("identified", person.known.name, person.known.num, round(score, 1))

    def _keep(self, person: Person | None, told: Told, at: datetime) -> list[Event]:
        if person is None:
            return []
        known = person.known
        try:
            made = self._punches.add(known.num, known.name, at, told.score, held=person.held)
        except StoreFull:
            return [Result(Channel.HERE, (), FULL[0])]
        state = "kept" if made.new else "repeated"
        local = made.at.astimezone().isoformat(timespec="seconds")
        return [Punch(Channel.HERE, state, f"here-{made.punch_id}", known.name, known.num, local)]

    def _problems(self, face: Face, limits: Limits) -> tuple[Problem, ...]:
        poor = tuple(Problem(code=f.code, zh=f.zh, en=f.en) for f in check(face.quality, limits))
        limit = LEVELS.get(self._settings.liveness, 0.0)
        fake = face.liveness is not None and face.liveness < limit
        return (*poor, NOT_ALIVE) if fake else poor

    def _life(self, past: TrackedFace | None, face: Face, at: datetime) -> Life | None:
        if self._settings.liveness_motion == "off":
            return None
        return lives(past, face.mesh, face.embedding, at, self._threshold(1, self._settings.fpir))

    def _needs_embedding(self, at: datetime) -> Callable[[vision.Box], bool]:
        def needs(place: vision.Box) -> bool:
            box = _box(place)
            past = continued(self._track, box, at)
            proved = self._settings.liveness_motion != "require-live" or (past is not None and still_alive(past, at))
            return not (proved and known_from_track(past, box, at))

        return needs


class NotFit(Exception):
    """A photo that nobody can be registered with; the message is for the person."""


def enrol(faces: FaceEngine, people: People, photo: bytes) -> tuple[bytes, Person | None]:
    """The packed feature of the one face of a photo, and whose it is already, if anybody's here. Raises NotFit."""
    try:
        picture = decode(photo)
    except PictureError as error:
        raise NotFit(error.zh) from None
    found = faces.analyze(picture, max_faces=2, fields=vision.Fields.OCCLUSION)
    if not found:
        raise NotFit(NO_FACE.zh)
    if len(found) > 1:
        raise NotFit("照片里有多张人脸，请只拍一个人")
    if (failure := next(iter(check(found[0].quality, TO_ENROL)), None)) is not None:
        raise NotFit(failure.zh)
    embedding = found[0].embedding
    if embedding is None:
        raise NotFit(NO_FACE.zh)
    twice = sure(people.search(embedding), threshold_for(TWICE_ENROLLED_FPIR, people.faces, faces.model_id))
    return Feature(faces.model_id, embedding.astype("<f4").tobytes()).packed(), people.get(twice)


def _unusable(problem: Problem) -> Told:
    return Told("unusable", problem=problem.zh)


def _box(box: vision.Box) -> Box:
    return Box(left=box.left, top=box.top, width=box.width, height=box.height)


@asynccontextmanager
async def engine(threads: int = 1) -> AsyncIterator[tuple[FaceEngine, ThreadPoolExecutor]]:
    """The networks, loaded, and their thread, while inside. Raises a WeightError when a weight is missing."""
    with ThreadPoolExecutor(1, thread_name_prefix="eye") as thread:
        yield await asyncio.get_running_loop().run_in_executor(thread, load, threads), thread


def load(threads: int = 1) -> FaceEngine:
    """The networks. Raises a WeightError."""
    faces = FaceEngine(Weights.load(), EngineSettings(threads=threads))
    faces.warm_up()
    return faces
