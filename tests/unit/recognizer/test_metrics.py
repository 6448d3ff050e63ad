"""How a frame is counted."""

import pytest

from recognizer.metrics import RESULTS, Tally, outcome_of
from shared.contracts.base import now
from shared.contracts.recognition import NO_FACE, SEVERAL_FACES, Box, FaceResult, Problem, Result, Track, Verdict, Want
from shared.metrics import Metrics

BOX = Box(left=0, top=0, width=9, height=9)


def a_result(*verdicts: Verdict, problem: Problem | None = None) -> Result:
    faces = tuple(FaceResult(box=BOX, verdict=verdict) for verdict in verdicts)
    return Result(
        frame_id="f", source="s", captured_at=now(), faces=faces, problem=problem, track=Track(), recognizer="r",
        revision=1, took_ms=1.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("want", "result", "outcome"),
    [
        (Want.IDENTIFY, a_result(Verdict.UNUSABLE, Verdict.IDENTIFIED), "identified"),
        (Want.IDENTIFY, a_result(Verdict.UNUSABLE, Verdict.UNKNOWN), "unknown"),
        (Want.IDENTIFY, a_result(Verdict.UNKNOWN, Verdict.PENDING), "pending"),
        (Want.IDENTIFY, a_result(problem=NO_FACE), "no_face"),
        (Want.IDENTIFY, a_result(problem=SEVERAL_FACES), "bad_picture"),
        (Want.ENROL, a_result(Verdict.MEASURED), "enrolment"),
        (Want.CHALLENGE, a_result(problem=NO_FACE), "challenge"),
        (Want.ANSWER, a_result(), "question"),
    ],
)
def test_of_several_faces_the_best_answer_counts(want: Want, result: Result, outcome: str) -> None:
    assert outcome_of(want, result) == outcome
    assert outcome in RESULTS


async def test_a_stage_is_timed_again_and_again_and_others_are_let_be() -> None:
    metrics = Metrics("recognizer", "r")
    tally = Tally(metrics)
    for stage in ("detect", "detect", "liveness"):
        with tally.stage(stage):
            pass
    text = (await metrics.text()).decode()
    assert 'rollcall_stage_seconds_count{stage="detect"} 2.0' in text
    assert "liveness" not in text
