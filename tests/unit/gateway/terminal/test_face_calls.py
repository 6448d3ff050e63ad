"""getDbs and regFace."""

import re

import pytest

from gateway.terminal_api import faces
from shared.contracts.people import Gender
from shared.contracts.roster import RosterEntry, RosterFace, RosterPage
from shared.errors import Conflict
from shared.vision.feature import Feature
from tests.unit.gateway.baidu.vision_double import MODEL, unit
from tests.unit.gateway.terminal.host_double import ADA, JPEG, HostDouble
from tests.unit.gateway.terminal.posting import FEATURE, PHOTO, WHO, b64, post


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
