"""Everything wrong that can be sent: each gets a clear message, and nothing is half-written."""

import asyncio
import io
import json
import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from PIL import Image
from websockets.asyncio.client import connect

from tests.systems import Site, a_site, data_url, photos, register, rows, web_client

pytestmark = pytest.mark.asyncio(loop_scope="module")

EMPTY_TABLES = ("students", "faces", "photos", "face_users")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with a_site(tmp_path_factory.mktemp("bad") / "data") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def web(system: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with web_client(system) as client:
        yield client


def counts(system: Site) -> list[object]:
    return [rows(system, f"select count(*) from {table}")[0][0] for table in EMPTY_TABLES]


def bomb(side: int = 7_800) -> bytes:
    """A PNG of 60 megapixels in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows_of_it = zlib.compress((b"\0" * (1 + (side + 7) // 8)) * side, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows_of_it) + chunk(b"IEND", b"")


def blank() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (640, 480), (90, 120, 150)).save(out, "JPEG")
    return out.getvalue()


def side_by_side() -> bytes:
    """Two people in one picture."""
    together = Image.new("RGB", (1000, 500))
    for number, name in enumerate(("Barack Obama", "Jacinda Ardern")):
        with Image.open(io.BytesIO(photos()[name][0])) as face:
            together.paste(face.convert("RGB").resize((500, 500)), (500 * number, 0))
    out = io.BytesIO()
    together.save(out, "JPEG")
    return out.getvalue()


def bad_pictures() -> dict[str, tuple[bytes, str]]:
    """Name → (bytes, words of the reason)."""
    whole = photos()["Barack Obama"][0]
    return {
        "not an image": (b"hello, I am a text file" * 20, "这不是一张照片"),
        "truncated JPEG": (whole[: len(whole) // 2], "照片不完整或已损坏"),
        "60 megapixels": (bomb(), "像素太多"),
        "no face": (blank(), "没有看到人脸"),
        "two faces": (side_by_side(), "多张人脸"),
    }


@pytest.mark.parametrize("name", list(bad_pictures()))
async def test_a_bad_picture_registers_nobody_and_says_why(system: Site, web: httpx.AsyncClient, name: str) -> None:
    picture, reason = bad_pictures()[name]
    before = counts(system)
    answer = await register(web, "bad_1", "坏照片", picture)
    assert answer.status_code == 200
    assert "图片不符合要求, 请重新拍照" in answer.text
    assert reason in answer.text
    assert counts(system) == before


@pytest.mark.parametrize("name", [name for name in bad_pictures() if name != "two faces"])
async def test_a_bad_picture_clocks_nobody_in(web: httpx.AsyncClient, name: str) -> None:
    picture, reason = bad_pictures()[name]
    answer = (await web.post("/clockin", json={"img_data": data_url(picture)})).json()
    assert answer["errno"] not in (0, None)
    assert reason in answer["errmsg"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"[1]", "JSON"),
        (b"{}", "img_data"),
        (b'{"img_data": 7}', "img_data"),
        (b'{"img_data": ""}', "img_data"),
        (b'{"img_data": "data:image/png;base64,@@@not base64@@@"}', "base64"),
        (b'{"img_data": "no data url at all"}', "base64"),
    ],
)
async def test_a_broken_clock_in_request_is_told_what_is_broken(
    web: httpx.AsyncClient, body: bytes, words: str
) -> None:
    answer = await web.post("/clockin", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400)
    said = answer.json()
    assert said["errno"] != 0
    assert words.lower() in said["errmsg"].lower()


async def test_twenty_megabytes_are_refused_before_they_are_read(web: httpx.AsyncClient) -> None:
    answer = await web.post("/clockin", json={"img_data": "A" * 20_000_000})
    assert answer.status_code == 413
    assert answer.json()["errno"] != 0


@pytest.mark.parametrize("missing", ["stu_name", "stu_class", "stu_num", "gender", "photo"])
async def test_a_missing_field_is_named(system: Site, web: httpx.AsyncClient, missing: str) -> None:
    form = {"stu_name": "名", "stu_class": "班", "stu_num": "m1", "gender": "MAN", "consent": "yes"}
    files = {"photo": ("p.jpg", photos()["Barack Obama"][0])}
    form.pop(missing, None)
    answer = await web.post("/register", data=form, files=None if missing == "photo" else files)
    assert "信息不全,请重新填写" in answer.text
    assert counts(system)[0] == 0 or rows(system, "select 1 from students where st_num = 'm1'") == []


@pytest.mark.parametrize(
    "num", ["a b", "学号", "x'; drop table students; --", "<script>", "1" * 129, "a-b", "a\u0000b"]
)
async def test_odd_student_numbers_are_refused_with_the_rule(system: Site, web: httpx.AsyncClient, num: str) -> None:
    answer = await register(web, num, "奇怪", photos()["Barack Obama"][0])
    assert "信息不对, 请重新填写" in answer.text
    assert "<script>" not in answer.text.replace('<script type="module"', "")
    assert rows(system, "select 1 from students where st_name = '奇怪'") == []


async def test_a_taken_number_and_a_known_face_are_refused(system: Site, web: httpx.AsyncClient) -> None:
    faces = photos()
    name = "O'Brien \"<b>𠮷\u200d</b>"
    assert (await register(web, "taken", name, faces["Barack Obama"][0])).status_code == 303
    before = counts(system)
    taken = await register(web, "taken", "别人", faces["Jacinda Ardern"][0])
    assert "信息不对, 请重新填写" in taken.text
    assert "学号" in taken.text
    known = await register(web, "other", "又一个", faces["Barack Obama"][1])
    assert "这张脸已经登记过" in known.text
    assert counts(system) == before
    answer = (await web.post("/clockin", json={"img_data": data_url(faces["Barack Obama"][2])})).json()
    assert answer["dict"]["name"] == name


async def test_ten_at_once_with_one_number_make_one_student(system: Site, web: httpx.AsyncClient) -> None:
    picture = photos()["Jacinda Ardern"][0]
    answers = await asyncio.gather(*(register(web, "race", "竞赛", picture) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers).count(303) == 1
    assert len(rows(system, "select 1 from students where st_num = 'race'")) == 1
    assert len(rows(system, "select 1 from faces join face_users on faces.user_pk = face_users.id "
                            "where face_users.user_id = 'race'")) == 1  # fmt: skip


async def stream(
    system: Site, *messages: str | bytes, until: str = "error", origin: str | None = None
) -> dict[str, Any]:
    """Send messages to /stream; the first thing of kind `until` that it says."""
    url = f"ws{system.running.url.removeprefix('http')}/stream"
    said: dict[str, Any] = {}
    async with connect(url, proxy=None, origin=origin) as socket:
        for message in messages:
            await socket.send(message)
        async for text in socket:
            said = json.loads(text)
            if said["type"] == until:
                break
    return said


HELLO = json.dumps({"type": "hello"})


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (["not json"], "invalid"),
        (["[]"], "invalid"),
        (["[" * 200_000], "invalid"),
        ([b"\xff\xd8"], "invalid"),
        ([json.dumps({"type": "hello", "token": "0" * 40})], "not_allowed"),
        ([HELLO, b"not a picture"], "invalid"),
        ([HELLO, bomb()], "invalid"),
        ([HELLO, *([blank()] * 40)], "invalid"),
    ],
)
async def test_rubbish_on_the_stream_ends_it_with_a_reason(
    system: Site, messages: list[str | bytes], code: str
) -> None:
    said = await stream(system, *messages)
    assert (said["type"], said["code"]) == ("error", code)
    assert said["zh"]


async def test_another_sites_page_cannot_stream(system: Site) -> None:
    assert (await stream(system, HELLO, origin="https://evil.example"))["code"] == "not_allowed"


async def test_a_truncated_frame_is_answered_and_the_stream_goes_on(system: Site) -> None:
    whole = photos()["Barack Obama"][0]
    said = await stream(system, HELLO, whole[: len(whole) // 2], until="result")
    assert "不完整" in said["problem"]["zh"]
