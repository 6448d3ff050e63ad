"""What calls answer and what they ask: shapes, tokens, scale, order (V3 §2.3–2.5, §3)."""

import asyncio
import base64
import io
import json
from urllib.parse import quote

import pytest
from PIL import Image

from gateway.baidu_api.shapes import FIELDS
from gateway.baidu_api.vision import AT_ONCE
from shared.contracts.library import KeepFace, PutFace
from shared.contracts.recognition import Ask, Candidate, Order
from shared.security import face_token
from shared.testing import eventually
from shared.vision.calibration import ACCEPTED_FAR, calibration
from tests.unit.gateway.baidu.conftest import BASE64, PICTURE, PREFIX, Api
from tests.unit.gateway.baidu.vision_double import GOOD, LARGE, MODEL, SMALL, a_face, a_picture, unit

ALL = (
    "age,beauty,expression,face_shape,faceshape,gender,glasses,landmark,landmark72,landmark150,race,quality,"
    "eye_status,emotion,face_type,facetype,mask,spoofing,qualities"
)
ADA = Candidate(group_id="g1", user_id="ada", user_info="艾达", score=99.116584777832)
BOB = Candidate(group_id="g2", user_id="bob", user_info="", score=16.375)
GROUPS = {**BASE64, "group_id_list": "g1, g2,g1"}


async def test_detect_gives_what_is_always_there(api: Api) -> None:
    found = await api.result("/detect", BASE64)
    (face,) = found["face_list"]
    token = face_token(b"token key 1", base64.b64decode(PICTURE))
    assert face == {
        "face_token": token,
        "location": {"left": 40, "top": 40, "width": 100, "height": 120, "rotation": -3},
        "face_probability": 1,
        "angle": {"yaw": 1.23, "pitch": -2.5, "roll": 3},
    }
    assert found["face_num"] == 1
    assert isinstance(face["angle"]["roll"], int), "whole numbers have no point"
    assert api.vision.wanted == set()
    assert api.vision.question.order is Order.LARGEST


async def test_detect_gives_the_fields_that_can_be_computed_and_no_others(api: Api) -> None:
    found = await api.result("/detect", {**BASE64, "face_field": ALL})
    (face,) = found["face_list"]
    always = {"face_token", "location", "face_probability", "angle"}
    assert face.keys() - always == {
        "age",
        "gender",
        "landmark",
        "landmark72",
        "landmark150",
        "quality",
        "eye_status",
        "mask",
    }
    assert face["age"] == 31
    assert face["gender"] == {"type": "female", "probability": 0.99}
    assert face["eye_status"] == {"left_eye": 0.91, "right_eye": 1}
    assert face["mask"] == {"type": 0, "probability": 1}
    assert face["landmark"][0] == {"x": 60, "y": 70}
    assert len(face["landmark72"]) == 72
    assert face["landmark150"] == {"nose_tip": {"x": 80, "y": 90}}
    assert face["quality"]["occlusion"]["chin_contour"] == 0.12
    assert (face["quality"]["blur"], face["quality"]["illumination"], face["quality"]["completeness"]) == (0.05, 128, 1)
    assert api.vision.wanted == set(FIELDS.values())


async def test_a_mask_is_a_covered_nose_and_mouth(api: Api) -> None:
    covered = GOOD.covered.model_copy(update={"nose": 0.75, "mouth": 0.9}) if GOOD.covered else None
    api.vision.faces = [a_face(measured=GOOD.model_copy(update={"covered": covered}))]
    found = await api.result("/detect", {**BASE64, "face_field": "mask"})
    assert found["face_list"][0]["mask"] == {"type": 1, "probability": 0.75}
    assert "quality" not in found["face_list"][0]


async def test_what_could_not_be_told_is_left_out(api: Api) -> None:
    nothing = GOOD.model_copy(
        update={"covered": None, "age": None, "gender": "", "eyes": None, "landmark4": (), "landmark72": ()}
    )
    api.vision.faces = [a_face(measured=nothing)]
    (face,) = (await api.result("/detect", {**BASE64, "face_field": "age,gender,quality,eye_status,landmark"}))[
        "face_list"
    ]
    assert face.keys() == {"face_token", "location", "face_probability", "angle"}


async def test_a_crop_stands_in_the_face_and_beside_the_list(api: Api) -> None:
    found = await api.result("/detect", {**BASE64, "display_corp_image": "1"})
    crop = found["face_list"][0]["corp_image_base64"]
    assert found["corp_image_base64"] == crop
    assert Image.open(io.BytesIO(base64.b64decode(crop))).size == (100, 120)
    api.vision.faces = [a_face(), a_face(SMALL)]
    found = await api.result("/detect", {**BASE64, "display_corp_image": 1, "max_face_num": 100})
    assert api.vision.asked[-1][1] == 5
    assert "corp_image_base64" not in found
    assert all("corp_image_base64" in face for face in found["face_list"])


async def test_places_are_in_the_callers_pixels(api: Api) -> None:
    """A large picture is made smaller for the bus; the caller need not know."""
    image = base64.b64encode(a_picture(3840, 2400)).decode()
    (face,) = (await api.result("/detect", {"image": image, "image_type": "BASE64", "face_field": "landmark"}))[
        "face_list"
    ]
    seen = Image.open(io.BytesIO(api.vision.asked[-1][0])).size
    assert seen == (1920, 1200)
    assert face["location"] == {"left": 80, "top": 80, "width": 200, "height": 240, "rotation": -3}
    assert face["landmark"][0] == {"x": 120, "y": 140}


async def test_every_face_has_a_token_of_its_own_that_goes_by_size(api: Api) -> None:
    api.vision.faces = [a_face(LARGE), a_face(SMALL)]
    large, small = (await api.result("/detect", {**BASE64, "max_face_num": "2"}))["face_list"]
    assert large["face_token"] == face_token(b"token key 1", base64.b64decode(PICTURE)) != small["face_token"]
    assert small["location"]["left"] == 200.13
    api.vision.faces = [a_face(SMALL), a_face(LARGE)]
    (central,) = (await api.result("/detect", {**BASE64, "face_sort_type": 1}))["face_list"]
    assert central["face_token"] == small["face_token"], "the same face, whatever the order"
    assert api.vision.question.order is Order.CENTRAL


async def test_a_token_stands_for_its_face(api: Api) -> None:
    api.vision.faces = [a_face(LARGE), a_face(SMALL)]
    small = (await api.result("/detect", {**BASE64, "max_face_num": 2}))["face_list"][1]["face_token"]
    api.vision.faces = [a_face(SMALL)]
    by_token = {"image": small, "image_type": "FACE_TOKEN"}
    found = await api.result("/faceset/user/add", {**by_token, "group_id": "g1", "user_id": "u1"})
    assert found["face_token"] == small
    assert api.vision.question.at == SMALL
    put = next(command for command in api.library.asked if isinstance(command, PutFace))
    assert put.face.token == small
    assert put.face.jpeg == base64.b64decode(PICTURE)
    assert (await api.result("/detect", by_token))["face_list"][0]["face_token"] == small


async def test_another_gateway_resolves_a_token_through_the_registry(api: Api) -> None:
    token = face_token(b"token key 1", base64.b64decode(PICTURE))
    sent = {**BASE64, "group_id": "g1", "user_id": "u1"}
    await api.result("/faceset/user/add", sent)
    other = Api()
    other.library.groups = api.library.groups
    async with other.web:
        other.token = await other.get_token()
        found = await other.result("/detect", {"image": token, "image_type": "FACE_TOKEN"})
    assert found["face_list"][0]["face_token"] == token
    assert not any(isinstance(command, KeepFace) for command in other.library.asked)


async def test_search(api: Api) -> None:
    api.vision.faces = [a_face(candidates=(ADA, BOB))]
    found = await api.result("/search", {**GROUPS, "max_user_num": "5"})
    assert found == {
        "face_token": face_token(b"token key 1", base64.b64decode(PICTURE)),
        "user_list": [
            {"group_id": "g1", "user_id": "ada", "user_info": "艾达", "score": 99.116584777832},
            {"group_id": "g2", "user_id": "bob", "user_info": "", "score": 16.375},
        ],
    }
    hunt = api.vision.question.hunt
    assert hunt is not None
    assert (hunt.app_id, hunt.groups, hunt.user_id, hunt.users) == (1, ("g1", "g2"), "", 5)
    assert len((await api.result("/search", {**GROUPS, "match_threshold": 50}))["user_list"]) == 1
    await api.result("/search", {**GROUPS, "user_id": "ada"})
    hunt = api.vision.question.hunt
    assert hunt is not None
    assert hunt.user_id == "ada"


async def test_multi_search(api: Api) -> None:
    api.vision.faces = [a_face(LARGE, candidates=(ADA,)), a_face(SMALL, candidates=(BOB,))]
    found = await api.result("/multi-search", {**GROUPS, "max_face_num": 10})
    first, second = found["face_list"]
    assert found["face_num"] == 2
    assert first.keys() == {"face_token", "location", "user_list"}
    assert first["location"].keys() == {"left", "top", "width", "height", "rotation"}
    assert [user["user_id"] for user in first["user_list"]] == ["ada"]
    assert second["user_list"] == [], "below 80, but not alone"
    api.vision.faces[0] = a_face(LARGE, GOOD.model_copy(update={"blur": 1}), candidates=(ADA,))
    low = {**GROUPS, "max_face_num": 10, "quality_control": "LOW", "match_threshold": 0}
    found = await api.result("/multi-search", low)
    assert [face["user_list"][0]["user_id"] for face in found["face_list"]] == ["bob"]


async def test_match(api: Api) -> None:
    other = base64.b64encode(a_picture(400, 300)).decode()
    cosine = calibration(MODEL, "mixed").cosine_at(ACCEPTED_FAR)
    api.vision.by_size[400, 300] = [a_face(embedding=unit(cosine, (1 - cosine**2) ** 0.5))]
    found = await api.result("/match", [BASE64, {"image": other, "image_type": "BASE64"}])
    assert found["score"] == pytest.approx(80, abs=0.01)
    assert found["face_list"][0]["face_token"] == face_token(b"token key 1", base64.b64decode(PICTURE))
    assert found["face_list"][1]["face_token"] == face_token(b"token key 1", base64.b64decode(other))
    assert Ask.EMBEDDING in api.vision.wanted
    same = await api.result("/match", [BASE64, BASE64])
    assert same["score"] == 100
    assert isinstance(same["score"], int)
    assert same["face_list"][0] == same["face_list"][1]


@pytest.mark.parametrize("count", [1, 3, 8])
async def test_faceverify_takes_the_best_picture(api: Api, count: int) -> None:
    items = [
        {"image": base64.b64encode(a_picture(300, 300 + n)).decode(), "image_type": "BASE64"} for n in range(count)
    ]
    for number in range(count):
        poor = GOOD.model_copy(update={"liveness": None if number == 1 else 0.1 * number})
        api.vision.by_size[300, 300 + number] = [a_face(measured=poor)]
    found = await api.result("/faceverify", [{**item, "face_field": "age", "option": "GATE"} for item in items])
    assert found["face_liveness"] == round(0.1 * (count - 1), 6)
    assert found["thresholds"] == {"frr_1e-4": 0.05, "frr_1e-3": 0.3, "frr_1e-2": 0.9}
    assert len(found["face_list"]) == count
    assert found["face_list"][0].keys() >= {"face_token", "location", "face_probability", "angle", "liveness", "age"}
    if count > 1:
        assert found["face_list"][1]["liveness"] == {"livemapscore": 0}


async def test_the_library_is_managed(api: Api) -> None:
    await api.call("/faceset/group/add", {"group_id": "g1"})
    sent = {**BASE64, "group_id": "g1", "user_id": "u1", "user_info": "三年二班，艾达"}
    added = await api.result("/faceset/user/add", sent)
    assert added.keys() == {"face_token", "location"}
    assert added["location"].keys() == {"left", "top", "width", "height", "rotation"}
    assert api.indexes.reached == [2], "answers when the recognizers know"
    user = {"group_id": "g1", "user_id": "u1"}
    assert await api.result("/faceset/user/get", user) == {
        "user_list": [{"user_info": "三年二班，艾达", "group_id": "g1"}]
    }
    assert await api.result("/faceset/user/get", {**user, "group_id": "@ALL"}) == {
        "user_list": [{"user_info": "三年二班，艾达", "group_id": "g1"}]
    }
    assert await api.result("/faceset/face/getlist", user) == {
        "face_list": [{"face_token": added["face_token"], "ctime": "2026-03-01 08:01:02"}]
    }
    assert await api.result("/faceset/group/getusers", {"group_id": "g1"}) == {"user_id_list": ["u1"]}
    assert await api.result("/faceset/group/getusers", {"group_id": "g1", "start": "5"}) == {"user_id_list": []}
    assert await api.result("/faceset/group/getlist", {}) == {"group_id_list": ["g1"]}
    again = await api.result("/faceset/user/update", {**sent, "user_info": ""})
    assert again["face_token"] == added["face_token"]
    assert (await api.result("/faceset/user/get", user))["user_list"][0]["user_info"] == "三年二班，艾达"
    gone = await api.call("/faceset/face/delete", {**user, "face_token": added["face_token"], "log_id": 1})
    assert (gone["error_code"], gone["result"]) == (0, None)
    assert await api.code("/faceset/user/get", user) == (223103, "user is not exist")
    assert api.indexes.reached == [2, 3, 4]


async def test_parameters_may_come_in_any_form(api: Api) -> None:
    path, query = PREFIX + "/faceset/user/add", {"access_token": api.token}
    fields = {"image": PICTURE, "image_type": "BASE64", "group_id": "g1", "user_id": "u1", "user_info": "中文 +%"}

    async def info_after(**how: object) -> str:
        api.library.groups.clear()
        answer = await api.web.post(path, **how)  # type: ignore[arg-type]
        assert answer.json()["error_code"] == 0, answer.text
        return api.library.groups[1, "g1"]["u1"].info

    form = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())
    mislabelled = {"content-type": "application/json"}
    assert await info_after(params=query, data=fields) == "中文 +%"
    assert await info_after(params=query, content=form, headers=mislabelled) == "中文 +%"
    assert await info_after(params=query, content=json.dumps(fields)) == "中文 +%"
    assert await info_after(params=query, content="\ufeff" + json.dumps(fields, ensure_ascii=False)) == "中文 +%"
    assert await info_after(params=query | {k: v for k, v in fields.items() if k != "image"}, data={"image": PICTURE})
    assert await info_after(params={**query, **fields}) == "中文 +%"
    latin = json.dumps({**fields, "user_info": "Zoë"}, ensure_ascii=False).encode("latin-1")
    assert await info_after(params=query, content=latin) == "Zoë"
    careless = form.replace("%2B", "+")
    assert PICTURE.count("+"), "a form makes blanks of these"
    api.library.groups.clear()
    assert (await api.web.post(path, params=query, content=careless)).json()["error_code"] == 0
    lines = json.dumps({**fields, "image": "\r\n".join(PICTURE[n : n + 64] for n in range(0, len(PICTURE), 64))})
    assert await info_after(params=query, content=lines) == "中文 +%"
    assert await info_after(params=query, content=json.dumps({**fields, "unknown": [1, {}], "group_id": "g1"}))


async def test_ids_may_be_numbers(api: Api) -> None:
    sent = {**BASE64, "group_id": 7, "user_id": 2026001, "user_info": 5}
    await api.result("/faceset/user/add", sent)
    assert await api.result("/faceset/user/get", {"group_id": "7", "user_id": "2026001"}) == {
        "user_list": [{"user_info": "5", "group_id": "7"}]
    }


async def test_too_many_calls_with_pictures_at_once(api: Api) -> None:
    api.vision.gate = asyncio.Event()
    calls = [asyncio.create_task(api.code("/detect", BASE64)) for _ in range(AT_ONCE)]
    await eventually(lambda: _is(len(api.vision.asked) == AT_ONCE), what="all of them wait for the recognizers")
    assert await api.code("/detect", BASE64) == (4, "Open api request limit reached")
    api.vision.gate.set()
    assert {code for code, _ in await asyncio.gather(*calls)} == {0}
    assert (await api.code("/detect", BASE64))[0] == 0


async def _is(fact: bool) -> bool:
    return fact


async def test_apps_do_not_see_each_other(api: Api) -> None:
    other = api.library.add_key(app_id=2)
    token = await api.get_token(other)
    added = await api.result("/faceset/user/add", {**BASE64, "group_id": "g1", "user_id": "u1"})
    assert (await api.call("/faceset/group/getlist", {}, token))["result"] == {"group_id_list": []}
    assert (await api.code("/faceset/user/get", {"group_id": "g1", "user_id": "u1"}, token))[0] == 223103
    by_token = {"image": added["face_token"], "image_type": "FACE_TOKEN"}
    assert (await api.code("/detect", by_token, token))[0] == 222209
    theirs = (await api.call("/detect", BASE64, token))["result"]["face_list"][0]["face_token"]
    assert theirs != added["face_token"], "tokens say nothing across apps"
    await api.call("/search", GROUPS, token)
    hunt = api.vision.question.hunt
    assert hunt is not None
    assert hunt.app_id == 2
