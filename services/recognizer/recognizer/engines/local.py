"""The local engine: decode, detect, embed, search, decide, in one thread of its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from recognizer.decision import Decision, continued, decide, known_from_track, sure
from recognizer.engines import Outcome
from recognizer.gallery import Gallery
from recognizer.index import Index, Match
from recognizer.life import LIVE_ONLY, Life, challenged, held_back, lives, refused, still_alive
from recognizer.questions import answers, look
from recognizer.screening import screened
from recognizer.settings import RecognizerSettings
from shared.contracts.gallery import LibraryDelta
from shared.contracts.people import Person
from shared.contracts.recognition import (
    LOCAL,
    NO_FACE,
    NOT_ALIVE,
    SEVERAL_FACES,
    Box,
    FaceResult,
    Frame,
    Identified,
    Problem,
    Question,
    Result,
    Track,
    TrackedFace,
    Verdict,
    Want,
    event_id_of,
)
from shared.vision import engine as vision
from shared.vision.calibration import score100, threshold_for
from shared.vision.embedder import DIMENSIONS
from shared.vision.engine import EngineSettings, Face, FaceEngine
from shared.vision.liveness import LEVELS
from shared.vision.picture import PictureError, decode
from shared.vision.quality import Limits, check
from shared.vision.runtime import Pixels
from shared.vision.weights import Weights

T = TypeVar("T")

TO_ENROL = Limits()
TO_IDENTIFY = Limits(size=40, illumination=20, blur=0.8, yaw=50, roll=50, pitch=50, occlusion=None)
"""At the door a poor look is refused only where the answer would mean nothing; the next frame comes soon. A mask only
lowers the chance of being recognised."""

COVERED, BARE = vision.Fields.OCCLUSION, vision.Fields.NONE
FIELDS = {Want.ENROL: COVERED, Want.CHALLENGE: COVERED, Want.IDENTIFY: BARE}
"""What is looked at besides the embedding and life: only what the answer depends on."""

NO_TRACK = Track()

TWICE_ENROLLED_FPIR = 0.0003
"""A new face that is wrongly "registered already" sends somebody to the office: ten times rarer than a wrong name."""


class LocalEngine:
    """One thread does all the work, changes of the index too, so nothing needs a lock."""

    def __init__(
        self,
        settings: RecognizerSettings,
        thread: ThreadPoolExecutor,
        faces: FaceEngine,
        watch: vision.Watch = vision.unwatched,
    ) -> None:
        """`watch` is entered around each stage: decode, search, and those of `FaceEngine.analyze`."""
        self._settings, self._thread, self._vision, self._watch = settings, thread, faces, watch
        self._forget()
        self._threshold = lru_cache(maxsize=64)(self._threshold_of)

    @property
    def name(self) -> str:
        return LOCAL

    @property
    def revision(self) -> int:
        return self._index.revision

    @property
    def model(self) -> str:
        """Whose embeddings are compared."""
        return self._vision.model_id

    @property
    def waiting(self) -> int:
        return self._gallery.waiting

    @property
    def faces(self) -> dict[str, int]:
        return {"door": len(self._index), "libraries": len(self._gallery)}

    async def ready(self) -> None:
        await self._run(lambda: None)

    async def answer(self, frame: Frame) -> Outcome:
        if frame.want is Want.ANSWER:
            return await self._answer_question(frame, frame.question or Question())
        return await self._run(lambda: self._answer(frame))

    async def apply(self, delta: LibraryDelta) -> None:
        await self._run(lambda: self._apply(delta))

    async def reset(self) -> None:
        await self._run(self._forget)

    async def _answer_question(self, frame: Frame, question: Question) -> Outcome:
        started = time.perf_counter()
        seen = await look(frame, question, self._vision, self._run)

        def answer() -> Outcome:
            looks = [Look(result) for result in answers(seen.faces, question, self._gallery)]
            return self._outcome(frame, started, looks, seen.size, seen.problem)

        return await self._run(answer)

    async def find(self, frame: Frame) -> "Sight":
        """Where faces are, and which of them the door could use: no embedding, no search. Raises PictureError."""
        return await self._run(lambda: self._find(frame))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # ---- in the engine's thread

    def _forget(self) -> None:
        self._index, self._gallery = Index(self._vision.model_id), Gallery(self._vision.model_id)

    def _apply(self, delta: LibraryDelta) -> None:
        """The index last: its revision is the engine's."""
        delta = screened(delta, self._vision.model_id, DIMENSIONS)
        self._gallery.apply(delta)
        self._index.apply(delta)

    def _answer(self, frame: Frame) -> Outcome:
        started = time.perf_counter()
        try:
            with self._watch("decode"):
                picture = decode(frame.jpeg)
        except PictureError as error:
            problem = Problem(code=error.number, zh=error.zh, en=error.en)
            # What a challenge has seen so far is not wiped out by sending rubbish.
            track = frame.track if frame.want is Want.CHALLENGE else NO_TRACK
            return self._outcome(frame, started, problem=problem, track=track)
        faces = self._vision.analyze(
            picture,
            max_faces=frame.max_faces,
            fields=self._fields(frame),
            embed=self._needs_embedding(frame),
            watch=self._watch,
        )
        size = (picture.shape[1], picture.shape[0])
        if frame.want is Want.CHALLENGE:
            looks, track = self._challenge(frame, faces)
        else:
            looks = self._look(frame, faces)
            track = Track(faces=tuple(look.tracked for look in looks if look.tracked))
        return self._outcome(frame, started, looks, size, None if looks else NO_FACE, track)

    def _find(self, frame: Frame) -> "Sight":
        with self._watch("decode"):
            picture = decode(frame.jpeg)
        faces = self._vision.analyze(
            picture, max_faces=frame.max_faces, fields=vision.Fields.NONE, embed=False, watch=self._watch
        )
        return Sight(picture, tuple((_box(face.box), self._problems(face, TO_IDENTIFY)) for face in faces))

    def _fields(self, frame: Frame) -> vision.Fields:
        life = vision.Fields.NONE if self._settings.liveness == "NONE" else vision.Fields.LIVENESS
        return FIELDS[frame.want] | life

    def _problems(self, face: Face, limits: Limits) -> tuple[Problem, ...]:
        """Everything that keeps the face from being used; a face that was not judged for life is not suspected."""
        poor = tuple(Problem(code=f.code, zh=f.zh, en=f.en) for f in check(face.quality, limits))
        limit = LEVELS.get(self._settings.liveness, 0.0)
        fake = face.liveness is not None and face.liveness < limit
        return (*poor, NOT_ALIVE) if fake else poor

    def _look(self, frame: Frame, faces: tuple[Face, ...]) -> list["Look"]:
        seen = self._enrolment if frame.want is Want.ENROL else self._identification
        return [seen(frame, face, number) for number, face in enumerate(faces)]

    def _outcome(
        self,
        frame: Frame,
        started: float,
        looks: list["Look"] | None = None,
        size: tuple[int, int] = (0, 0),
        problem: Problem | None = None,
        track: Track = NO_TRACK,
    ) -> Outcome:
        looks = looks or []
        result = Result(
            frame_id=frame.frame_id,
            source=frame.source,
            captured_at=frame.captured_at,
            faces=tuple(look.result for look in looks),
            problem=problem,
            track=track,
            width=size[0],
            height=size[1],
            recognizer=self._settings.instance,
            revision=self.revision,
            took_ms=(time.perf_counter() - started) * 1000,
        )
        return Outcome(result, tuple(look.event for look in looks if look.event))

    def _enrolment(self, frame: Frame, face: Face, number: int) -> "Look":
        """Measured, and searched: the gateway refuses a face that is in the library already."""
        problems = self._problems(face, TO_ENROL)
        match = self._search(face)
        person = self._person(sure(match, self._threshold(len(self._index), TWICE_ENROLLED_FPIR)))
        embedding = b"" if face.embedding is None else face.embedding.astype("<f4").tobytes()
        return Look(
            FaceResult(
                box=_box(face.box),
                verdict=Verdict.MEASURED,
                person=person,
                problems=problems,
                model=self._vision.model_id,
                embedding=embedding,
            )
        )

    def _identification(self, frame: Frame, face: Face, number: int) -> "Look":
        box, at = _box(face.box), frame.captured_at
        past = continued(frame.track, box, at)
        policy, life = self._settings.liveness_motion, self._life(frame, past, face)
        if fake := refused(policy, life):
            return _unusable(box, (fake,), past, life)
        hold = held_back(policy, life)
        if face.embedding is None and past is not None and hold is None:
            return self._still_there(past, box, frame, life)
        if policy == "require-live" and not frame.streaming:
            return _unusable(box, (LIVE_ONLY,), None, None)
        if problems := self._problems(face, TO_IDENTIFY):
            return _unusable(box, problems, past, life)
        match = self._search(face)
        found = sure(match, self._threshold(len(self._index), self._settings.fpir))
        score = score100(match.cosine, self._vision.model_id) if match else 0.0
        event_id = event_id_of(frame.frame_id, number)
        decision = decide(
            past, box, at, found, score, streaming=frame.streaming, event_id=event_id, hold=hold is not None
        )
        tracked = life.kept_in(decision.face) if life else decision.face
        return self._told(frame, decision, tracked, (hold,) if hold and decision.held else ())

    def _told(self, frame: Frame, decision: Decision, face: TrackedFace, problems: tuple[Problem, ...]) -> "Look":
        person = self._person(decision.student_id)
        if person is None:
            verdict = Verdict.PENDING if decision.pending else Verdict.UNKNOWN
            return Look(FaceResult(box=face.box, verdict=verdict, problems=problems), face)
        event = event_of(frame, decision) if decision.news else None
        return Look(identified(face, person), face, event)

    def _still_there(self, past: TrackedFace, box: Box, frame: Frame, life: Life | None) -> "Look":
        """Answered from the track: the face has not moved since it was reported a moment ago."""
        face = past.model_copy(update={"box": box, "seen_at": frame.captured_at})
        face = life.kept_in(face) if life else face
        person = self._person(past.reported_id)
        if person is None:
            return Look(FaceResult(box=box, verdict=Verdict.UNKNOWN))
        return Look(identified(face, person), face)

    def _life(self, frame: Frame, past: TrackedFace | None, face: Face) -> Life | None:
        """What the motion of a streamed face says; None where nobody asks."""
        if self._settings.liveness_motion == "off" or not frame.streaming:
            return None
        return lives(past, face.mesh, face.embedding, frame.captured_at, self._alike())

    def _alike(self) -> float:
        """The cosine from which two looks are of one person."""
        return self._threshold(1, self._settings.fpir)

    def _challenge(self, frame: Frame, faces: tuple[Face, ...]) -> tuple[list["Look"], Track]:
        """What the largest face did of what it is asked."""
        face = faces[0] if faces else None
        problems = self._problems(face, TO_ENROL) if face else ()
        if len(faces) > 1:
            problems = (SEVERAL_FACES, *problems)
        at, alike = frame.captured_at, self._alike()
        track = challenged(frame.track, face, good=not problems, at=at, frame_id=frame.frame_id, alike=alike)
        if face is None:
            return [], track
        return [Look(FaceResult(box=_box(face.box), verdict=Verdict.MEASURED, problems=problems))], track

    def _needs_embedding(self, frame: Frame) -> Callable[[vision.Box], bool]:
        """Which faces need an embedding: all but those that their track answers."""

        def needs(place: vision.Box) -> bool:
            if frame.want is not Want.IDENTIFY:
                return True
            box, at = _box(place), frame.captured_at
            past = continued(frame.track, box, at)
            proved = self._settings.liveness_motion != "require-live" or (past is not None and still_alive(past, at))
            return not (proved and known_from_track(past, box, at))

        return needs

    def _search(self, face: Face) -> Match | None:
        if face.embedding is None:
            return None
        with self._watch("search"):
            return self._index.search(face.embedding)

    def _person(self, student_id: int) -> Person | None:
        return self._index.people.get(student_id)

    def _threshold_of(self, faces: int, fpir: float) -> float:
        return threshold_for(fpir, faces, self._vision.model_id)


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A BGR picture H×W×3 and its faces: where, and why they cannot be used."""

    picture: Pixels
    faces: tuple[tuple[Box, tuple[Problem, ...]], ...]


class Look:
    """The answer about one face, its continued track, and the event if it is news."""

    __slots__ = ("event", "result", "tracked")

    def __init__(self, result: FaceResult, tracked: TrackedFace | None = None, event: Identified | None = None) -> None:
        self.result, self.tracked, self.event = result, tracked, event


def _unusable(box: Box, problems: tuple[Problem, ...], past: TrackedFace | None, life: Life | None) -> Look:
    """Refused; where motion is judged, what was seen of it stays in the track."""
    return Look(
        FaceResult(box=box, verdict=Verdict.UNUSABLE, problems=problems), life.kept(past, box) if life else None
    )


def identified(face: TrackedFace, person: Person) -> FaceResult:
    """The answer about a face whose owner is known."""
    return FaceResult(box=face.box, verdict=Verdict.IDENTIFIED, person=person, score=face.score, event_id=face.event_id)


def event_of(frame: Frame, decision: Decision) -> Identified:
    """The same frame gives the same event id, so a turn that is worked on twice is one punch."""
    return Identified(
        event_id=decision.face.event_id,
        frame_id=frame.frame_id,
        student_id=decision.student_id,
        place=frame.place,
        kind=frame.kind,
        source=frame.source,
        captured_at=frame.captured_at,
        score=decision.face.score,
    )


def _box(box: vision.Box) -> Box:
    return Box(left=box.left, top=box.top, width=box.width, height=box.height)


@asynccontextmanager
async def local_engine(
    settings: RecognizerSettings, watch: vision.Watch = vision.unwatched
) -> AsyncIterator[LocalEngine]:
    """Load the networks and own the thread while inside. Raises a WeightError when a weight is missing."""
    with ThreadPoolExecutor(1, thread_name_prefix="engine") as thread:
        loop = asyncio.get_running_loop()
        faces = await loop.run_in_executor(thread, _load, settings)
        yield LocalEngine(settings, thread, faces, watch)


def _load(settings: RecognizerSettings) -> FaceEngine:
    faces = FaceEngine(Weights.load(), EngineSettings(threads=settings.threads))
    faces.warm_up()
    return faces
