"""Seed 004's API on a running Rollcall with real photographs: angles, faces, two gateways.

The guide's own examples are typed by tests/docs."""

import asyncio
import base64
import hashlib
import hmac
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio
from PIL import Image
from pydantic import SecretStr

from gateway import service as gateway_service
from gateway.settings import GatewaySettings
from rollcall.local import free_port
from rollcall.office import bus_of
from shared.contracts.devices import AddDevice, Device, EditDevice, Proof
from shared.contracts.people import DeleteStudent, FindStudents
from shared.vision.angles import ANGLE_CODES
from tests.systems import Site, a_site, photos, register, rows, web_client

Edges = dict[str, int]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with a_site(tmp_path_factory.mktemp("terminals") / "data") as running:
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def a_device(system: Site, name: str, sn: str, proof: Proof = Proof.SERIAL) -> tuple[Device, str]:
    """As `rollcall device add` does."""
    async with bus_of(system.data) as bus:
        issued = await bus.ask(AddDevice(name=name, sn=sn, proof=proof, by="test"))
    return issued.device, issued.secret.get_secret_value()


@asynccontextmanager
async def another_gateway(system: Site) -> AsyncIterator[str]:
    """A second one beside the system's own; its address."""
    port = free_port()
    settings = GatewaySettings(
        nats_url=system.running.nats_url,
        nats_password=SecretStr(system.keys.broker["gateway"]),
        secret=SecretStr(system.keys.web),
        instance="gateway-b",
        port=port,
    )
    async with gateway_service.service(settings):
        yield f"http://127.0.0.1:{port}"


class Terminal:
    """A terminal maker's program: a token for each post."""

    def __init__(self, web: httpx.AsyncClient, name: str = "", sn: str = "") -> None:
        self._web, self.who = web, {"deviceName": name, "sn": sn}

    async def token(self) -> str:
        answer = (await self._web.post("/faces/api/token", data=self.who)).json()
        assert answer["code"] == 0, answer
        return str(answer["token"])

    async def call(self, call: str, image: bytes | None = None, **fields: Any) -> dict[str, Any]:
        data = {"token": await self.token(), **fields}
        files = {"image": ("a.jpg", image)} if image is not None else None
        answer: dict[str, Any] = (await self._web.post(f"/faces/api/{call}", data=data, files=files)).json()
        return answer

    async def good(self, call: str, image: bytes | None = None, **fields: Any) -> dict[str, Any]:
        answer = await self.call(call, image, **fields)
        assert answer["code"] == 0, answer
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def terminal(system: Site) -> AsyncIterator[Terminal]:
    await a_device(system, "西门", "W-1")
    async with web_client(system) as web:
        yield Terminal(web, "西门", "W-1")


def edges(face: dict[str, int]) -> Edges:
    return {name: face[name] for name in ("left", "top", "right", "bottom")}


def jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92)
    return out.getvalue()


def portrait(person: str, number: int = 0) -> Image.Image:
    image = Image.open(io.BytesIO(photos()[person][number])).convert("RGB")
    image.thumbnail((500, 500))
    return image


# ---- vision


@pytest.mark.parametrize("degrees", sorted(ANGLE_CODES))
async def test_a_turned_face_has_its_angle_code(terminal: Terminal, degrees: int) -> None:
    turned = portrait("Jacinda Ardern").rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="grey")
    seen = await terminal.good("faceDetect", jpeg(turned))
    assert seen["faceContent"][0]["angle"] == ANGLE_CODES[degrees]


async def test_the_box_chooses_the_face(terminal: Terminal) -> None:
    he, she = portrait("Emmanuel Macron"), portrait("Jacinda Ardern")
    both = Image.new("RGB", (he.width + she.width, max(he.height, she.height)), "grey")
    both.paste(he, (0, 0))
    both.paste(she, (he.width, 0))
    picture = jpeg(both)
    seen = await terminal.good("faceDetect", picture)
    assert (seen["faces"], [face["id"] for face in seen["faceContent"]]) == (2, [0, 1])
    left, right = sorted((edges(face) for face in seen["faceContent"]), key=lambda face: face["left"])
    assert [(await terminal.good("faceGender", picture, **box))["gender"] for box in (left, right)] == [0, 1]
    ages = [(await terminal.good("faceAge", picture, **box))["age"] for box in (left, right)]
    assert all(isinstance(age, int) and 20 < age < 60 for age in ages)
    beside = {"left": 0, "top": both.height - 10, "right": 8, "bottom": both.height}
    assert (await terminal.call("faceAge", picture, **beside))["code"] == 9006


async def test_features_tell_people_apart(terminal: Terminal) -> None:
    async def feature(person: str, number: int) -> str:
        picture = photos()[person][number]
        box = edges((await terminal.good("faceDetect", picture))["faceContent"][0])
        return str((await terminal.good("faceFeature", picture, **box))["feature"])

    async def score(one: str, other: str) -> float:
        return float((await terminal.good("faceRecognize", pending=one, original=other))["score"])

    ardern = [await feature("Jacinda Ardern", number) for number in (0, 1)]
    macron = await feature("Emmanuel Macron", 0)
    assert await score(ardern[0], ardern[1]) >= 0.6 > await score(ardern[0], macron)
    assert await score(macron, macron) == 1.0


async def test_an_empty_room_has_no_face(terminal: Terminal) -> None:
    assert (await terminal.call("faceDetect", jpeg(Image.new("RGB", (400, 300), "grey"))))["code"] == 9006


# ---- tokens


async def test_one_token_at_two_gateways_at_once_is_good_for_one_post(system: Site, terminal: Terminal) -> None:
    async with another_gateway(system) as address, web_client(system) as web, httpx.AsyncClient(base_url=address) as b:
        for _ in range(5):
            form = {"token": await terminal.token()}
            posts = [client.post("/faces/api/clinetWebResult", data=form) for client in (web, b) * 4]
            codes = sorted(answer.json()["code"] for answer in await asyncio.gather(*posts))
            assert codes == [0] + [9001] * 7


async def test_a_terminal_with_a_secret_answers_a_challenge(system: Site) -> None:
    _, secret = await a_device(system, "南门", "S-1", Proof.SECRET)
    who = {"deviceName": "南门", "sn": "S-1"}
    async with web_client(system) as web:
        asked = (await web.post("/faces/api/token", data=who)).json()
        assert (asked["flag"], asked["code"]) == ("token", 9001)
        answer = hmac.new(secret.encode(), asked["challenge"].encode(), hashlib.sha256).hexdigest()
        proof = {"challenge": asked["challenge"], "answer": answer}
        issued = (await web.post("/faces/api/token", data={**who, **proof})).json()
        assert issued["code"] == 0
        post = "/faces/api/clinetWebResult"
        assert (await web.post(post, data={"token": issued["token"]})).json()["code"] == 0
        assert (await web.post(post, data=who)).json()["code"] == 9001


# ---- the library and punches


async def test_register_fetch_recognise_punch_and_leave(system: Site, terminal: Terminal) -> None:
    """A terminal's whole day, half of it through another gateway."""
    first, second = photos()["Emmanuel Macron"][:2]
    box = edges((await terminal.good("faceDetect", second))["faceContent"][0])
    pending = (await terminal.good("faceFeature", second, **box))["feature"]
    box = edges((await terminal.good("faceDetect", photos()["Rishi Sunak"][0]))["faceContent"][0])
    stranger = (await terminal.good("faceFeature", photos()["Rishi Sunak"][0], **box))["feature"]
    form = {"username": "2026010", "faceName": "马克龙", "className": "一班", "gender": "0"}
    wrong = await terminal.call("regFace", **form, picBase64=_b64(first), faceData=stranger)
    assert wrong["code"] == 9125
    assert rows(system, "select 1 from students where st_num = '2026010'") == []
    assert await terminal.good("regFace", **form, picBase64=_b64(first), faceData=pending) == {
        "flag": "regFace",
        "code": 0,
    }
    again = await terminal.call("regFace", **{**form, "username": "2026011"}, picBase64=_b64(first))
    assert again["code"] == 5

    names = await terminal.good("getDbs")
    [mine] = [entry for entry in names["names"] if entry["username"] == "2026010"]
    assert (await terminal.good("faceRecognize", pending=pending, original=mine["faceData"]))["score"] >= 0.6
    async with httpx.AsyncClient(trust_env=False) as anybody:
        photo = await anybody.get(mine["picUrl"])
    assert photo.headers["content-type"] == "image/jpeg"
    Image.open(io.BytesIO(photo.content)).verify()

    at = int(time.time()) - 7_200
    told = {"faceName": "马克龙", "time": str(at), "seq": "1"}
    async with another_gateway(system) as address, httpx.AsyncClient(base_url=address, trust_env=False) as web:
        other = Terminal(web, "西门", "W-1")
        answers = await asyncio.gather(*(box.call("clinetFeedback", **told) for box in (terminal, other) * 3))
        assert [(answer["code"], answer["state"]) for answer in answers] == [(0, "recorded")] * 6
        last = await other.good("clinetWebResult")
    assert (last["faceName"], last["username"], last["time"]) == ("马克龙", "2026010", at)
    assert rows(system, "select place, kind from punches where st_num = '2026010'") == [("西门", "device")]

    async with bus_of(system.data) as bus:
        [row] = (await bus.ask(FindStudents(text="2026010"))).rows
        await bus.ask(DeleteStudent(student_id=row.person.student_id, by="test"))
    gone = await terminal.good("getDbs", since=names["next"])
    assert (gone["removed"], gone["names"], gone["full"]) == (["2026010"], [], False)
    async with httpx.AsyncClient(trust_env=False) as anybody:
        assert (await anybody.get(mine["picUrl"])).status_code == 404
    assert (await terminal.call("clinetFeedback", faceName="马克龙"))["code"] == 73731


async def test_a_device_gets_the_faces_of_its_classes(system: Site) -> None:
    device, _ = await a_device(system, "北门", "N-1")
    async with web_client(system) as web:
        await register(web, "2026020", "阿德恩", photos()["Jacinda Ardern"][0])
        terminal = Terminal(web, "北门", "N-1")
        before = await terminal.good("getDbs")
        assert "2026020" in [entry["username"] for entry in before["names"]]
        async with bus_of(system.data) as bus:
            edited = EditDevice(device_id=device.device_id, name="北门", place="北楼", classes=("别班",), by="test")
            await bus.ask(edited)
        seen = await terminal.good("getDbs", since=before["next"])
        while not seen["full"]:  # until the hub's copy has the news
            seen = await terminal.good("getDbs", since=before["next"])
        assert seen["names"] == []
        assert (await terminal.call("clinetFeedback", faceName="2026020"))["code"] == 73731


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
