"""What operators are told of a recognizer: turns, results, how old frames are, where the time goes, how far the library
is. Everything on the way of a frame is bound here, before the first one comes."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Literal

from recognizer.engines import Engine
from recognizer.library import Library
from shared.bus import Bus
from shared.bus.metrics import watch_bus
from shared.bus.topology import CLOUD_CONSUMER, RECOGNIZER_CONSUMER
from shared.contracts.recognition import BAIDU, NO_FACE, Result, Verdict, Want
from shared.metrics import WAIT_S, WORK_S, Metrics
from shared.vision.engine import unwatched

STAGES: Final = ("decode", "detect", "points", "align", "quality", "embed", "search")
"""of the local engine; what only some frames are asked for (liveness, age, gender, eyes) is in the whole"""

Turned = Literal["answered", "gone", "late", "refused", "returned"]
TURNS: Final[tuple[Turned, ...]] = ("answered", "gone", "late", "refused", "returned")

BEST_FIRST: Final = (Verdict.IDENTIFIED, Verdict.PENDING, Verdict.UNKNOWN, Verdict.UNUSABLE)
RESULTS: Final = (
    *(verdict.value for verdict in BEST_FIRST),
    "no_face",
    "bad_picture",
    "enrolment",
    "challenge",
    "question",
)


def outcome_of(want: Want, result: Result) -> str:
    """One of RESULTS: of several faces the best answer counts."""
    if want is not Want.IDENTIFY:
        return {Want.ENROL: "enrolment", Want.CHALLENGE: "challenge", Want.ANSWER: "question"}[want]
    if not result.faces:
        return "no_face" if result.problem == NO_FACE else "bad_picture"
    verdicts = {face.verdict for face in result.faces}
    return next(verdict.value for verdict in BEST_FIRST if verdict in verdicts)


class Tally:
    """Counts along the way of a frame."""

    def __init__(self, metrics: Metrics) -> None:
        turns = metrics.counter("rollcall_turns", "Turns taken, by what came of them", "outcome")
        results = metrics.counter("rollcall_results", "Frames answered, by the answer", "outcome")
        wholes = metrics.histogram("rollcall_frame_seconds", "An engine's whole work on a frame", "want", bounds=WORK_S)
        stages = metrics.histogram("rollcall_stage_seconds", "A stage's work on a frame", "stage", bounds=WORK_S)
        self._turns = {outcome: turns.labels(outcome).inc for outcome in TURNS}
        self._results = {outcome: results.labels(outcome).inc for outcome in RESULTS}
        self._wholes = {want: wholes.labels(want.value).observe for want in Want}
        self._stages = {stage: _Stage(stages.labels(stage).observe) for stage in STAGES}
        self.fetched = metrics.histogram("rollcall_fetch_seconds", "Fetching a frame", bounds=WORK_S).observe
        self.age = metrics.histogram(
            "rollcall_frame_age_seconds", "From a frame's arrival at its gateway to a recognizer's hands", bounds=WAIT_S
        ).observe

    def turn(self, outcome: Turned) -> None:
        """What came of a turn."""
        self._turns[outcome]()

    def result(self, want: Want, result: Result) -> None:
        """A frame was answered."""
        self._results[outcome_of(want, result)]()
        self._wholes[want](result.took_ms / 1000)

    def stage(self, name: str) -> AbstractContextManager[None]:
        """A `shared.vision.engine.Watch`, for the engine's one thread."""
        return self._stages.get(name) or unwatched(name)


class _Stage(AbstractContextManager[None]):
    """Used again and again: no stage is entered twice at a time."""

    __slots__ = ("_began", "_observe")

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe, self._began = observe, 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._observe(time.perf_counter() - self._began)


def watch_recognizer(metrics: Metrics, events: Bus, frames: Bus, engine: Engine, library: Library) -> None:
    """Tell of connections, index and library for as long as the recognizer runs."""
    reads = (RECOGNIZER_CONSUMER, CLOUD_CONSUMER) if engine.name == BAIDU else (RECOGNIZER_CONSUMER,)
    watch_bus(metrics, events, frames, reads)
    metrics.read_by(
        "rollcall_index_faces", "Faces that are searched: at the door, and in the API's libraries", "index",
        lambda: engine.faces,
    )  # fmt: skip
    metrics.read("rollcall_library_revision", "The library revision that is searched", lambda: engine.revision)
    metrics.read("rollcall_library_head_revision", "The newest revision heard of", lambda: library.head)
    metrics.read(
        "rollcall_library_unchecked_seconds", "Since the copy was last known to be the newest", library.unchecked_s
    )
    metrics.read("rollcall_unmeasured_faces", "Registered faces that another model measured", lambda: engine.waiting)
