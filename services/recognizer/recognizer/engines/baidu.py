"""The Baidu engine: the cloud says who it is, this machine says when it is worth asking.

As seed 000 has it: detect with quality, the table of limits, then search. Every call costs money and carries a face
off the campus, so the frame is looked at here first: without a usable face nothing leaves; what leaves is the face cut
out of the picture; and a face that was shown to the cloud is answered from its track for a while.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import cv2
import structlog

from recognizer.decision import REPORT_AGAIN, continued, decide
from recognizer.engines import Outcome
from recognizer.engines.local import LocalEngine, Look, Sight, event_of, identified
from recognizer.settings import RecognizerSettings
from shared.baidu.client import Cloud, Interface
from shared.baidu.replies import DetectedFace, Match
from shared.contracts.base import now
from shared.contracts.gallery import LibraryDelta
from shared.contracts.library import CLOUD_MODEL
from shared.contracts.people import Person
from shared.contracts.recognition import (
    BAIDU,
    NO_FACE,
    Box,
    FaceResult,
    Frame,
    Problem,
    Result,
    Track,
    TrackedFace,
    Verdict,
    Want,
    event_id_of,
)
from shared.errors import CloudAway, CloudRefused, RollcallError
from shared.vision.occlusion import Occlusion
from shared.vision.picture import PictureError
from shared.vision.quality import Limits, Quality, check
from shared.vision.runtime import Pixels

log = structlog.get_logger("baidu engine")

TABLE = Limits(size=100, illumination=40, blur=0.7, completeness=0, yaw=20, pitch=20, roll=20)
"""Seed 000 §5.1.4.2, occlusion included (the default of Limits); completeness is left to the business there, and 100
pixels are Baidu's measure of a face, not ours."""

AROUND = 0.6
"""of a face's width and height that goes along on each side: hair and chin, not the neighbour"""

JPEG_QUALITY = 95

MARGIN = 2.0
"""of score between the best student and the next; our choice: Baidu publishes no distribution of its scores"""

ENROL_S = 4.0
"""a registration waits this long for the cloud, in seconds; its turn is kept meanwhile"""

UNAVAILABLE = 2
"""Baidu's "service temporarily unavailable": the code of a problem that is not the picture's"""

NO_CONSENT = Problem(
    code=222203,
    zh="需要同意将照片发送到百度云后才能登记",
    en="Registration needs the consent to send the photo to Baidu's cloud",
)


class Roll:
    """The students by number: only whom the registry knows is somebody. Pure."""

    def __init__(self) -> None:
        self._people: dict[int, Person] = {}
        self._by_num: dict[str, Person] = {}

    def apply(self, delta: LibraryDelta) -> None:
        for student_id in delta.removed_people:
            self._forget(student_id)
        for person in delta.people:
            self._forget(person.student_id)
        for person in delta.people:
            self._people[person.student_id] = self._by_num[person.num] = person

    def _forget(self, student_id: int) -> None:
        gone = self._people.pop(student_id, None)
        if gone is not None and self._by_num.get(gone.num) is gone:
            del self._by_num[gone.num]

    def by_id(self, student_id: int) -> Person | None:
        return self._people.get(student_id)

    def by_num(self, num: str) -> Person | None:
        return self._by_num.get(num)


def due(past: TrackedFace | None, at: datetime, look_s: float) -> bool:
    """Whether a face may be shown to the cloud: a new one at once, one that was reported after REPORT_AGAIN, any other
    after `look_s` seconds."""
    if past is None or past.looked_at is None:
        return True
    rest = REPORT_AGAIN if _stands(past) else timedelta(seconds=look_s)
    return at - past.looked_at >= rest


def _stands(past: TrackedFace) -> bool:
    return past.reported_id != 0 and past.votes[-1:] == (past.reported_id,)


def best(matches: Sequence[Match], roll: Roll) -> tuple[Person | None, float]:
    """(the student of a cloud's answer, score); nobody when the two nearest students are too close to tell."""
    known = [(person, match.score) for match in matches if (person := roll.by_num(match.user_id))]
    if not known or (len(known) > 1 and known[0][1] - known[1][1] < MARGIN):
        return None, max((match.score for match in matches), default=0.0)
    return known[0]


def quality_of(face: DetectedFace) -> Quality:
    """Baidu's figures in our form; the signs of its angles are its own, only their size is judged."""
    quality = face.quality
    if quality is None:
        raise CloudAway(en="the cloud did not say how good the face is")
    hidden = quality.occlusion
    return Quality(
        size=min(face.location.width, face.location.height),
        illumination=quality.illumination,
        blur=quality.blur,
        completeness=int(quality.completeness),
        yaw=face.angle.yaw,
        roll=face.angle.roll,
        pitch=face.angle.pitch,
        occlusion=Occlusion(
            left_eye=hidden.left_eye,
            right_eye=hidden.right_eye,
            nose=hidden.nose,
            mouth=hidden.mouth,
            left_cheek=hidden.left_cheek,
            right_cheek=hidden.right_cheek,
            chin_contour=max(hidden.chin_contour, hidden.chin),
        ),
    )


def cut_out(picture: Pixels, box: Box) -> bytes:
    """The face with what is around it, as JPEG: nobody else's face need leave."""
    height, width = picture.shape[:2]
    left, right = box.left - AROUND * box.width, box.left + (1 + AROUND) * box.width
    top, bottom = box.top - AROUND * box.height, box.top + (1 + AROUND) * box.height
    part = picture[max(0, int(top)) : min(height, int(bottom)), max(0, int(left)) : min(width, int(right))]
    _, jpeg = cv2.imencode(".jpg", part, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return jpeg.tobytes()


class BaiduEngine:
    """Questions and challenges are the local engine's in any case; so is finding faces. With fall-back it also answers
    when the cloud does not, and says so in `Result.engine`."""

    def __init__(self, settings: RecognizerSettings, local: LocalEngine, cloud: Cloud) -> None:
        self._settings, self._local, self._cloud = settings, local, cloud
        self._falls_back = settings.baidu_fallback == "local"
        self._roll = Roll()
        self._away = False

    @property
    def name(self) -> str:
        return BAIDU

    @property
    def revision(self) -> int:
        return self._local.revision

    @property
    def waiting(self) -> int:
        return self._local.waiting

    @property
    def faces(self) -> dict[str, int]:
        return self._local.faces

    async def ready(self) -> None:
        await self._local.ready()

    async def apply(self, delta: LibraryDelta) -> None:
        self._roll.apply(delta)
        await self._local.apply(delta)

    async def reset(self) -> None:
        self._roll = Roll()
        await self._local.reset()

    async def answer(self, frame: Frame) -> Outcome:
        if frame.want not in (Want.IDENTIFY, Want.ENROL):
            return await self._local.answer(frame)
        started = time.perf_counter()
        work = self._enrolment if frame.want is Want.ENROL else self._identification
        outcome = await work(frame)
        took_ms = (time.perf_counter() - started) * 1000
        return replace(outcome, result=outcome.result.model_copy(update={"took_ms": took_ms}))

    # ---- at the door

    async def _identification(self, frame: Frame) -> Outcome:
        try:
            sight = await self._local.find(frame)
        except PictureError as error:
            return self._outcome(frame, problem=_problem(error))
        ends = self._ends(frame, self._settings.baidu_answer_s)
        looks = await asyncio.gather(
            *(self._look(frame, sight, number, ends) for number in range(len(sight.faces))), return_exceptions=True
        )
        for failed in [look for look in looks if isinstance(look, BaseException)]:
            if not (isinstance(failed, CloudAway) and self._falls_back):
                raise failed
            self._tell(away=True, reason=failed.en)
            return await self._local.answer(frame)
        size = (sight.picture.shape[1], sight.picture.shape[0])
        seen = [look for look in looks if isinstance(look, Look)]
        return self._outcome(frame, seen, size, None if seen else NO_FACE)

    def _tell(self, *, away: bool, reason: str = "") -> None:
        """Once for each change: an outage would fill the log with every frame."""
        if away and not self._away:
            log.warning("the cloud does not answer: this machine does", reason=reason)
        elif self._away and not away:
            log.info("the cloud answers again")
        self._away = away

    @staticmethod
    def _ends(frame: Frame, seconds: float) -> float:
        """When the cloud must have answered, on the loop's clock."""
        left = (frame.deadline - now()).total_seconds()
        return asyncio.get_running_loop().time() + max(0.0, min(seconds, left))

    async def _look(self, frame: Frame, sight: Sight, number: int, ends: float) -> Look:
        """Raises CloudAway where there is a fall-back."""
        box, problems = sight.faces[number]
        past = continued(frame.track, box, frame.captured_at)
        if not due(past, frame.captured_at, self._settings.baidu_look_s):
            return self._remembered(past, box, frame)
        if problems:
            return Look(FaceResult(box=box, verdict=Verdict.UNUSABLE, problems=problems), _continued(past, box, frame))
        if frame.streaming and not self._cloud.has_room(Interface.DETECT, Interface.SEARCH):
            return self._remembered(past, box, frame)
        try:
            found = await self._ask(cut_out(sight.picture, box), ends)
        except CloudAway as error:
            if self._falls_back:
                raise
            found = (_problem(error),)
        except CloudRefused as error:
            found = (_problem(error),)
        if isinstance(found, tuple):
            return Look(FaceResult(box=box, verdict=Verdict.UNUSABLE, problems=found), _shown(past, box, frame))
        return self._told(frame, past, box, number, found)

    async def _ask(self, jpeg: bytes, ends: float) -> tuple[Problem, ...] | list[Match]:
        """What the cloud says of one face: why it cannot be used, or whom it resembles."""
        clock = asyncio.get_running_loop().time
        face, *_ = await self._cloud.detect(jpeg, within=ends - clock())
        if failures := check(quality_of(face), TABLE):
            return tuple(Problem(code=f.code, zh=f.zh, en=f.en) for f in failures)
        settings = self._settings
        found = await self._cloud.search(
            jpeg, settings.baidu_group, threshold=settings.baidu_threshold, users=2, within=ends - clock()
        )
        self._tell(away=False)
        return list(found)

    def _told(self, frame: Frame, past: TrackedFace | None, box: Box, number: int, found: list[Match]) -> Look:
        """One look decides: a second one would cost as much again, and the threshold is the cloud's own."""
        person, score = best(found, self._roll)
        decision = decide(
            past,
            box,
            frame.captured_at,
            person.student_id if person else 0,
            score,
            streaming=False,
            event_id=event_id_of(frame.frame_id, number),
        )
        if person is None:
            return Look(FaceResult(box=box, verdict=Verdict.UNKNOWN), decision.face)
        event = event_of(frame, decision) if decision.news else None
        return Look(identified(decision.face, person), decision.face, event)

    def _remembered(self, past: TrackedFace | None, box: Box, frame: Frame) -> Look:
        """Answered from the track: the cloud was asked a moment ago, or has no time just now."""
        face = _continued(past, box, frame)
        if past is None or face is None:
            return Look(FaceResult(box=box, verdict=Verdict.PENDING))
        person = self._roll.by_id(past.reported_id)
        if person is not None and _stands(past):
            return Look(identified(face, person), face)
        verdict = Verdict.UNKNOWN if past.votes[-1:] == (0,) else Verdict.PENDING
        return Look(FaceResult(box=box, verdict=verdict), face)

    # ---- registration

    async def _enrolment(self, frame: Frame) -> Outcome:
        """Measured here, judged and searched by the cloud. Never falls back: who is not in the cloud would not be
        found there."""
        if not frame.may_leave:
            return self._outcome(frame, problem=NO_CONSENT)
        local = (await self._local.answer(frame)).result
        if local.problem or len(local.faces) != 1:
            return Outcome(local)
        (face,) = local.faces
        try:
            found = await self._ask(frame.jpeg, self._ends(frame, ENROL_S))
        except RollcallError as error:
            return self._outcome(frame, problem=_problem(error))
        size = (local.width, local.height)
        if isinstance(found, tuple):
            result = FaceResult(box=face.box, verdict=Verdict.MEASURED, problems=found)
            return self._outcome(frame, [Look(result)], size)
        known = next((person for match in found if (person := self._roll.by_num(match.user_id))), None)
        model, embedding = (face.model, face.embedding) if self._falls_back else (CLOUD_MODEL, b"")
        result = FaceResult(box=face.box, verdict=Verdict.MEASURED, person=known, model=model, embedding=embedding)
        return self._outcome(frame, [Look(result)], size)

    def _outcome(
        self,
        frame: Frame,
        looks: Sequence[Look] = (),
        size: tuple[int, int] = (0, 0),
        problem: Problem | None = None,
    ) -> Outcome:
        result = Result(
            frame_id=frame.frame_id,
            source=frame.source,
            captured_at=frame.captured_at,
            faces=tuple(look.result for look in looks),
            problem=problem,
            track=Track(faces=tuple(look.tracked for look in looks if look.tracked)),
            width=size[0],
            height=size[1],
            recognizer=self._settings.instance,
            revision=self.revision,
            engine=BAIDU,
        )
        return Outcome(result, tuple(look.event for look in looks if look.event))


def _problem(error: RollcallError) -> Problem:
    """In the words of the error; trouble of the service itself has one code, whatever the service's own was."""
    code = UNAVAILABLE if isinstance(error, CloudAway) else error.number
    return Problem(code=code, zh=error.zh, en=error.en)


def _continued(past: TrackedFace | None, box: Box, frame: Frame) -> TrackedFace | None:
    """The track of a face that was only seen."""
    return None if past is None else past.model_copy(update={"box": box, "seen_at": frame.captured_at})


def _shown(past: TrackedFace | None, box: Box, frame: Frame) -> TrackedFace:
    """The track of a face that was shown to the cloud in vain: it rests like any other."""
    at = frame.captured_at
    before = past or TrackedFace(box=box, seen_at=at)
    return before.model_copy(update={"box": box, "seen_at": at, "looked_at": at, "votes": ()})
