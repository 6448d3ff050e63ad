"""The Baidu engine's rules: when the cloud is asked, and whom its answer names."""

from datetime import UTC, datetime, timedelta

import pytest

from recognizer.engines.baidu import MARGIN, TABLE, Roll, best, due, quality_of
from recognizer.settings import RecognizerSettings
from shared.baidu.replies import DetectedFace, Match
from shared.contracts.gallery import LibraryDelta
from shared.contracts.people import Gender, Person
from shared.contracts.recognition import Box, TrackedFace
from shared.vision.decision import REPORT_AGAIN
from shared.vision.quality import check
from tests.recorded_cloud import ANGLE, GOOD_QUALITY, LOCATION

AT = datetime(2026, 3, 2, tzinfo=UTC)
BOX = Box(left=0, top=0, width=100, height=100)
SECONDS = timedelta(seconds=1)


def person(student_id: int, num: str) -> Person:
    return Person(student_id=student_id, num=num, name="A", class_name="B", gender=Gender.MAN)


def seen(votes: tuple[int, ...] = (), reported_id: int = 0, looked_at: datetime | None = AT) -> TrackedFace:
    return TrackedFace(box=BOX, seen_at=AT, votes=votes, reported_id=reported_id, looked_at=looked_at)


@pytest.mark.parametrize(
    ("past", "after_s", "asked"),
    [
        (None, 0, True),
        (seen(looked_at=None), 0, True),
        (seen(votes=(0,)), 2.9, False),
        (seen(votes=(0,)), 3.0, True),
        (seen(votes=()), 2.9, False),
        (seen(votes=(7,), reported_id=7), REPORT_AGAIN.total_seconds() - 0.1, False),
        (seen(votes=(7,), reported_id=7), REPORT_AGAIN.total_seconds(), True),
        (seen(votes=(7, 0), reported_id=7), 3.0, True),
    ],
)
def test_when_the_cloud_is_asked(past: TrackedFace | None, after_s: float, asked: bool) -> None:
    assert due(past, AT + after_s * SECONDS, look_s=3.0) is asked


def match(user_id: str, score: float) -> Match:
    return Match(group_id="students", user_id=user_id, score=score)


def test_only_whom_the_registry_knows_is_somebody() -> None:
    roll = Roll()
    roll.apply(LibraryDelta(revision=1, head=1, people=(person(7, "s7"), person(8, "s8"))))
    assert best([match("s7", 95.0)], roll) == (person(7, "s7"), 95.0)
    assert best([match("nobody", 99.0)], roll) == (None, 99.0)
    assert best([match("nobody", 99.0), match("s8", 90.0)], roll) == (person(8, "s8"), 90.0)
    assert best([], roll) == (None, 0.0)
    assert best([match("s7", 95.0), match("s8", 95.0 - MARGIN / 2)], roll)[0] is None
    assert best([match("s7", 95.0), match("s8", 95.0 - MARGIN)], roll)[0] == person(7, "s7")


def test_the_roll_follows_renumbered_and_deleted_students() -> None:
    roll = Roll()
    roll.apply(LibraryDelta(revision=1, head=1, people=(person(7, "a"), person(8, "b"))))
    roll.apply(LibraryDelta(revision=2, head=2, people=(person(7, "b"), person(8, "a"))))
    assert (roll.by_num("a"), roll.by_num("b")) == (person(8, "a"), person(7, "b"))
    roll.apply(LibraryDelta(revision=3, head=3, removed_people=(7,)))
    assert (roll.by_num("b"), roll.by_id(7), roll.by_num("a")) == (None, None, person(8, "a"))


def detected(**changed: object) -> DetectedFace:
    quality = {**GOOD_QUALITY, **{k: v for k, v in changed.items() if k in GOOD_QUALITY}}
    occlusion = {**GOOD_QUALITY["occlusion"], **{k: v for k, v in changed.items() if k in GOOD_QUALITY["occlusion"]}}
    return DetectedFace.model_validate(
        {
            "face_token": "t",
            "location": {**LOCATION, **{k: v for k, v in changed.items() if k in LOCATION}},
            "angle": {**ANGLE, **{k: v for k, v in changed.items() if k in ANGLE}},
            "quality": {**quality, "occlusion": occlusion},
        }
    )


@pytest.mark.parametrize(
    ("passes", "fails", "code"),
    [
        ({"left_eye": 0.6}, {"left_eye": 0.61}, 223121),
        ({"right_eye": 0.6}, {"right_eye": 0.61}, 223122),
        ({"nose": 0.7}, {"nose": 0.71}, 223126),
        ({"mouth": 0.7}, {"mouth": 0.71}, 223127),
        ({"left_cheek": 0.8}, {"left_cheek": 0.81}, 223123),
        ({"right_cheek": 0.8}, {"right_cheek": 0.81}, 223124),
        ({"chin_contour": 0.6}, {"chin_contour": 0.61}, 223125),
        ({"blur": 0.69}, {"blur": 0.71}, 223114),
        ({"illumination": 40}, {"illumination": 39}, 223115),
        ({"pitch": -20}, {"pitch": -20.1}, 223129),
        ({"roll": 20}, {"roll": 20.1}, 223129),
        ({"yaw": -20}, {"yaw": 20.1}, 223129),
        ({"width": 100, "height": 100}, {"width": 99, "height": 170}, 222213),
    ],
)
def test_the_seeds_table_of_limits(passes: dict[str, float], fails: dict[str, float], code: int) -> None:
    assert check(quality_of(detected(**passes)), TABLE) == ()
    assert [failure.code for failure in check(quality_of(detected(**fails)), TABLE)] == [code]


def test_the_engine_needs_keys_and_shows_none() -> None:
    with pytest.raises(ValueError, match="ROLLCALL_BAIDU_API_KEY"):
        RecognizerSettings(nats_password="p", engine="baidu")  # type: ignore[arg-type]
    settings = RecognizerSettings(
        nats_password="p",
        engine="baidu",
        baidu_api_key="an-api-key",
        baidu_secret_key="a-secret",  # type: ignore[arg-type]
    )
    assert "an-api-key" not in f"{settings!r} {settings.cloud!r}"
    assert "a-secret" not in f"{settings!r} {settings.cloud!r}"


def test_what_the_cloud_cannot_judge_is_not_promised() -> None:
    keys = {"engine": "baidu", "baidu_api_key": "k", "baidu_secret_key": "s", "nats_password": "p"}
    assert RecognizerSettings.model_validate(keys).turns == 16
    with pytest.raises(ValueError, match="engine local only"):
        RecognizerSettings.model_validate(keys | {"liveness_motion": "require-live"})


def test_the_door_never_waits_until_its_turn_is_given_away() -> None:
    with pytest.raises(ValueError, match="baidu_answer_s"):
        RecognizerSettings(nats_password="p", baidu_answer_s=2.0)  # type: ignore[arg-type]
