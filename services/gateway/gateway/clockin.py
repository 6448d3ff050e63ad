"""Single pictures: a posted clock-in and a registration, each a source with one frame that waits for its result."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from gateway.cloud import in_cloud, insist
from gateway.decoding import Decoding
from gateway.frames import Frames
from gateway.reporting import Origin, Wall
from gateway.settlements import Settlements
from shared.bus import Bus
from shared.codes import FaceCode
from shared.contracts.attendance import AttendanceRecorded
from shared.contracts.library import EnrolledFace
from shared.contracts.people import Gender, Person, RegisterStudent
from shared.contracts.recognition import (
    ALIVE_FOR_S,
    BAIDU,
    NO_FACE,
    SEVERAL_FACES,
    FaceResult,
    Problem,
    RecognizerAlive,
    Result,
    SourceKind,
    Verdict,
    Want,
    frame_of_event,
)
from shared.errors import Conflict, Refused, RollcallError, Unavailable
from shared.vision.picture import PictureError, fit

log = structlog.get_logger("clockin")

SETTLE_S = 2.0
"""How long a posted clock-in waits for the database before it answers "pending", in seconds."""

SEARCHABLE_S = 3.0
"""How long a registration waits for every recognizer's index, in seconds."""

NOBODY = Problem(code=222207, zh="未找到匹配的学员", en="No matching student was found")
BUSY = -2
"""errno for "our fault, try again"; the seed knows only -1, the student who cannot be told."""


class PictureRefused(Refused):
    """The picture cannot be enrolled; `problems` holds every reason."""

    code = "picture_refused"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("；".join(p.zh for p in problems), "; ".join(p.en for p in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class StudentForm:
    """A registration's fields, validated."""

    num: str
    name: str
    class_name: str
    gender: Gender


@dataclass(frozen=True, slots=True)
class Punch:
    """state: "recorded" (in the database), "repeated" (an earlier punch stands, made `at`), "pending"."""

    state: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What a posted clock-in says; errno 0 is a recognised student."""

    errno: int
    zh: str
    en: str
    person: Person | None = None
    punch: Punch | None = None
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Enrolled:
    """`searchable`: every live recognizer already finds the face."""

    person: Person
    searchable: bool


class Indexes:
    """What revision each live recognizer's index has reached."""

    def __init__(self, patience_s: float = SEARCHABLE_S) -> None:
        self._patience_s = patience_s
        self._seen: dict[str, tuple[int, float]] = {}
        self._engines: dict[str, str] = {}
        self._waiting: dict[str, int] = {}
        self._moved = asyncio.Condition()

    async def start(self, bus: Bus) -> None:
        """Hear the recognizers."""
        await bus.follow(RecognizerAlive.subject, RecognizerAlive, self._heard)

    async def _heard(self, alive: RecognizerAlive, _: str) -> None:
        async with self._moved:
            if alive.leaving:
                self._seen.pop(alive.recognizer, None)
                self._engines.pop(alive.recognizer, None)
                self._waiting.pop(alive.recognizer, None)
            else:
                self._waiting[alive.recognizer] = alive.waiting
                self._engines[alive.recognizer] = alive.engine
                self._seen[alive.recognizer] = (alive.revision, time.monotonic())
            self._moved.notify_all()

    @property
    def pictures_leave(self) -> bool:
        """Whether any recognizer sends pictures to the cloud: then people are asked for their consent to that."""
        return BAIDU in self._engines.values()

    @property
    def waiting(self) -> int:
        """Registered faces that an earlier model measured, by which nobody is recognised; 0 if no recognizer lives."""
        return max((self._waiting[name] for name in self._alive()), default=0)

    def alive(self) -> int:
        """How many recognizers live, as far as this gateway heard."""
        return len(self._alive())

    async def reach(self, revision: int) -> bool:
        """Wait until every live recognizer is at `revision`; False after SEARCHABLE_S, which is logged."""
        try:
            async with asyncio.timeout(self._patience_s), self._moved:
                await self._moved.wait_for(lambda: self._all_at(revision))
        except TimeoutError:
            behind = {name: reached for name, reached in self._alive().items() if reached < revision}
            log.warning("not every recognizer has the change yet", revision=revision, behind=behind)
            return False
        return True

    def _all_at(self, revision: int) -> bool:
        alive = self._alive()
        return bool(alive) and min(alive.values()) >= revision

    def _alive(self) -> dict[str, int]:
        """The revisions of those who were heard of lately."""
        fresh_since = time.monotonic() - ALIVE_FOR_S
        return {name: reached for name, (reached, heard_at) in self._seen.items() if heard_at >= fresh_since}


class Recognition:
    """Posted pictures."""

    def __init__(
        self,
        bus: Bus,
        frames: Frames,
        settlements: Settlements,
        indexes: Indexes,
        wall: Wall,
        decoding: Decoding,
    ) -> None:
        self._bus, self._frames, self._decoding = bus, frames, decoding
        self._settlements, self._indexes, self._wall = settlements, indexes, wall

    async def clock_in(self, picture: bytes, place: str) -> Answer:
        """Recognise one picture; waits for its own result and, briefly, for the punch. Never raises Refused."""
        try:
            jpeg = await self._decoding.run(fit, picture)
            result = await self._frames.once(jpeg, place=place, want=Want.IDENTIFY, max_faces=1)
        except PictureError as error:
            return Answer(error.number, error.zh, error.en)
        except RollcallError as error:
            return Answer(BUSY, error.zh, error.en)
        await self._wall.show(Origin(result.source, SourceKind.UPLOAD, place), result)
        return await self._answer(result)

    async def _answer(self, result: Result) -> Answer:
        face = result.faces[0] if result.faces else None
        if face is not None and face.verdict is Verdict.IDENTIFIED and face.person is not None:
            punch = await self._punch(face.event_id, result.captured_at)
            return Answer(0, "识别成功", "recognised", face.person, punch, face.score)
        problem = _why(result, face)
        return Answer(problem.code, problem.zh, problem.en)

    async def _punch(self, event_id: str, captured_at: datetime) -> Punch:
        outcome = await self._settlements.wait(event_id, SETTLE_S)
        log.info("punch answered", settled=outcome is not None, trace=frame_of_event(event_id))
        if outcome is None:
            return Punch("pending", captured_at)
        if isinstance(outcome, AttendanceRecorded):
            return Punch("recorded", outcome.captured_at)
        return Punch("repeated", outcome.first_at)

    @property
    def pictures_leave(self) -> bool:
        """Whether who registers must agree that the picture goes to the cloud."""
        return self._indexes.pictures_leave

    async def enrol(
        self,
        form: StudentForm,
        picture: bytes,
        accept: Callable[[FaceResult], None] = lambda face: None,
        *,
        may_leave: bool = False,
    ) -> Enrolled:
        """Register a student with a photo; `may_leave`: the person agreed that it goes to the cloud. Raises
        PictureRefused, Conflict, InvalidInput, CloudRefused, Unavailable, or what `accept` raises of the face that
        was found; then nothing was written."""
        try:
            jpeg = await self._decoding.run(fit, picture)
        except PictureError as error:
            raise PictureRefused((Problem(code=error.number, zh=error.zh, en=error.en),)) from None
        result = await self._frames.once(jpeg, place="register", want=Want.ENROL, max_faces=2, may_leave=may_leave)
        face = _enrollable(result)
        accept(face)
        if result.engine == BAIDU:
            async with in_cloud(self._bus, form.num, jpeg) as token:
                registered = await insist(self._bus, _registration(form, face, jpeg, token))
        else:
            registered = await self._bus.ask(_registration(form, face, jpeg))
        searchable = await self._indexes.reach(registered.revision)
        log.info("registered", student_id=registered.person.student_id, searchable=searchable)
        return Enrolled(registered.person, searchable)

    async def wait_until_searchable(self, revision: int) -> bool:
        """Whether every live recognizer's index reached `revision` within SEARCHABLE_S."""
        return await self._indexes.reach(revision)


def _registration(form: StudentForm, face: FaceResult, jpeg: bytes, token: str = "") -> RegisterStudent:
    box = (face.box.left, face.box.top, face.box.width, face.box.height)
    enrolled = EnrolledFace(model=face.model, embedding=face.embedding, jpeg=jpeg, box=box, token=token)
    return RegisterStudent(num=form.num, name=form.name, class_name=form.class_name, gender=form.gender, face=enrolled)


def _why(result: Result, face: FaceResult | None) -> Problem:
    """The first thing to tell somebody who was not recognised."""
    if face is None:
        return result.problem or NO_FACE
    return face.problems[0] if face.problems else NOBODY


def _enrollable(result: Result) -> FaceResult:
    """The one usable face of an enrolment. Raises PictureRefused, Unavailable if the cloud does not answer, or
    Conflict for a face that is known."""
    if result.problem and result.problem.code == FaceCode.UNAVAILABLE:
        raise Unavailable(result.problem.zh, result.problem.en)
    if not result.faces:
        raise PictureRefused((result.problem or NO_FACE,))
    if len(result.faces) > 1:
        raise PictureRefused((SEVERAL_FACES,))
    face = result.faces[0]
    if face.problems:
        raise PictureRefused(face.problems)
    if face.person is not None:
        raise Conflict("这张脸已经登记过了，如有疑问请联系老师", "This face is registered already", field="img_data")
    return face
