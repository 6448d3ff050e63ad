"""Every code that the contract ties to what was sent, with its exact text (V3 §5)."""

import base64
from typing import Any

import pytest

from shared.codes import FACE_TEXTS, FaceCode
from shared.contracts.recognition import Candidate, Measured
from shared.errors import Unavailable
from tests.unit.gateway.baidu.conftest import BASE64, Api
from tests.unit.gateway.baidu.vision_double import GOOD, LARGE, OPEN, SMALL, a_face, a_picture

SEARCH = {**BASE64, "group_id_list": "g1"}
ADD = {**BASE64, "group_id": "g1", "user_id": "u1"}
USER = {"group_id": "g1", "user_id": "u1"}

WRONG_PARAMETERS: list[tuple[str, dict[str, Any], int, str]] = [
    ("/detect", {"image_type": "BASE64"}, 222001, "param[image] is null"),
    ("/detect", {**BASE64, "image": ""}, 222001, "param[image] is null"),
    ("/detect", {**BASE64, "image": None}, 222001, "param[image] is null"),
    ("/detect", {"image": "x"}, 222001, "param[image_type] is null"),
    ("/detect", {**BASE64, "image": ["x"]}, 222013, "param[image] format error"),
    ("/detect", {**BASE64, "image": "data:image/png;base64,AAAA"}, 222013, "param[image] format error"),
    ("/detect", {"image": "ftp://x/y", "image_type": "URL"}, 222013, "param[image] format error"),
    ("/detect", {**BASE64, "image_type": "base64"}, 222015, "param[image_type] format error"),
    ("/detect", {**BASE64, "max_face_num": 0}, 222016, "param[max_face_num] format error"),
    ("/detect", {**BASE64, "max_face_num": "121"}, 222016, "param[max_face_num] format error"),
    ("/detect", {**BASE64, "max_face_num": "two"}, 222016, "param[max_face_num] format error"),
    ("/detect", {**BASE64, "max_face_num": 1.5}, 222016, "param[max_face_num] format error"),
    ("/detect", {**BASE64, "max_face_num": True}, 222016, "param[max_face_num] format error"),
    ("/detect", {**BASE64, "max_face_num": "٣"}, 222016, "param[max_face_num] format error"),
    ("/detect", {**BASE64, "face_field": "age;gender"}, 222017, "param[face_field] format error"),
    ("/detect", {**BASE64, "face_field": ["age"]}, 222017, "param[face_field] format error"),
    ("/detect", {**BASE64, "liveness_control": "low"}, 222020, "param[liveness_control] format error"),
    ("/detect", {**BASE64, "face_type": "CARTOON"}, 222024, "param[face_type] format error"),
    ("/detect", {**BASE64, "face_sort_type": 2}, 222039, "param[face_sort_type] format error"),
    ("/detect", {**BASE64, "display_corp_image": "yes"}, 222043, "param[display_corp_image] format error"),
    ("/search", BASE64, 222001, "param[group_id_list] is null"),
    ("/search", {**BASE64, "group_id_list": "g1,,g2"}, 222005, "param[group_id_list] format error"),
    ("/search", {**BASE64, "group_id_list": "g-1"}, 222005, "param[group_id_list] format error"),
    ("/search", {**BASE64, "group_id_list": ",".join(f"g{n}" for n in range(21))}, 223104, "group_list is too large"),
    ("/search", {**SEARCH, "user_id": "a b"}, 222018, "param[user_id] format error"),
    ("/search", {**SEARCH, "quality_control": "BEST"}, 222019, "param[quality_control] format error"),
    ("/search", {**SEARCH, "liveness_control": {}}, 222020, "param[liveness_control] format error"),
    ("/search", {**SEARCH, "spoofing_control": "x"}, 223130, "param[spoofing_control] format error"),
    ("/search", {**SEARCH, "max_user_num": 51}, 222021, "param[max_user_num] format error"),
    ("/multi-search", {**SEARCH, "max_user_num": 21}, 222021, "param[max_user_num] format error"),
    ("/multi-search", {**SEARCH, "max_face_num": 11}, 222016, "param[max_face_num] format error"),
    ("/search", {**SEARCH, "match_threshold": 100.1}, 222030, "param[match_threshold] format error"),
    ("/search", {**SEARCH, "match_threshold": -1}, 222030, "param[match_threshold] format error"),
    ("/search", {**SEARCH, "match_threshold": "NaN"}, 222030, "param[match_threshold] format error"),
    ("/faceset/user/add", {**BASE64, "user_id": "u1"}, 222001, "param[group_id] is null"),
    ("/faceset/user/add", {**BASE64, "group_id": "g1"}, 222001, "param[user_id] is null"),
    ("/faceset/user/add", {**ADD, "group_id": "三班"}, 222006, "group_id format error"),
    ("/faceset/user/add", {**ADD, "group_id": "g" * 129}, 222006, "group_id format error"),
    ("/faceset/user/add", {**ADD, "user_id": "u-1"}, 222018, "param[user_id] format error"),
    ("/faceset/user/add", {**ADD, "user_info": "字" * 86}, 222010, "user_info format error"),
    ("/faceset/user/add", {**ADD, "user_info": {"a": 1}}, 222010, "user_info format error"),
    ("/faceset/user/add", {**ADD, "user_info": "\ud800"}, 222010, "user_info format error"),
    ("/faceset/user/add", {**ADD, "action_type": "UPDATE"}, 222046, "param[action_type] format error"),
    ("/faceset/user/update", {**ADD, "action_type": "APPEND"}, 222046, "param[action_type] format error"),
    ("/faceset/face/delete", USER, 222001, "param[face_token] is null"),
    ("/faceset/face/delete", {**USER, "face_token": "a b"}, 222025, "param[face_token] format error"),
    ("/faceset/face/delete", {**USER, "face_token": "f" * 65}, 222025, "param[face_token] format error"),
    ("/faceset/face/getlist", {**USER, "group_id": "@ALL"}, 222006, "group_id format error"),
    ("/faceset/user/get", {"group_id": "g1"}, 222001, "param[user_id] is null"),
    ("/faceset/user/copy", {"user_id": "u1", "dst_group_id": "g"}, 222001, "param[src_group_id] is null"),
    ("/faceset/user/copy", {"user_id": "u1", "src_group_id": "g"}, 222001, "param[dst_group_id] is null"),
    ("/faceset/group/add", {}, 222001, "param[group_id] is null"),
    ("/faceset/group/getlist", {"start": -1}, 222002, "param[start] format error"),
    ("/faceset/group/getlist", {"start": "x"}, 222002, "param[start] format error"),
    ("/faceset/group/getlist", {"length": 1001}, 222003, "param[length] format error"),
    ("/faceset/group/getusers", {"group_id": "g1", "length": 0}, 222003, "param[length] format error"),
]


@pytest.mark.parametrize(("path", "sent", "code", "text"), WRONG_PARAMETERS)
async def test_wrong_parameters(api: Api, path: str, sent: dict[str, Any], code: int, text: str) -> None:
    assert await api.code(path, sent) == (code, text)
    assert not api.vision.asked
    assert not [command for command in api.library.asked if "Key" not in type(command).__name__]


@pytest.mark.parametrize(
    ("path", "items", "code"),
    [
        ("/match", [BASE64], 222208),
        ("/match", [BASE64] * 3, 222208),
        ("/match", [], 222208),
        ("/match", BASE64, 222200),
        ("/match", ["x", "y"], 222200),
        ("/match", [BASE64, {}], 222001),
        ("/match", [BASE64, {**BASE64, "face_type": "x"}], 222024),
        ("/match", [{**BASE64, "quality_control": "x"}, BASE64], 222019),
        ("/match", [{**BASE64, "liveness_control": "x"}, BASE64], 222020),
        ("/faceverify", [BASE64] * 2, 222208),
        ("/faceverify", [{**BASE64, "option": "x"}], 222046),
        ("/faceverify", [{**BASE64, "face_field": "?"}], 222017),
    ],
)
async def test_wrong_lists(api: Api, path: str, items: Any, code: int) -> None:
    assert (await api.code(path, items))[0] == code


@pytest.mark.parametrize("body", ['"double encoded"', "[1]", "{", "nothing", "[" * 100_000, "1" * 5_000])
async def test_a_body_that_is_no_object(api: Api, body: str) -> None:
    query = {"access_token": api.token}
    answer = (await api.web.post("/rest/2.0/face/v3/detect", params=query, content=body)).json()
    assert (answer["error_code"], answer["error_msg"]) == (222200, "request body should be json format")


WRONG_PICTURES = {
    "no base64": ("!!!", 222203, "image check fail"),
    "cut off": ("AAAAA", 222203, "image check fail"),
    "blanks": (" \n", 222203, "image check fail"),
    "no picture": (base64.b64encode(b"hello, this is a text").decode(), 222203, "image check fail"),
    "a GIF": (base64.b64encode(a_picture(format="GIF")).decode(), 222203, "image check fail"),
    "too many pixels": (base64.b64encode(a_picture(6_000, 6_000)).decode(), 222304, "image size is too large"),
    "too many bytes": (base64.b64encode(a_picture() + bytes(10_000_000)).decode(), 222304, "image size is too large"),
    "too small": (base64.b64encode(a_picture(30, 300)).decode(), 222309, "image size is too small"),
}


@pytest.mark.parametrize("name", WRONG_PICTURES)
async def test_wrong_pictures(api: Api, name: str) -> None:
    picture, code, text = WRONG_PICTURES[name]
    assert await api.code("/detect", {"image": picture, "image_type": "BASE64"}) == (code, text)


async def test_a_body_beyond_the_limit(api: Api) -> None:
    query = {"access_token": api.token}
    answer = await api.web.post("/rest/2.0/face/v3/detect", params=query, content=bytes(17 * 2**20))
    assert (answer.status_code, answer.json()["error_code"]) == (200, 222304)


async def test_urls_are_off_unless_hosts_are_allowed(api: Api) -> None:
    sent = {"image": "http://example.com/a.jpg", "image_type": "URL"}
    assert await api.code("/detect", sent) == (222204, "image_url_download_fail")


@pytest.mark.parametrize("token", ["0" * 32, "x", "ABCDEF" * 5, "f" * 33])
async def test_tokens_that_nobody_knows(api: Api, token: str) -> None:
    sent = {"image": token, "image_type": "FACE_TOKEN"}
    assert await api.code("/detect", sent) == (222209, "face token not exist")


async def test_no_face(api: Api) -> None:
    api.vision.faces = []
    for path in ("/detect", "/search", "/multi-search", "/faceset/user/add"):
        assert await api.code(path, {**ADD, **SEARCH}) == (222202, "pic not has face")
    assert await api.code("/match", [BASE64] * 2) == (222202, "pic not has face")
    assert await api.code("/faceverify", [BASE64] * 3) == (222202, "pic not has face")


async def test_nobody_is_found(api: Api) -> None:
    assert await api.code("/search", SEARCH) == (222207, "match user is not found")
    assert await api.code("/multi-search", SEARCH) == (222207, "match user is not found")
    near = Candidate(group_id="g1", user_id="u1", user_info="", score=79.9)
    api.vision.faces = [a_face(candidates=(near,))]
    assert await api.code("/search", {**SEARCH, "match_threshold": "80"}) == (222207, "match user is not found")
    assert await api.code("/multi-search", SEARCH) == (222207, "match user is not found")


async def test_a_face_too_small_to_register(api: Api) -> None:
    api.vision.faces = [a_face(LARGE.model_copy(update={"width": 63.9}))]
    assert await api.code("/faceset/user/add", ADD) == (222213, "face size is too small")


def measured(**figures: Any) -> Measured:
    return GOOD.model_copy(update=figures)


def covered(part: str) -> Measured:
    return measured(covered=OPEN.model_copy(update={part: 0.61}))


POOR = [
    (covered("left_eye"), 223121, "left eye is occlusion"),
    (covered("right_eye"), 223122, "right eye is occlusion"),
    (covered("left_cheek"), 223123, "left cheek is occlusion"),
    (covered("right_cheek"), 223124, "right cheek is occlusion"),
    (covered("chin_contour"), 223125, "chin contour is occlusion"),
    (covered("nose"), 223126, "nose is occlusion"),
    (covered("mouth"), 223127, "mouth is occlusion"),
    (measured(blur=0.61), 223114, "face is fuzzy"),
    (measured(illumination=39.9), 223115, "face light is not good"),
    (measured(yaw=-30.5), 223129, "face is not frontal"),
    (measured(blur=0.61, covered=OPEN.model_copy(update={"mouth": 0.7})), 223127, "mouth is occlusion"),
]


@pytest.mark.parametrize(("face", "code", "text"), POOR)
async def test_quality_control(api: Api, face: Measured, code: int, text: str) -> None:
    api.vision.faces = [a_face(measured=face)]
    asked = {"quality_control": "NORMAL"}
    for path in ("/search", "/multi-search", "/faceset/user/add", "/faceset/user/update"):
        assert await api.code(path, {**ADD, **SEARCH, **asked}) == (code, text)
    assert await api.code("/match", [{**BASE64, **asked}, BASE64]) == (code, text)
    assert (await api.code("/faceset/user/add", ADD))[0] == 0, "only when it is asked for"


async def test_levels_of_quality(api: Api) -> None:
    api.vision.faces = [a_face(measured=measured(blur=0.7, completeness=0))]
    for level, code in (("NONE", 222207), ("LOW", 222207), ("NORMAL", 223114), ("HIGH", 223114)):
        assert (await api.code("/search", {**SEARCH, "quality_control": level}))[0] == code
    api.vision.faces = [a_face(measured=measured(completeness=0))]
    for level, code in (("NORMAL", 222207), ("HIGH", 223116)):
        assert (await api.code("/search", {**SEARCH, "quality_control": level}))[0] == code


@pytest.mark.parametrize(
    ("score", "level", "code"),
    [
        (0.3, "NORMAL", 222207),
        (0.29, "NORMAL", 223120),
        (0.29, "LOW", 222207),
        (0.89, "HIGH", 223120),
        (None, "LOW", 223120),
        (0.0, "NONE", 222207),
    ],
)
async def test_liveness_control(api: Api, score: float | None, level: str, code: int) -> None:
    api.vision.faces = [a_face(measured=measured(liveness=score))]
    assert await api.code("/search", {**SEARCH, "liveness_control": level}) == (code, FACE_TEXTS[FaceCode(code)])


@pytest.mark.parametrize(
    ("score", "level", "code"), [(0.8, "LOW", 223131), (0.8, "HIGH", 222207), (None, "HIGH", 223131)]
)
async def test_spoofing_control(api: Api, score: float | None, level: str, code: int) -> None:
    api.vision.faces = [a_face(measured=measured(liveness=score))]
    assert await api.code("/search", {**SEARCH, "spoofing_control": level}) == (code, FACE_TEXTS[FaceCode(code)])


async def test_quality_comes_before_liveness(api: Api) -> None:
    api.vision.faces = [a_face(measured=measured(liveness=0, blur=1))]
    both = {**SEARCH, "quality_control": "LOW", "liveness_control": "LOW"}
    assert (await api.code("/search", both))[0] == 223114


async def test_detect_leaves_out_faces_without_life(api: Api) -> None:
    api.vision.faces = [a_face(measured=measured(liveness=0.2)), a_face(SMALL)]
    sent = {**BASE64, "max_face_num": 2, "liveness_control": "NORMAL"}
    found = await api.result("/detect", sent)
    assert [face["liveness"] for face in found["face_list"]] == [{"livemapscore": 0.95}]
    api.vision.faces = api.vision.faces[:1]
    assert await api.code("/detect", sent) == (223120, "liveness check fail")


async def test_the_library_says_no(api: Api) -> None:
    add, other = ADD, {**ADD, "user_id": "u2"}
    assert (await api.code("/faceset/group/add", {"group_id": "g1"}))[0] == 0
    assert await api.code("/faceset/group/add", {"group_id": "g1"}) == (223101, "group is already exist")
    assert await api.code("/faceset/user/update", add) == (223103, "user is not exist")
    assert (await api.code("/faceset/user/add", add))[0] == 0
    assert await api.code("/faceset/user/add", other) == (223105, "face is already exist")
    unknown = {**USER, "face_token": "no_such_token"}
    assert await api.code("/faceset/face/delete", unknown) == (223106, "face is not exist")
    assert await api.code("/faceset/face/delete", {**unknown, "user_id": "u9"}) == (223103, "user is not exist")
    assert await api.code("/faceset/user/get", {**USER, "user_id": "u9"}) == (223103, "user is not exist")
    assert await api.code("/faceset/face/getlist", {**USER, "user_id": "u9"}) == (223103, "user is not exist")
    assert await api.code("/faceset/group/getusers", {"group_id": "g9"}) == (223100, "group is not exist")
    copy = {"user_id": "u1", "src_group_id": "g1", "dst_group_id": "g2"}
    assert await api.code("/faceset/user/copy", copy) == (223111, "dst group is not exist")
    await api.code("/faceset/group/add", {"group_id": "g2"})
    assert await api.code("/faceset/user/copy", {**copy, "user_id": "u9"}) == (223103, "user is not exist")
    assert (await api.code("/faceset/user/copy", copy))[0] == 0
    assert await api.code("/faceset/user/copy", copy) == (223102, "user is already exist")
    assert (await api.code("/faceset/user/delete", USER))[0] == 0
    assert await api.code("/faceset/user/delete", USER) == (223103, "user is not exist")
    assert (await api.code("/faceset/group/delete", {"group_id": "g1"}))[0] == 0
    assert await api.code("/faceset/group/delete", {"group_id": "g1"}) == (223100, "group is not exist")
    students = {"group_id": "students"}
    assert await api.code("/faceset/group/delete", students) == (6, "No permission to access data")


async def test_more_than_twenty_faces(api: Api) -> None:
    for number in range(21):
        image = base64.b64encode(a_picture(320, 240 + number)).decode()
        expected = 0 if number < 20 else 222210
        assert (await api.code("/faceset/user/add", {**ADD, "image": image}))[0] == expected
    assert FACE_TEXTS[FaceCode.TOO_MANY_FACES] == "the number of user's faces is beyond the limit"


async def test_an_outage_is_told(api: Api) -> None:
    api.vision.error = Unavailable(en="no recognizer")
    assert await api.code("/detect", BASE64) == (2, "Service temporarily unavailable")
    api.vision.error = ZeroDivisionError("bug")
    assert await api.code("/detect", BASE64) == (1, "Unknown error")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/rest/2.0/face/v3/nope", "/rest/2.0/face/v4/mingjing/verify", "/rest/2.0/"])
async def test_addresses_that_are_not_there(api: Api, method: str, path: str) -> None:
    answer = await api.web.request(method, path)
    assert (answer.status_code, answer.json()) == (200, {"error_code": 3, "error_msg": "Unsupported openapi method"})
    wrong_method = await api.web.put("/rest/2.0/face/v3/detect")
    assert wrong_method.json()["error_code"] == 3
