"""Every call over a gateway in memory: forms, shapes, codes, tokens."""

import base64
import io
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gateway.terminal_api import faces, parameters
from gateway.terminal_api.looking import AT_ONCE, Room
from shared.codes import DeviceCode
from shared.contracts.attendance import LastPunch, PunchRow, ReportState
from shared.contracts.base import now
from shared.contracts.devices import Proof
from shared.contracts.people import Gender
from shared.contracts.recognition import NO_FACE, Box
from shared.contracts.roster import RosterEntry, RosterFace, RosterPage
from shared.errors import Conflict, DeviceRefused, Internal, Unavailable
from shared.vision.feature import Feature
from tests.unit.gateway.baidu.vision_double import GOOD, MODEL, a_face, unit
from tests.unit.gateway.terminal.host_double import ADA, JPEG, HostDouble

BOX = {"left": "40", "top": "40", "right": "140", "bottom": "160"}
WHO = {"deviceName": "东门", "deviceSN": "E-1"}
NAMES = {
    "token": "token",
    "faceDetect": "facedetect",
    "faceAge": "faceage",
    "faceGender": "facegender",
    "faceFeature": "facefeature",
    "faceRecognize": "facerecognize",
    "getDbs": "getDbs",
    "regFace": "regFace",
    "clinetFeedback": "clinetfeedback",
    "clientFeedback": "clientfeedback",
    "clinetWebResult": "clinetwebresult",
    "clientWebResult": "clientwebresult",
}
"""path → flag"""


def picture(width: int = 320, height: int = 240, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "grey").save(out, "JPEG", **options)
    return out.getvalue()


PHOTO = picture()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


FEATURE = b64(Feature(MODEL, unit(1)).packed())


@pytest.fixture
def host() -> HostDouble:
    return HostDouble()


async def post(host: HostDouble, call: str, data: dict[str, Any] | None = None, **how: Any) -> dict[str, Any]:
    """A form, multipart if there are files; the answer's HTTP status is 200."""
    async with host.web() as web:
        answer = await web.post(f"/faces/api/{call}", data=data, **how)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    said: dict[str, Any] = answer.json()
    assert said["flag"] == NAMES[call]
    assert isinstance(said["code"], int)
    assert said["code"] == 0 or "message" in said
    return said


async def look(host: HostDouble, call: str, **fields: Any) -> dict[str, Any]:
    return await post(host, call, {"token": host.token(), **fields}, files={"image": ("a.jpg", PHOTO)})


# ---- vision


async def test_face_detect_as_printed(host: HostDouble) -> None:
    host.frames.faces = [
        a_face(Box(left=-3.2, top=10.4, width=100, height=120)),
        a_face(Box(left=200, top=100, width=200, height=200), GOOD.model_copy(update={"rotation": -88.0})),
    ]
    assert await look(host, "faceDetect") == {
        "flag": "facedetect",
        "code": 0,
        "faces": 2,
        "faceContent": [
            {"id": 0, "left": 0, "top": 10, "right": 97, "bottom": 130, "angle": 1},
            {"id": 1, "left": 200, "top": 100, "right": 320, "bottom": 240, "angle": 2},
        ],
    }
    [(_, max_faces, question)] = host.frames.asked
    assert (max_faces, question.turned, question.at) == (120, True, None)


async def test_age_gender_and_feature_as_printed(host: HostDouble) -> None:
    host.frames.faces = [a_face()]
    assert await look(host, "faceAge", **BOX) == {"flag": "faceage", "code": 0, "age": 31}
    assert await look(host, "faceGender", **BOX) == {"flag": "facegender", "code": 0, "gender": 1}
    packed = Feature(MODEL, unit(1)).packed()
    said = {"flag": "facefeature", "code": 0, "feature": b64(packed), "featureSize": len(packed)}
    assert await look(host, "faceFeature", **BOX) == said
    assert [question.at for _, _, question in host.frames.asked] == [Box(left=40, top=40, width=100, height=120)] * 3


@pytest.mark.parametrize(("gender", "number"), [("male", 0), ("female", 1), ("", -1)])
async def test_genders(host: HostDouble, gender: str, number: int) -> None:
    host.frames.faces = [a_face(measured=GOOD.model_copy(update={"gender": gender}))]
    assert (await look(host, "faceGender", **BOX))["gender"] == number


async def test_what_cannot_be_told_of_a_face_has_its_code(host: HostDouble) -> None:
    host.frames.faces = [a_face(measured=GOOD.model_copy(update={"age": None}), embedding=b"")]
    assert (await look(host, "faceAge", **BOX))["code"] == DeviceCode.AGE_FAILED
    assert (await look(host, "faceFeature", **BOX))["code"] == DeviceCode.FEATURE_FAILED


async def test_boxes_are_pixels_of_the_picture_that_was_sent(host: HostDouble) -> None:
    """A large picture is looked at in a smaller size; one that lies on its side stands upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = picture(3840, 1920, exif=exif)  # stands 1920 wide and 3840 high, and is halved
    host.frames.faces = [a_face(Box(left=100, top=200, width=300, height=400))]
    files = {"image": ("a.jpg", lying)}
    seen = await post(host, "faceDetect", {"token": host.token()}, files=files)
    [face] = seen["faceContent"]
    assert [face[edge] for edge in ("left", "top", "right", "bottom")] == [200, 400, 800, 1200]
    box = {edge: str(face[edge]) for edge in ("left", "top", "right", "bottom")}
    assert (await post(host, "faceAge", {"token": host.token(), **box}, files=files))["code"] == 0
    assert host.frames.asked[-1][2].at == Box(left=100, top=200, width=300, height=400)


async def test_no_face_has_its_code(host: HostDouble) -> None:
    host.frames.faces, host.frames.problem = [], NO_FACE
    assert (await look(host, "faceDetect"))["code"] == DeviceCode.NO_FACE
    host.frames.faces = [a_face(Box(left=0, top=0, width=30, height=30))]
    beside = {"left": 100, "top": 100, "right": 200, "bottom": 200}
    assert (await look(host, "faceAge", **beside))["code"] == DeviceCode.NO_FACE


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({name: BOX[name] for name in ("left", "top")}, 9005),
        ({}, 9005),
        ({**BOX, "left": ""}, 9005),
        ({**BOX, "left": "a"}, 2),
        ({**BOX, "left": "-1"}, 2),
        ({**BOX, "left": "1.5"}, 2),
        ({**BOX, "right": "40"}, 2),
        ({**BOX, "bottom": "10"}, 2),
        ({**BOX, "bottom": "9" * 17}, 2),
        ({**BOX, "width": "10"}, 2),
        ({**BOX, "left": "40.0"}, 0),
    ],
)
async def test_boxes(host: HostDouble, fields: dict[str, str], code: int) -> None:
    host.frames.faces = [a_face()]
    assert (await look(host, "faceAge", **fields))["code"] == code


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", 9113),
        (PHOTO[:-200], 9113),
        (b"rubbish", 69640),
        (b"GIF89a" + b"\0" * 40, 69640),
        (picture(30, 300), 69641),
        (b"\0" * 10_000_001, 69642),
    ],
)
@pytest.mark.parametrize("as_file", [True, False])
async def test_pictures_that_cannot_be_used(host: HostDouble, data: bytes, code: int, as_file: bool) -> None:
    how: dict[str, Any] = {"files": {"image": ("a.jpg", data)}} if as_file else {}
    fields = {"token": host.token()} | ({} if as_file else {"image": b64(data)})
    expected = 9005 if not as_file and not data else code
    assert (await post(host, "faceDetect", fields, **how))["code"] == expected


async def test_a_picture_may_come_as_base64(host: HostDouble) -> None:
    for text in (b64(PHOTO), "data:image/jpeg;base64," + b64(PHOTO), b64(PHOTO)[:76] + "\r\n" + b64(PHOTO)[76:]):
        said = await post(host, "faceDetect", json={"token": host.token(), "image": text})
        assert said["code"] == 0
    assert (await post(host, "faceDetect", {"token": host.token(), "image": "no base64!"}))["code"] == 9113


async def test_the_score_of_two_features(host: HostDouble) -> None:
    fields = {"token": host.token(), "pending": FEATURE, "original": FEATURE}
    assert await post(host, "faceRecognize", fields) == {"flag": "facerecognize", "code": 0, "score": 1.0}
    stranger = b64(Feature(MODEL, unit(0, 1)).packed())
    fields = {"token": host.token(), "pending": FEATURE, "original": stranger}
    assert (await post(host, "faceRecognize", fields))["score"] == 0.0
    other = b64(Feature("another/1", unit(1)).packed())
    fields = {"token": host.token(), "pending": FEATURE, "original": other}
    assert (await post(host, "faceRecognize", fields))["code"] == 73733
    assert (await post(host, "faceRecognize", {**fields, "pending": "AAAA"}))["code"] == 73731
    assert (await post(host, "faceRecognize", {**fields, "pending": ""}))["code"] == 9005
    assert (await post(host, "faceRecognize", {**fields, "pending": "x" * 60_000}))["code"] == 73731


async def test_more_pictures_than_can_be_looked_at_are_told_to_wait() -> None:
    room = Room(2)
    with room.place(), room.place(), pytest.raises(DeviceRefused) as caught, room.place():
        pass
    assert caught.value.number == DeviceCode.PAUSE
    with room.place():
        pass


async def test_a_picture_gives_its_place_back_whatever_happens(host: HostDouble) -> None:
    for error in (Unavailable(), None):
        host.frames.error = error
        async with host.web() as web:
            for _ in range(AT_ONCE + 1):
                fields = {"token": host.token()}
                answer = await web.post("/faces/api/faceDetect", data=fields, files={"image": ("a.jpg", PHOTO)})
                assert answer.json()["code"] == (1 if error else 0)


# ---- tokens


async def test_a_token_is_good_for_one_post(host: HostDouble) -> None:
    token = host.token()
    assert (await post(host, "clinetWebResult", {"token": token}))["code"] == 0
    assert (await post(host, "clinetWebResult", {"token": token}))["code"] == 9001


async def test_what_is_malformed_costs_no_token(host: HostDouble) -> None:
    token = host.token()
    for call, fields in (
        ("clinetFeedback", {}),
        ("clinetFeedback", {"faceName": "艾达", "time": "yesterday"}),
        ("getDbs", {"since": "x"}),
        ("faceAge", {"image": b64(PHOTO)}),
        ("regFace", {"username": "a b", "faceName": "x", "picBase64": b64(PHOTO)}),
        ("clinetWebResult", {"faceName": "x"}),
    ):
        assert (await post(host, call, {"token": token, **fields}))["code"] in (2, 9005)
    assert (await post(host, "clinetWebResult", {"token": token}))["code"] == 0


async def test_the_token_may_come_in_the_header(host: HostDouble) -> None:
    headers = {"Authorization": f"Bearer {host.token()}"}
    assert (await post(host, "clinetWebResult", headers=headers))["code"] == 0


async def test_a_token_of_another_device_is_refused(host: HostDouble) -> None:
    fields = {"token": host.token(), "deviceName": "西门"}
    assert (await post(host, "clinetWebResult", fields))["code"] == 9004
    fields = {"token": host.token(), **WHO}
    assert (await post(host, "clinetWebResult", fields))["code"] == 0


async def test_names_need_not_be_percent_encoded() -> None:
    trusted = HostDouble(proof=Proof.SERIAL)
    headers = {"content-type": "application/x-www-form-urlencoded"}
    said = await post(trusted, "clinetWebResult", content="deviceName=东门&deviceSN=E-1".encode(), headers=headers)
    assert said["code"] == 0


async def test_without_a_token_only_a_device_that_the_office_lets(host: HostDouble) -> None:
    assert (await post(host, "clinetWebResult", WHO))["code"] == 9001
    assert (await post(host, "clinetWebResult", {"deviceName": "东门"}))["code"] == 9005
    trusted = HostDouble(proof=Proof.SERIAL)
    for call, fields in (
        ("clinetWebResult", {}),
        ("clinetFeedback", {"faceName": "艾达"}),
        ("getDbs", {}),
        ("regFace", {"username": "1", "faceName": "x", "picBase64": b64(PHOTO)}),
    ):
        assert (await post(trusted, call, {**WHO, **fields}))["code"] == 0
    assert (await post(trusted, "clinetWebResult", {"deviceName": "东门", "sn": "E-1"}))["code"] == 0
    assert (await post(trusted, "clinetWebResult", {"deviceName": "东\n门", "sn": "E-1"}))["code"] == 9003


# ---- faces


def entry(num: str = "2026_007", name: str = "艾达", student_id: int = 7, faces: int = 1) -> RosterEntry:
    person = ADA.model_copy(update={"num": num, "name": name, "student_id": student_id})
    return RosterEntry(person=person, faces=tuple(RosterFace(model=MODEL, embedding=unit(1)) for _ in range(faces)))


async def test_the_names_as_printed(host: HostDouble) -> None:
    host.registry.pages = {0: RosterPage(revision=5, head=5, entries=(entry(faces=2),))}
    said = await post(host, "getDbs", {**WHO, "token": host.token()})
    [named] = said.pop("names")
    address = named.pop("picUrl")
    mark = faces.mark_of(host.hub.device)
    assert said == {
        "flag": "getDbs",
        "Flag": "getdbs",
        "code": 0,
        "message": "Success",
        "removed": [],
        "full": True,
        "more": False,
        "next": f"5-{mark}",
    }
    assert named == {"name": "艾达", "username": "2026_007", "faceData": FEATURE, "moreFaceData": [FEATURE]}
    async with host.web() as web:
        photo = await web.get(address)
        assert (photo.status_code, photo.content, photo.headers["content-type"]) == (200, JPEG, "image/jpeg")
        assert photo.headers["cache-control"] == "no-store"
        assert (await web.get(address.replace("/3/7", "/4/7"))).status_code == 403
        assert (await web.get(address.replace("/3/7", "/3/8"))).status_code == 403
        assert (await web.get(address.partition("?")[0])).json()["code"] == 9001
        assert (await web.get(re.sub(r"ticket=\d+", "ticket=1", address))).status_code == 403
        host.hub.device = host.hub.device.model_copy(update={"classes": ("二班",)})
        assert (await web.get(address)).status_code == 403


async def test_without_pages_everything_comes_at_once(host: HostDouble) -> None:
    first, second = entry(), entry("2", "乙", 8)
    renamed = entry("2026_008")
    host.registry.pages = {
        0: RosterPage(revision=5, head=9, entries=(first, second)),
        5: RosterPage(revision=9, head=9, entries=(renamed,), removed=("2026_007",)),
    }
    said = await post(host, "getDbs", {**WHO, "token": host.token()})
    assert [named["username"] for named in said["names"]] == ["2", "2026_008"]
    assert (said["more"], said["removed"], said["next"][:2]) == (False, [], "9-")


async def test_in_pages(host: HostDouble) -> None:
    host.registry.pages = {
        0: RosterPage(revision=5, head=9, entries=(entry(),)),
        5: RosterPage(revision=9, head=9, removed=("2026_007",)),
    }
    first = await post(host, "getDbs", {"token": host.token(), "limit": "1"})
    assert (first["full"], first["more"], len(first["names"])) == (True, True, 1)
    second = await post(host, "getDbs", {"token": host.token(), "since": first["next"], "limit": 1})
    assert (second["full"], second["more"], second["names"]) == (False, False, [])
    assert second["removed"] == ["2026_007"]
    third = await post(host, "getDbs", {"token": host.token(), "since": second["next"]})
    assert (third["full"], third["more"], third["next"]) == (False, False, second["next"])
    assert [asked.limit for asked in host.registry.rosters] == [1, 1, 500]


async def test_other_classes_or_an_older_library_begin_anew(host: HostDouble) -> None:
    host.registry.pages = {0: RosterPage(revision=5, head=5, entries=(entry(),))}
    first = await post(host, "getDbs", {"token": host.token(), "limit": "1"})
    host.hub.device = host.hub.device.model_copy(update={"classes": ("一班",)})
    again = await post(host, "getDbs", {"token": host.token(), "since": first["next"]})
    assert (again["full"], len(again["names"])) == (True, 1)
    assert host.registry.rosters[-1].classes == ("一班",)
    newer = "99-" + again["next"].partition("-")[2]
    restored = await post(host, "getDbs", {"token": host.token(), "since": newer})
    assert (restored["full"], len(restored["names"]), restored["next"]) == (True, 1, again["next"])


REGISTER = {"username": "2026_001", "faceName": "张三", "picBase64": b64(PHOTO)}


async def test_a_registration_as_printed(host: HostDouble) -> None:
    said = await post(host, "regFace", {**WHO, **REGISTER, "token": host.token()})
    assert said == {"flag": "regFace", "code": 0}
    [form] = host.recognition.enrolled
    assert (form.num, form.name, form.class_name, form.gender) == ("2026_001", "张三", "未分班", Gender.MAN)


async def test_class_and_gender_may_be_said(host: HostDouble) -> None:
    fields = {**REGISTER, "token": host.token(), "className": "二班", "gender": "1"}
    assert (await post(host, "regFace", fields))["code"] == 0
    assert (host.recognition.enrolled[0].class_name, host.recognition.enrolled[0].gender) == ("二班", Gender.WOMAN)


async def test_a_device_registers_only_into_its_classes() -> None:
    host = HostDouble(classes=("一班",))
    assert (await post(host, "regFace", {**REGISTER, "token": host.token()}))["code"] == 0
    assert host.recognition.enrolled[0].class_name == "一班"
    other = {**REGISTER, "token": host.token(), "className": "二班"}
    assert (await post(host, "regFace", other))["code"] == 9001


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"username": ""}, 9005),
        ({"faceName": " "}, 9005),
        ({"picBase64": ""}, 9005),
        ({"username": "a-b"}, 2),
        ({"username": "x" * 129}, 2),
        ({"faceName": "x" * 129}, 2),
        ({"faceName": "a\x00b"}, 2),
        ({"gender": "2"}, 2),
        ({"picBase64": "***"}, 9113),
        ({"picBase64": b64(b"rubbish")}, 69640),
        ({"faceData": "rubbish"}, 73731),
        ({"faceData": FEATURE}, 0),
        ({"faceData": b64(Feature(MODEL, unit(0, 1)).packed())}, 9125),
        ({"faceData": b64(Feature("another/1", unit(1)).packed())}, 73733),
    ],
)
async def test_registrations(host: HostDouble, fields: dict[str, str], code: int) -> None:
    said = await post(host, "regFace", {**REGISTER, "token": host.token(), **fields})
    assert said["code"] == code
    assert bool(host.recognition.enrolled) is (code == 0)


async def test_a_taken_username_is_a_bad_state(host: HostDouble) -> None:
    host.recognition.refusal = Conflict("学号已被注册", "taken", field="num")
    assert (await post(host, "regFace", {**REGISTER, "token": host.token()}))["code"] == 5


# ---- feedback


async def test_feedback_as_printed(host: HostDouble) -> None:
    said = await post(host, "clinetFeedback", {**WHO, "token": host.token(), "faceName": "艾达"})
    assert said == {"flag": "clinetfeedback", "code": 0, "state": "recorded"}
    [asked] = host.registry.reports
    assert (asked.place, asked.source, asked.reports[0].who) == ("东门", "device-3", "艾达")
    assert abs(asked.reports[0].captured_at - now()) < timedelta(seconds=5)


async def test_the_same_sighting_has_the_same_id(host: HostDouble) -> None:
    at = round(now().timestamp()) - 3_600
    numbered = {"faceName": "艾达", "time": f"{at}.25", "seq": "41"}
    timed = {"faceName": "艾达", "time": at}
    for fields in (numbered, numbered, timed, timed, {"faceName": "艾达"}, {"faceName": "艾达"}):
        assert (await post(host, "clientFeedback", {"token": host.token(), **fields}))["code"] == 0
    ids = [asked.reports[0].report_id for asked in host.registry.reports]
    assert ids[:2] == [f"report-3-41-{at}250"] * 2
    assert ids[2] == ids[3] != ids[0]
    assert len(set(ids)) == 4
    assert host.registry.reports[0].reports[0].captured_at.timestamp() == at + 0.25


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"faceName": ""}, 9005),
        ({"faceName": "x" * 129}, 2),
        ({"time": "soon"}, 2),
        ({"time": "-5"}, 2),
        ({"time": "1e9"}, 2),
        ({"time": "9" * 11}, 2),
        ({"time": str(now().timestamp() + 86_400)}, 2),
        ({"time": str(now().timestamp() - 367 * 86_400)}, 2),
        ({"seq": "1"}, 9005),
        ({"seq": "-1", "time": str(now().timestamp())}, 2),
        ({"seq": str(2**53), "time": str(now().timestamp())}, 2),
        ({"time": str(now().timestamp() + 60)}, 0),
    ],
)
async def test_feedback_codes(host: HostDouble, fields: dict[str, str], code: int) -> None:
    said = await post(host, "clinetFeedback", {"token": host.token(), "faceName": "艾达", **fields})
    assert said["code"] == code


async def test_a_clock_that_is_ahead_makes_no_punch_of_the_future(host: HostDouble) -> None:
    fields = {"token": host.token(), "faceName": "艾达", "time": str(now().timestamp() + 60)}
    await post(host, "clinetFeedback", fields)
    assert host.registry.reports[0].reports[0].captured_at <= now()


@pytest.mark.parametrize(("state", "code"), [("unknown", 73731), ("ambiguous", 5), ("repeated", 0)])
async def test_outcomes(host: HostDouble, state: str, code: int) -> None:
    host.registry.state = ReportState(state)
    assert (await post(host, "clinetFeedback", {"token": host.token(), "faceName": "艾达"}))["code"] == code


async def test_the_last_result_as_printed(host: HostDouble) -> None:
    said = await post(host, "clinetWebResult", {**WHO, "token": host.token()})
    assert said == {"flag": "clinetwebresult", "code": 0, "faceName": "", "username": "", "time": 0}
    at = now()
    host.registry.last = LastPunch(
        punch=PunchRow(
            punch_id=1,
            student_id=7,
            num="2026_007",
            name="艾达",
            class_name="一班",
            place="东门",
            captured_at=at,
            recorded_at=at,
            score=0,
        )
    )
    said = await post(host, "clientWebResult", {**WHO, "token": host.token()})
    assert (said["faceName"], said["username"], said["time"]) == ("艾达", "2026_007", int(at.timestamp()))


# ---- bodies, and our own trouble


@pytest.mark.parametrize("call", sorted(NAMES))
async def test_nothing_at_all(host: HostDouble, call: str) -> None:
    assert (await post(host, call))["code"] == 9002


@pytest.mark.parametrize("call", sorted(NAMES))
async def test_what_a_call_does_not_have_is_named(host: HostDouble, call: str) -> None:
    said = await post(host, call, {"token": "t", "fcaeName": "x"})
    assert said["code"] == 2
    assert "fcaeName" in said["message"]


async def test_a_parameter_sent_twice_is_refused(host: HostDouble) -> None:
    for content, kind in (
        ("token=a&token=b", "application/x-www-form-urlencoded"),
        ('{"token":"a","token":"b"}', "application/json"),
    ):
        said = await post(host, "clinetWebResult", content=content, headers={"content-type": kind})
        assert said["code"] == 2


@pytest.mark.parametrize(("call", "size"), [("clinetFeedback", 65_537), ("faceDetect", 16 * 2**20 + 1)])
async def test_too_large_a_body(host: HostDouble, call: str, size: int) -> None:
    async with host.web() as web:
        answer = await web.post(f"/faces/api/{call}", content=b"x" * size, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"], answer.json()["flag"]) == (413, 9, NAMES[call])


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Unavailable(), 503, 1),
        (Internal("", "a bug"), 500, 9007),
        (RuntimeError("a bug"), 500, 9007),
    ],
)
async def test_our_own_trouble(host: HostDouble, error: Exception, status: int, code: int) -> None:
    host.bus.broken = error
    async with host.web() as web:
        answer = await web.post("/faces/api/clinetWebResult", data={"token": "t"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert ("retry-after" in answer.headers) is (code == 1)


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(["", " ", "0", "-1", "1e5", "\ud800", "\x00", "9" * 5_000, FEATURE, b64(PHOTO), "1-00000000"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
TAKES = ["image", *parameters.BOX, "pending", "original", "since", "limit", "username", "faceName", "picBase64"]
TAKES += ["faceData", "className", "gender", "time", "seq", "deviceName", "deviceSN", "sn", "token", "challenge"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(call=st.sampled_from(sorted(NAMES)), sent=st.dictionaries(st.sampled_from(TAKES), ODD, max_size=8))
async def test_whatever_is_sent_gets_a_code(host: HostDouble, call: str, sent: dict[str, Any]) -> None:
    if "token" not in sent:
        sent = {**sent, "token": host.token()}
    content, headers = json.dumps(sent), {"content-type": "application/json"}
    said = await post(host, call, content=content, headers=headers)
    assert said["code"] in {int(code) for code in DeviceCode if code.when}
    assert said["code"] != DeviceCode.INTERNAL_ERROR


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300), kind=st.sampled_from(["form", "json", "multipart"]))
async def test_rubbish_gets_a_code(host: HostDouble, body: bytes, kind: str) -> None:
    types = {
        "form": "application/x-www-form-urlencoded",
        "json": "application/json",
        "multipart": "multipart/form-data; boundary=x",
    }
    said = await post(host, "clinetFeedback", content=body, headers={"content-type": types[kind]})
    assert said["code"] in (2, 9001, 9002, 9003, 9005, 9115)
