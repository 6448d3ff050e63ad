"""Baidu's official SDK against a running Rollcall: the acceptance test of the contract (V3 §8), every call of the
library, keys and signatures, restarts, two apps."""

import asyncio
import base64
import io
import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import httpx
import pytest
import pytest_asyncio
from PIL import Image

from rollcall.office import bus_of
from shared.contracts.library import RevokeKey
from shared.testing import eventually
from shared.vision.limits import PARTS
from tests.sdk import a_key, pointed_at, text
from tests.systems import Site, a_site, killed_and_back, photos, register, web_client

Call = Callable[..., Any]
LOCATION = {"left", "top", "width", "height", "rotation"}
ENVELOPE = {"error_code", "error_msg", "log_id", "timestamp", "cached", "result"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with a_site(tmp_path_factory.mktemp("sdk") / "data", recognizers=2) as running:
        yield running


pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
]


class Program:
    """A program with the SDK in it; its blocking calls run in threads."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def __call__(self, method: str, *given: Any, **options: Any) -> dict[str, Any]:
        arguments = (*given, options) if options else given
        return dict(await asyncio.to_thread(partial(getattr(self.client, method), *arguments)))

    async def code(self, method: str, *given: Any, **options: Any) -> tuple[int, str]:
        said = await self(method, *given, **options)
        assert said.keys() in (ENVELOPE, {"error_code", "error_msg"})
        assert not said["error_code"] or said.get("result") is None
        return said["error_code"], said["error_msg"]

    async def result(self, method: str, *given: Any, **options: Any) -> dict[str, Any]:
        said = await self(method, *given, **options)
        assert (said["error_code"], said["error_msg"]) == (0, "SUCCESS"), said
        assert said.keys() == ENVELOPE
        assert isinstance(said["log_id"], int)
        return dict(said["result"])


async def a_program(system: Site, app: str, **how: Any) -> Program:
    return Program(pointed_at(system.running.url, await a_key(system, app, **how)))


@pytest.fixture
def ardern() -> tuple[str, str]:
    first, second = photos()["Jacinda Ardern"][:2]
    return text(first), text(second)


@pytest.fixture
def obama() -> str:
    return text(photos()["Barack Obama"][1])


@pytest.fixture
def stranger() -> str:
    return text(photos()["Rishi Sunak"][0])


def blank() -> str:
    out = io.BytesIO()
    Image.new("RGB", (640, 480), "steelblue").save(out, "JPEG")
    return text(out.getvalue())


OK = (0, "SUCCESS")


async def test_the_acceptance_test(system: Site, ardern: tuple[str, str], stranger: str) -> None:
    sdk = await a_program(system, "acceptance")
    face, other_look = ardern
    assert await sdk.code("groupAdd", "class_3_2") == OK
    assert await sdk.code("groupAdd", "class_3_2") == (223101, "group is already exist")

    added = await sdk.result("addUser", face, "BASE64", "class_3_2", "ardern", user_info="杰辛达·阿德恩")
    assert re.fullmatch(r"[0-9a-f]{32}", added["face_token"])
    assert added["location"].keys() == LOCATION
    assert await sdk.code("addUser", face, "BASE64", "class_3_2", "ardern") == (223105, "face is already exist")
    assert (await sdk.code("addUser", face, "BASE64", "class_3_2", "somebody"))[0] == 223105

    assert await sdk.result("getUser", "ardern", "class_3_2") == {
        "user_list": [{"user_info": "杰辛达·阿德恩", "group_id": "class_3_2"}]
    }
    (listed,) = (await sdk.result("faceGetlist", "ardern", "class_3_2"))["face_list"]
    assert listed["face_token"] == added["face_token"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", listed["ctime"])
    assert await sdk.result("getGroupUsers", "class_3_2") == {"user_id_list": ["ardern"]}
    assert await sdk.result("getGroupList") == {"group_id_list": ["class_3_2"]}

    found = await sdk.result("search", face, "BASE64", "class_3_2")
    assert found["face_token"] == added["face_token"]
    assert found["user_list"] == [
        {"group_id": "class_3_2", "user_id": "ardern", "user_info": "杰辛达·阿德恩", "score": 100}
    ]
    (again,) = (await sdk.result("search", other_look, "BASE64", "class_3_2"))["user_list"]
    assert again["user_id"] == "ardern"
    assert 80 <= again["score"] < 100

    no_match = (222207, "match user is not found")
    assert await sdk.code("search", stranger, "BASE64", "class_3_2", match_threshold=80) == no_match
    (near,) = (await sdk.result("search", stranger, "BASE64", "class_3_2"))["user_list"]
    assert 0 <= near["score"] < 80
    assert await sdk.code("search", face, "BASE64", "no_such_group") == no_match
    assert await sdk.code("search", face, "BASE64", "class_3_2", user_id="nobody") == no_match

    for method in ("detect", "addUser", "search"):
        where = {"addUser": ("class_3_2", "x"), "search": ("class_3_2",)}.get(method, ())
        assert await sdk.code(method, blank(), "BASE64", *where) == (222202, "pic not has face")
        for broken in (face[:-1], text(base64.b64decode(face)[:-9_000]), text(b"no picture")):
            assert await sdk.code(method, broken, "BASE64", *where) == (222203, "image check fail")
    missing = (223103, "user is not exist")
    assert await sdk.code("updateUser", face, "BASE64", "class_3_2", "nobody") == missing
    copy = {"src_group_id": "class_3_2", "dst_group_id": "nowhere"}
    assert await sdk.code("userCopy", "ardern", **copy) == (223111, "dst group is not exist")
    assert await sdk.code("faceDelete", "ardern", "class_3_2", "0" * 32) == (223106, "face is not exist")
    assert await sdk.code("match", [{"image": face, "image_type": "BASE64"}]) == (
        222208,
        "the number of image is incorrect",
    )
    assert await sdk.code("deleteUser", "class_3_2", "ardern") == OK
    assert await sdk.code("deleteUser", "class_3_2", "ardern") == missing
    assert await sdk.code("search", face, "BASE64", "class_3_2") == no_match, "at once, on every recognizer"
    assert await sdk.code("groupDelete", "class_3_2") == OK
    assert await sdk.code("groupDelete", "class_3_2") == (223100, "group is not exist")


async def test_users_move_between_groups(system: Site, ardern: tuple[str, str], obama: str) -> None:
    sdk = await a_program(system, "moves")
    first, second = ardern
    await sdk.result("addUser", first, "BASE64", "a", "u1", user_info="one")
    await sdk.result("addUser", second, "BASE64", "a", "u1")
    assert len((await sdk.result("faceGetlist", "u1", "a"))["face_list"]) == 2
    assert await sdk.code("groupAdd", "b") == OK
    copy = {"src_group_id": "a", "dst_group_id": "b"}
    assert await sdk.code("userCopy", "u1", **copy) == OK
    assert await sdk.code("userCopy", "u1", **copy) == (223102, "user is already exist")
    (found,) = (await sdk.result("search", first, "BASE64", "b"))["user_list"]
    assert (found["group_id"], found["user_info"]) == ("b", "one")
    both = await sdk.result("search", first, "BASE64", "a,b", max_user_num=10)
    assert {(user["group_id"], user["user_id"]) for user in both["user_list"]} == {("a", "u1"), ("b", "u1")}
    everywhere = (await sdk.result("getUser", "u1", "@ALL"))["user_list"]
    assert sorted(entry["group_id"] for entry in everywhere) == ["a", "b"]

    await sdk.result("updateUser", obama, "BASE64", "a", "u1", user_info="now another face")
    (only,) = (await sdk.result("faceGetlist", "u1", "a"))["face_list"]
    assert (await sdk.result("search", obama, "BASE64", "a"))["user_list"][0]["score"] == 100
    assert (await sdk.result("search", first, "BASE64", "a"))["user_list"][0]["score"] < 80
    replaced = await sdk.result("addUser", first, "BASE64", "a", "u1", action_type="REPLACE")
    assert len((await sdk.result("faceGetlist", "u1", "a"))["face_list"]) == 1
    assert (await sdk.code("faceDelete", "u1", "a", only["face_token"]))[0] == 223106
    assert await sdk.code("faceDelete", "u1", "a", replaced["face_token"]) == OK
    assert (await sdk.code("getUser", "u1", "a"))[0] == 223103, "the last face took the user along"
    assert await sdk.code("deleteUser", "@ALL", "u1") == OK
    assert (await sdk.code("getUser", "u1", "@ALL"))[0] == 223103
    assert (await sdk.result("getGroupList", start=1, length=1)) == {"group_id_list": ["b"]}
    assert await sdk.result("getGroupUsers", "b", start=5) == {"user_id_list": []}


async def test_detect_measures_a_real_face(system: Site, ardern: tuple[str, str]) -> None:
    sdk = await a_program(system, "detects")
    fields = "age,gender,landmark,landmark150,quality,eye_status,mask,emotion,face_shape"
    found = await sdk.result("detect", ardern[0], "BASE64", face_field=fields, max_face_num="2", display_corp_image=1)
    (face,) = found["face_list"]
    assert found["face_num"] == 1
    place = face["location"]
    width, height = Image.open(io.BytesIO(base64.b64decode(ardern[0]))).size
    assert 0 <= place["left"] < place["left"] + place["width"] <= width
    assert 0 <= place["top"] < place["top"] + place["height"] <= height
    assert face["face_probability"] > 0.8
    assert face["gender"]["type"] == "female"
    assert 20 <= face["age"] <= 60
    assert all(0 <= face["quality"]["occlusion"][part] < 0.6 for part in PARTS)
    assert face["mask"]["type"] == 0
    assert face["eye_status"].keys() == {"left_eye", "right_eye"}
    assert (len(face["landmark"]), len(face["landmark72"]), len(face["landmark150"])) == (4, 72, 150)
    left_eye, right_eye, nose, mouth = face["landmark"]
    assert left_eye["x"] < nose["x"] < right_eye["x"], "left in the picture"
    assert left_eye["y"] < nose["y"] < mouth["y"]
    assert "emotion" not in face
    assert "face_shape" not in face
    crop = Image.open(io.BytesIO(base64.b64decode(face["corp_image_base64"])))
    assert abs(crop.width - place["width"]) <= 2


async def test_large_pictures_answer_in_their_own_pixels(system: Site, ardern: tuple[str, str]) -> None:
    sdk = await a_program(system, "detects")
    small = Image.open(io.BytesIO(base64.b64decode(ardern[0]))).convert("RGB")
    factor = 2500 / max(small.size)
    out = io.BytesIO()
    small.resize((round(small.width * factor), round(small.height * factor))).save(out, "PNG")
    (plain,) = (await sdk.result("detect", ardern[0], "BASE64"))["face_list"]
    (large,) = (await sdk.result("detect", text(out.getvalue()), "BASE64"))["face_list"]
    for side in ("left", "top", "width", "height"):
        assert large["location"][side] / factor == pytest.approx(plain["location"][side], abs=12)


async def test_tokens_stand_for_faces(system: Site, ardern: tuple[str, str]) -> None:
    sdk, stranger_to_it = await a_program(system, "tokens"), await a_program(system, "other tokens")
    seen = (await sdk.result("detect", ardern[0], "BASE64"))["face_list"][0]
    token = seen["face_token"]
    again = (await sdk.result("detect", token, "FACE_TOKEN"))["face_list"][0]
    assert again["face_token"] == token
    assert again["location"] == seen["location"]
    added = await sdk.result("addUser", token, "FACE_TOKEN", "g", "u")
    assert added["face_token"] == token
    found = await sdk.result("search", token, "FACE_TOKEN", "g")
    assert found["user_list"][0]["score"] == 100
    both = [{"image": token, "image_type": "FACE_TOKEN"}, {"image": ardern[1], "image_type": "BASE64"}]
    matched = await sdk.result("match", both)
    assert matched["score"] >= 80
    unknown = (222209, "face token not exist")
    assert await stranger_to_it.code("detect", token, "FACE_TOKEN") == unknown
    assert await sdk.code("search", "0" * 32, "FACE_TOKEN", "g") == unknown


async def test_match_and_multi_search(system: Site, ardern: tuple[str, str], obama: str, stranger: str) -> None:
    sdk = await a_program(system, "pairs")

    async def score(one: str, other: str) -> float:
        pair = [{"image": image, "image_type": "BASE64", "quality_control": "LOW"} for image in (one, other)]
        found = await sdk.result("match", pair)
        assert len(found["face_list"]) == 2
        return float(found["score"])

    assert await score(*ardern) >= 80
    assert await score(ardern[0], obama) < 80
    assert await score(obama, obama) == 100

    await sdk.result("addUser", ardern[0], "BASE64", "g", "ardern")
    await sdk.result("addUser", obama, "BASE64", "g", "obama")
    crowd = text(side_by_side(ardern[1], obama, stranger))
    found = await sdk.result("multiSearch", crowd, "BASE64", "g", max_face_num=10)
    assert found["face_num"] == len(found["face_list"]) == 3
    names = [user["user_id"] for face in found["face_list"] for user in face["user_list"]]
    assert sorted(names) == ["ardern", "obama"], "the stranger's list is empty"
    assert all(face["location"].keys() == LOCATION for face in found["face_list"])
    assert (await sdk.code("multiSearch", stranger, "BASE64", "g"))[0] == 222207
    faces = await sdk.result("detect", crowd, "BASE64", max_face_num=10)
    tokens = [face["face_token"] for face in faces["face_list"]]
    assert len(set(tokens)) == 3
    assert sorted(tokens) == sorted(face["face_token"] for face in found["face_list"])
    for token in tokens:
        (same,) = (await sdk.result("detect", token, "FACE_TOKEN"))["face_list"]
        assert same["face_token"] == token


def side_by_side(*pictures: str) -> bytes:
    images = [Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB") for picture in pictures]
    images = [image.resize((round(image.width * 600 / image.height), 600)) for image in images]
    canvas, left = Image.new("RGB", (sum(image.width for image in images), 600)), 0
    for image in images:
        canvas.paste(image, (left, 0))
        left += image.width
    out = io.BytesIO()
    canvas.save(out, "JPEG", quality=92)
    return out.getvalue()


async def test_controls_on_real_pictures(system: Site, ardern: tuple[str, str]) -> None:
    sdk = await a_program(system, "controls")
    small = Image.open(io.BytesIO(base64.b64decode(ardern[0]))).convert("RGB")
    out = io.BytesIO()
    small.point(lambda level: level // 12).save(out, "JPEG")
    dark = text(out.getvalue())
    assert await sdk.code("addUser", dark, "BASE64", "g", "u", quality_control="NORMAL") == (
        223115,
        "face light is not good",
    )
    assert (await sdk.code("getUser", "u", "g"))[0] == 223103, "nothing was registered"
    verified = await sdk.result("faceverify", [{"image": ardern[0], "image_type": "BASE64", "face_field": "age"}])
    assert verified["thresholds"] == {"frr_1e-4": 0.05, "frr_1e-3": 0.3, "frr_1e-2": 0.9}
    (face,) = verified["face_list"]
    assert verified["face_liveness"] == face["liveness"]["livemapscore"]
    assert 0 <= verified["face_liveness"] <= 1
    assert "age" in face
    three = await sdk.result("faceverify", [{"image": image, "image_type": "BASE64"} for image in (*ardern, ardern[0])])
    assert three["face_liveness"] == max(one["liveness"]["livemapscore"] for one in three["face_list"])


async def test_apps_are_isolated(system: Site, ardern: tuple[str, str]) -> None:
    ours, theirs = await a_program(system, "ours"), await a_program(system, "theirs")
    await ours.result("addUser", ardern[0], "BASE64", "g", "u")
    assert (await theirs.result("getGroupList")) == {"group_id_list": []}
    assert (await theirs.code("search", ardern[0], "BASE64", "g"))[0] == 222207
    assert (await theirs.code("getUser", "u", "g"))[0] == 223103
    assert (await theirs.code("deleteUser", "g", "u"))[0] == 223103
    assert (await theirs.code("groupDelete", "g"))[0] == 223100
    await theirs.result("addUser", ardern[0], "BASE64", "g", "v")
    assert (await ours.result("search", ardern[1], "BASE64", "g", max_user_num=9))["user_list"][0]["user_id"] == "u"
    second_key = Program(pointed_at(system.running.url, await a_key(system, "ours")))
    assert (await second_key.result("getGroupUsers", "g")) == {"user_id_list": ["u"]}, "one app may have several keys"


async def test_wrong_keys_and_signed_calls(system: Site) -> None:
    key = await a_key(system, "signs")
    wrong = key.model_copy(update={"secret_key": type(key.secret_key)("0" * 32)})
    refused = Program(pointed_at(system.running.url, wrong))
    assert await refused.code("getGroupList") == (14, "IAM Certification failed")
    async with web_client(system) as web:
        answer = await web.get(
            "/oauth/2.0/token",
            params={"grant_type": "client_credentials", "client_id": key.key.api_key, "client_secret": "x"},
        )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.json()["error_description"] == "Client authentication failed"

    signing = Program(pointed_at(system.running.url, key))
    signing.client._isCloudUser = True  # as after a token without brain_all_scope
    assert await signing.result("getGroupList") == {"group_id_list": []}
    assert await signing.code("groupAdd", "g") == OK


async def test_tokens_outlive_a_restart(system: Site) -> None:
    if system.own is None:
        pytest.skip("whose processes are not ours to kill")
    key = await a_key(system, "restarts")
    sdk = Program(pointed_at(system.running.url, key))
    assert await sdk.result("getGroupList") == {"group_id_list": []}
    held = sdk.client._authObj["access_token"]
    await killed_and_back(system.own, "gateway")
    fresh = Program(pointed_at(system.running.url, key))
    assert await fresh.result("getGroupList") == {"group_id_list": []}
    assert await sdk.result("getGroupList") == {"group_id_list": []}
    assert sdk.client._authObj["access_token"] == held, "the SDK had no reason to fetch another"


async def test_a_client_recovers_from_a_strange_token_and_a_revoked_key_does_not(system: Site) -> None:
    key = await a_key(system, "revoked")
    sdk, fresh = (Program(pointed_at(system.running.url, key)) for _ in range(2))
    assert await sdk.result("getGroupList") == {"group_id_list": []}
    assert await fresh.result("getGroupList") == {"group_id_list": []}
    held = sdk.client._authObj["access_token"]
    sdk.client._authObj["access_token"] = f"24.{'0' * 32}.2592000.1999999999.282335-1"  # of another server
    assert await sdk.result("getGroupList") == {"group_id_list": []}
    assert sdk.client._authObj["access_token"].startswith("24."), "the SDK fetched a new one after a 110"
    async with bus_of(system.data) as bus:
        await bus.ask(RevokeKey(api_key=key.key.api_key, by="test"))

    async with web_client(system) as web:

        async def the_token_is_dead() -> bool:
            answer = await web.post("/rest/2.0/face/v3/faceset/group/getlist", params={"access_token": held})
            return bool(answer.json()["error_code"] == 110)

        await eventually(the_token_is_dead, what="the gateway hears of it")
    # The SDK asks for a token, is refused, and repeats its call with neither a token nor a signature; then it signs.
    assert await fresh.code("getGroupList") == (100, "Invalid parameter")
    assert await fresh.code("getGroupList") == (14, "IAM Certification failed")


async def test_the_limit_of_an_app_and_calls_side_by_side(system: Site, ardern: tuple[str, str]) -> None:
    slow = await a_program(system, "slow", qps=1)
    codes = [(await slow.code("getGroupList"))[0] for _ in range(4)]
    assert codes[0] == 0
    assert 18 in codes
    many = await a_program(system, "many")
    await many.result("addUser", ardern[0], "BASE64", "g", "u")
    programs = [Program(pointed_at(system.running.url, await a_key(system, "many"))) for _ in range(8)]
    found = await asyncio.gather(*(program.result("search", ardern[1], "BASE64", "g") for program in programs))
    assert {answer["user_list"][0]["user_id"] for answer in found} == {"u"}


async def test_the_lists_of_rest_v1(system: Site, ardern: tuple[str, str]) -> None:
    key = await a_key(system, "rests")
    added = await Program(pointed_at(system.running.url, key)).result("addUser", ardern[0], "BASE64", "g", "u")
    bearer = f"Bearer bce-v3/{key.key.api_key}/{key.secret_key.get_secret_value()}"
    async with httpx.AsyncClient(
        base_url=f"{system.running.url}/api/v1", headers={"authorization": bearer}, trust_env=False
    ) as web:
        assert (await web.get("/groups")).json()["groups"] == ["g"]
        assert (await web.get("/groups/g/users")).json()["users"] == ["u"]
        assert (await web.get("/groups/g/users/u/faces")).json()["faces"][0]["face_token"] == added["face_token"]


async def test_the_schools_students_are_users_of_the_default_app(system: Site, ardern: tuple[str, str]) -> None:
    async with web_client(system) as web:
        done = await register(web, "2026001", "阿德恩", base64.b64decode(ardern[0]))
        assert done.status_code == 303
    sdk = await a_program(system, "default")
    assert await sdk.result("getGroupUsers", "students") == {"user_id_list": ["2026001"]}
    (found,) = (await sdk.result("search", ardern[1], "BASE64", "students"))["user_list"]
    assert found["user_id"] == "2026001"
    assert found["score"] >= 80
    assert (await sdk.code("addUser", ardern[1], "BASE64", "students", "nobody"))[0] == 223103
    assert await sdk.code("groupDelete", "students") == (6, "No permission to access data")
    assert (await sdk.code("addUser", ardern[1], "BASE64", "students", "2026001")) == OK
