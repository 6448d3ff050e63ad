"""The Baidu engine on a real broker, against a real HTTP server with recorded answers and every kind of trouble."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import cv2
import numpy as np
import pytest

from recognizer.service import service
from shared.contracts.gallery import FaceRow, GalleryFaces, GroupUsers, UserRow
from shared.contracts.library import CLOUD_MODEL
from shared.contracts.people import Gender, Person
from shared.contracts.recognition import BAIDU, LOCAL, Ask, FaceResult, Question, Result, Track, Verdict, Want
from tests.integration.recognizer.conftest import Around
from tests.recorded_cloud import GOOD_QUALITY, RecordedCloud, recorded_cloud

Photos = dict[str, tuple[bytes, ...]]
ADA = Person(student_id=7, num="s7", name="Ada", class_name="A", gender=Gender.WOMAN)
BOB = Person(student_id=8, num="s8", name="Bob", class_name="A", gender=Gender.MAN)


@pytest.fixture
async def cloud() -> AsyncIterator[RecordedCloud]:
    async with recorded_cloud() as running:
        yield running


@asynccontextmanager
async def door(around: Around, cloud: RecordedCloud, **changed: object) -> AsyncIterator[None]:
    """A recognizer whose engine is the cloud, with Ada and Bob on its roll."""
    around.books.write(people=(ADA, BOB))
    keys = {"engine": "baidu", "baidu_api_key": cloud.api_key, "baidu_secret_key": cloud.secret_key}
    given = {**keys, "baidu_url": cloud.url, "baidu_qps": 100.0, **changed}
    settings = type(around.settings).model_validate({**around.settings.model_dump(), **given})
    async with service(settings):
        yield


def one(result: Result) -> FaceResult:
    (face,) = result.faces
    return face


async def test_a_face_is_judged_searched_and_punched(around: Around, cloud: RecordedCloud, photos: Photos) -> None:
    picture = photos["Jacinda Ardern"][0]
    cloud.finds = [("s7", 97.5), ("s8", 20.0)]
    async with door(around, cloud):
        result = await around.window.once(picture)
    face = one(result)
    assert (face.verdict, face.person, face.score, result.engine) == (Verdict.IDENTIFIED, ADA, 97.5, BAIDU)
    assert await around.books.punches() == 1
    assert [what for what, _ in cloud.asked] == ["detect", "search"]
    asked = dict(cloud.asked)["search"]
    assert (asked["group_id_list"], asked["match_threshold"], asked["quality_control"]) == ("students", 80.0, "NORMAL")
    height, width = shape(picture)
    assert (face.box.left + face.box.width <= width, face.box.top + face.box.height <= height) == (True, True)


async def test_only_the_face_leaves(around: Around, cloud: RecordedCloud, photos: Photos) -> None:
    """A wide picture with the face in one corner: what is sent is a part of it."""
    face = cv2.imdecode(np.frombuffer(photos["Jacinda Ardern"][0], np.uint8), cv2.IMREAD_COLOR)
    assert face is not None
    wide = np.full((face.shape[0] * 2, face.shape[1] * 3, 3), 127, np.uint8)
    wide[: face.shape[0], : face.shape[1]] = face
    async with door(around, cloud):
        await around.window.once(cv2.imencode(".jpg", wide)[1].tobytes())
    sent = cloud_picture(cloud)
    assert sent.shape[0] < wide.shape[0] * 0.6
    assert sent.shape[1] < wide.shape[1] * 0.5


async def test_an_empty_room_costs_nothing(around: Around, cloud: RecordedCloud) -> None:
    empty = cv2.imencode(".jpg", np.full((480, 640, 3), 200, np.uint8))[1].tobytes()
    async with door(around, cloud):
        result = await around.window.once(empty)
    assert result.problem is not None
    assert result.problem.code == 222202
    assert not cloud.calls


async def test_a_stranger_and_a_user_whom_the_registry_does_not_know_are_nobody(
    around: Around, cloud: RecordedCloud, photos: Photos
) -> None:
    async with door(around, cloud):
        assert one(await around.window.once(photos["Rishi Sunak"][0])).verdict is Verdict.UNKNOWN
        cloud.finds = [("someone_else", 99.0)]
        assert one(await around.window.once(photos["Rishi Sunak"][0])).verdict is Verdict.UNKNOWN
    assert await around.books.punches() == 0


async def test_a_poor_face_is_told_what_to_change_and_not_searched(
    around: Around, cloud: RecordedCloud, photos: Photos
) -> None:
    cloud.quality = {**GOOD_QUALITY, "blur": 0.9, "illumination": 20}
    async with door(around, cloud):
        face = one(await around.window.once(photos["Jacinda Ardern"][0]))
    assert face.verdict is Verdict.UNUSABLE
    assert [problem.code for problem in face.problems] == [223115, 223114]
    assert cloud.calls["search"] == 0


@pytest.mark.parametrize(("finds", "verdict"), [([("s7", 95.0)], Verdict.IDENTIFIED), ([], Verdict.UNKNOWN)])
async def test_a_stream_does_not_spend_a_call_a_frame(
    around: Around, cloud: RecordedCloud, photos: Photos, finds: list[tuple[str, float]], verdict: Verdict
) -> None:
    """Ten frames within a second: one look at the cloud, the rest from the track; one punch at most."""
    cloud.finds = finds
    track, verdicts = Track(), []
    async with door(around, cloud):
        for _ in range(10):
            result = await around.window.once(photos["Jacinda Ardern"][0], streaming=True, track=track)
            track = result.track
            verdicts.append(one(result).verdict)
    assert set(verdicts) == {verdict}
    assert (cloud.calls["detect"], cloud.calls["search"]) == (1, 1)
    assert await around.books.punches() == len(finds)


async def test_a_stream_waits_its_turn_where_a_posted_picture_is_served(
    around: Around, cloud: RecordedCloud, photos: Photos
) -> None:
    """One call a second: the second stream is told to wait, and costs nothing; a posted picture waits."""
    cloud.finds = [("s7", 95.0)]
    async with door(around, cloud, baidu_qps=1.0):
        first = await around.window.once(photos["Jacinda Ardern"][0], streaming=True)
        second = await around.window.once(photos["Jacinda Ardern"][0], streaming=True)
        posted = await around.window.once(photos["Jacinda Ardern"][0])
    verdicts = [one(result).verdict for result in (first, second, posted)]
    assert verdicts == [Verdict.IDENTIFIED, Verdict.PENDING, Verdict.IDENTIFIED]
    assert cloud.calls["detect"] == 2


TROUBLE = [("reset", 0.0), ("http500", 0.0), ("garbage", 0.0), ("slow", 5.0), ("silence", 0.0), (17, 0.0)]


@pytest.mark.parametrize(("fault", "seconds"), TROUBLE)
async def test_trouble_is_said_and_the_turn_is_worked_once(
    around: Around, cloud: RecordedCloud, photos: Photos, fault: str | int, seconds: float
) -> None:
    cloud.finds = [("s7", 95.0)]
    async with door(around, cloud):
        cloud.fail("search", fault, seconds=seconds)
        source = await around.window.show(photos["Jacinda Ardern"][0])
        face = one(await around.window.result())
        assert (face.verdict, face.problems[0].code) == (Verdict.UNUSABLE, 2)
        assert around.window.handed_out.count(source) == 1
        assert one(await around.window.once(photos["Jacinda Ardern"][0])).person == ADA
    assert cloud.calls["detect"] == 2


async def test_a_cloud_at_the_edge_of_its_time_is_waited_for_once(
    around: Around, cloud: RecordedCloud, photos: Photos
) -> None:
    """Two slow calls together take nearly as long as the turn is held: it is not given to the other loop."""
    cloud.finds = [("s7", 95.0)]
    async with door(around, cloud, baidu_answer_s=1.8):
        await around.window.once(photos["Jacinda Ardern"][0])
        cloud.fail("detect", "slow", seconds=0.8)
        cloud.fail("search", "slow", seconds=0.7)
        source = await around.window.show(photos["Jacinda Ardern"][0])
        assert one(await around.window.result()).person == ADA
        assert around.window.handed_out.count(source) == 1
        await around.window.once(photos["Jacinda Ardern"][0])
    assert around.window.results.empty()
    assert cloud.calls["detect"] == 3


async def test_too_fast_is_backed_off_and_still_answered(around: Around, cloud: RecordedCloud, photos: Photos) -> None:
    cloud.finds = [("s7", 95.0)]
    cloud.fail("search", 18)
    cloud.fail("detect", 110)
    async with door(around, cloud):
        assert one(await around.window.once(photos["Jacinda Ardern"][0])).person == ADA


# ---- fall-back


async def enrolled_here(around: Around, jpeg: bytes) -> None:
    """Ada's embedding, as a registration with fall-back leaves it."""
    (face,) = (await around.window.once(jpeg, Question(ask=(Ask.EMBEDDING,)))).faces
    users = (GroupUsers.of(1, 3, "students", [UserRow(5, "s7", "", ADA.student_id)]),)
    faces = (GalleryFaces.of(face.model, [FaceRow(9, 5, face.embedding)]),)
    await around.window.reached(await around.books.tell(people=(ADA,), users=users, faces=faces))


@pytest.mark.parametrize(("fault", "seconds"), [("reset", 0.0), ("slow", 5.0)])
async def test_the_local_engine_answers_for_a_cloud_that_does_not(
    around: Around, cloud: RecordedCloud, photos: Photos, fault: str, seconds: float
) -> None:
    first, second = photos["Jacinda Ardern"][:2]
    async with door(around, cloud, baidu_fallback="local"):
        await enrolled_here(around, first)
        cloud.fail("detect", fault, seconds=seconds)
        result = await around.window.once(second)
        assert (one(result).person, result.engine) == (ADA, LOCAL)
        cloud.finds = [("s7", 95.0)]
        result = await around.window.once(second)
        assert (one(result).person, result.engine) == (ADA, BAIDU)


async def test_an_open_circuit_costs_no_time(around: Around, cloud: RecordedCloud, photos: Photos) -> None:
    async with door(around, cloud, baidu_fallback="local"):
        await enrolled_here(around, photos["Jacinda Ardern"][0])
        cloud.fail("detect", *["reset"] * 50)
        for _ in range(8):
            result = await around.window.once(photos["Jacinda Ardern"][1])
            assert (one(result).person, result.engine) == (ADA, LOCAL)
    assert cloud.calls["detect"] == 5, "after five failures in a row nobody asks"


# ---- registration


async def test_a_photo_only_leaves_with_consent(around: Around, cloud: RecordedCloud, photos: Photos) -> None:
    async with door(around, cloud):
        result = await around.window.once(photos["Jacinda Ardern"][0], want=Want.ENROL, max_faces=2)
        assert result.problem is not None
        assert "同意" in result.problem.zh
        assert not cloud.calls
        face = one(await around.window.once(photos["Jacinda Ardern"][0], want=Want.ENROL, max_faces=2, may_leave=True))
    assert (face.verdict, face.model, face.embedding, face.person) == (Verdict.MEASURED, CLOUD_MODEL, b"", None)
    assert face.problems == ()


async def test_with_fall_back_an_embedding_is_kept_too(around: Around, cloud: RecordedCloud, photos: Photos) -> None:
    async with door(around, cloud, baidu_fallback="local"):
        face = one(await around.window.once(photos["Jacinda Ardern"][0], want=Want.ENROL, max_faces=2, may_leave=True))
    assert face.model != CLOUD_MODEL
    assert len(face.embedding) == 512


async def test_a_face_that_the_cloud_knows_is_named(around: Around, cloud: RecordedCloud, photos: Photos) -> None:
    cloud.finds = [("s8", 93.0)]
    async with door(around, cloud):
        face = one(await around.window.once(photos["Jacinda Ardern"][0], want=Want.ENROL, max_faces=2, may_leave=True))
    assert face.person == BOB


async def test_nobody_registers_while_the_cloud_is_away(around: Around, cloud: RecordedCloud, photos: Photos) -> None:
    cloud.fail("detect", "reset")
    async with door(around, cloud, baidu_fallback="local"):
        result = await around.window.once(photos["Jacinda Ardern"][0], want=Want.ENROL, max_faces=2, may_leave=True)
    assert result.problem is not None
    assert result.problem.code == 2


async def test_a_slow_registration_keeps_its_turn(around: Around, cloud: RecordedCloud, photos: Photos) -> None:
    async with door(around, cloud):
        cloud.fail("detect", "slow", seconds=1.3)
        cloud.fail("search", "slow", seconds=1.3)
        source = await around.window.show(photos["Jacinda Ardern"][0], want=Want.ENROL, max_faces=2, may_leave=True)
        assert one(await around.window.result()).verdict is Verdict.MEASURED
    assert around.window.handed_out.count(source) == 1
    assert (cloud.calls["detect"], cloud.calls["search"]) == (1, 1)


async def test_gateways_are_told_that_pictures_leave(around: Around, cloud: RecordedCloud) -> None:
    async with door(around, cloud), asyncio.timeout(10):
        while (await around.window.alive.get()).engine != BAIDU:
            pass


def shape(jpeg: bytes) -> tuple[int, int]:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture.shape[0], picture.shape[1]


def cloud_picture(cloud: RecordedCloud) -> np.ndarray:
    import base64

    sent = base64.b64decode(dict(cloud.asked)["detect"]["image"])
    picture = cv2.imdecode(np.frombuffer(sent, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture
